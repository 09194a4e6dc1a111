import { TinsmithError } from '#proto/errors.ts';
import type { LibraryFrame } from '#proto/library-index.ts';
import type { Disk } from '../../machine/machine.ts';
import { END_BYTES, middleOf } from '../disk-ends.ts';
import type { WriteMemory } from '../write-memory.ts';
import { isZeros } from '../zeros.ts';

/** A piece of an image, and where it belongs. */
type ImagePart = Pick<LibraryFrame, 'imageOffset' | 'imageBytes'>;

/**
 * Puts frames where they belong on a disk, in any order, but for both ends of the disk: what belongs there is collected in `head`
 * and `tail` and written last, by somebody else. It also tells which frames lie on the disk already.
 */
export class FrameStore {
  readonly head: Buffer;
  readonly tail: Buffer;
  readonly #disk: Disk;
  readonly #memory: WriteMemory;

  constructor(disk: Disk, memory: WriteMemory) {
    const [head, tail] = memory.aligned(2, END_BYTES);
    if (head === undefined || tail === undefined) throw noMemory();
    this.#disk = disk;
    this.#memory = memory;
    this.head = head;
    this.tail = tail;
  }

  /** `raw` is aligned and at least as long as the frame; behind the frame it may be filled up with zeros to a whole block. */
  async put({ imageOffset, imageBytes }: ImagePart, raw: Buffer): Promise<void> {
    const block = this.#disk.logicalBlockBytes;
    const padded = Math.ceil(imageBytes / block) * block;
    raw.fill(0, imageBytes, padded);
    const { from, to } = middleOf(this.#disk, imageOffset, padded);
    if (imageOffset < END_BYTES) raw.copy(this.head, imageOffset, 0, from);
    if (to < padded) raw.copy(this.tail, imageOffset + to - this.#tailOffset, to, padded);
    if (to > from) await this.#disk.write(raw.subarray(from, to), imageOffset + from);
  }

  /** Makes zeros of neighbouring frames. The ends are zeros already. */
  async putZeros(frames: readonly ImagePart[], signal: AbortSignal): Promise<void> {
    const [first, last] = [frames[0], frames.at(-1)];
    if (first === undefined || last === undefined) return;
    const block = this.#disk.logicalBlockBytes;
    const bytes = Math.ceil((last.imageOffset + last.imageBytes - first.imageOffset) / block) * block;
    const { from, to } = middleOf(this.#disk, first.imageOffset, bytes);
    if (to > from) await this.#disk.zero({ offset: first.imageOffset + from, bytes: to - from }, { signal });
  }

  /** Whether all of it lies on the disk once it is put. */
  isInTheMiddle({ imageOffset, imageBytes }: ImagePart): boolean {
    const padded = Math.ceil(imageBytes / this.#disk.logicalBlockBytes) * this.#disk.logicalBlockBytes;
    const { from, to } = middleOf(this.#disk, imageOffset, padded);
    return from === 0 && to === padded && padded === imageBytes;
  }

  /**
   * Whether the disk holds the frame already. `raw` is overwritten. A frame that touches an end never is: the ends are zeros
   * from before the first write. What cannot be read is not there: a sector that lost its contents takes new ones.
   */
  async holds(frame: LibraryFrame, raw: Buffer): Promise<boolean> {
    const { imageOffset, imageBytes, sums } = frame;
    if (!this.isInTheMiddle(frame)) return false;
    const found = raw.subarray(0, imageBytes);
    if (!(await this.#canRead(found, imageOffset))) return false;
    if (sums === undefined) return isZeros(found);
    return (await this.#memory.sha256(found)) === sums.image;
  }

  async #canRead(into: Buffer, offset: number): Promise<boolean> {
    try {
      await this.#disk.read(into, offset);
      return true;
    } catch (thrown) {
      if (TinsmithError.from(thrown).code === 'write_failed') return false;
      throw thrown;
    }
  }

  get #tailOffset(): number {
    return this.#disk.sizeBytes - END_BYTES;
  }
}

function noMemory(): TinsmithError {
  return new TinsmithError('internal', 'there is no memory for the buffers of the write path');
}
