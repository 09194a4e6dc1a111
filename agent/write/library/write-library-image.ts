import { TinsmithError } from '#proto/errors.ts';
import { FRAME_BYTES, LARGEST_FRAME_BYTES, type LibraryFrame, type LibraryIndex } from '#proto/library-index.ts';
import { RECEIVE_BYTES } from '#transfer/socket-reader.ts';
import type { Disk } from '../../machine/machine.ts';
import { DiskEnds } from '../disk-ends.ts';
import { type ImagePiece, tooSmall } from '../disk-writer.ts';
import { type ReadBackEvents, type ReadBackMemory, readBack } from '../read-back.ts';
import { FrameDecoder } from './frame-decoder.ts';
import { FrameStore } from './frame-store.ts';
import {
  type FetchMemory,
  fetchIndex,
  LibraryMirrors,
  type LibraryRequest,
  UnusableFrameError,
} from './library-mirrors.ts';
import { WriteMemory } from './write-memory.ts';

export interface LibraryProgress {
  /** Bytes of the image that are on the disk, of how many. */
  readonly done: number;
  readonly total: number;
}

export interface LibraryEvents extends ReadBackEvents {
  readonly log: (text: string) => void;
  /** After every frame. */
  readonly progress: (progress: LibraryProgress) => void;
}

export interface LibraryWritten {
  readonly imageBytes: number;
  /** Numbers of the partitions that the kernel should show now. */
  readonly partitions: readonly number[];
  /** Over the network, whatever had to be fetched twice included. */
  readonly receivedBytes: number;
  /** Of the image, that lay on the disk already and were neither fetched nor written. */
  readonly keptBytes: number;
  /** The most that all buffers held at once. */
  readonly bufferBytes: number;
}

/**
 * Frames in work at once, each with memory for itself, for what it decodes to and for what its connection receives: 5 × 8.5 MiB. More
 * than the thread pool has threads, so that some wait for the network while others are checked, decoded and written.
 */
const SLOTS = 5;
/** Asked for with one request: large enough that the requests do not count, small enough that all slots get work. */
const REQUEST_BYTES = 8 << 20;
/** 4 GiB: the disk does it by itself, and somebody wants to see progress. */
const FRAMES_OF_ZEROS = 1024;
/** A frame that came damaged this often, and more often than there are mirrors, will not come whole any more. */
const TRIES_OF_A_FRAME = 4;

/**
 * Writes a library image to a disk: frames are fetched with ranges, checked, decoded, checked again and written, several at once and
 * in no strict order; frames of zeros are made; frames that the disk holds already are left. Both ends of the disk come last, so a
 * disk on which anything went wrong does not boot. It keeps no state elsewhere: run again, after whatever ended it, it finds by their
 * sums which frames are on the disk and fetches only the others. Throws TinsmithError.
 */
export async function writeLibraryImage(
  disk: Disk,
  request: LibraryRequest,
  events: LibraryEvents,
): Promise<LibraryWritten> {
  const fetched = await fetchIndex(request, events);
  const { index } = fetched;
  if (index.imageBytes > disk.sizeBytes) throw tooSmall(disk, `has ${index.imageBytes}`);
  const ends = new DiskEnds(disk);
  const run = new LibraryRun(disk, index, new LibraryMirrors(request, fetched, events), events);
  try {
    await run.readFirst((head) => ends.check(head));
    await ends.wipe();
    await run.writeAll();
    events.signal.throwIfAborted();
    await disk.flush();
    const { head, tail } = run.store;
    const image = { head, tail, bytes: index.imageBytes };
    if (request.verifyDisk === true) {
      await readBack(disk, { ...image, pieces: pieces(index) }, run.readBackMemory, events);
    }
    const partitions = await ends.commit(image);
    const { receivedBytes, keptBytes } = run;
    return { imageBytes: index.imageBytes, partitions, receivedBytes, keptBytes, bufferBytes: run.memory.peakBytes };
  } catch (thrown) {
    await ends.wipeAgain();
    throw thrown;
  } finally {
    run.close();
  }
}

/** Memory and decoder of one frame in work. */
interface Slot {
  readonly fetched: FetchMemory;
  readonly raw: Buffer<ArrayBuffer>;
  readonly decoder: FrameDecoder;
}

class LibraryRun {
  readonly memory = new WriteMemory();
  readonly store: FrameStore;
  keptBytes = 0;
  readonly #disk: Disk;
  readonly #index: LibraryIndex;
  readonly #mirrors: LibraryMirrors;
  readonly #events: LibraryEvents;
  readonly #slots: readonly Slot[];
  readonly #known = new KnownFrames();
  readonly #damaged = new Map<number, number>();
  /** The first frame that no slot has looked at. */
  #next = 1;
  #doneBytes = 0;

  constructor(disk: Disk, index: LibraryIndex, mirrors: LibraryMirrors, events: LibraryEvents) {
    this.#disk = disk;
    this.store = new FrameStore(disk, this.memory);
    this.#index = index;
    this.#mirrors = mirrors;
    this.#events = events;
    this.#slots = this.memory.aligned(SLOTS, FRAME_BYTES).map((raw) => ({
      raw,
      fetched: { frame: this.memory.plain(LARGEST_FRAME_BYTES), received: this.memory.plain(RECEIVE_BYTES) },
      decoder: new FrameDecoder(),
    }));
  }

  /** The slots' own: nothing is decoded any more when it is used. */
  get readBackMemory(): ReadBackMemory {
    return { buffers: this.#slots.map(({ raw }) => raw), sums: this.memory };
  }

  get receivedBytes(): number {
    return this.#mirrors.receivedBytes;
  }

  /** The first frame holds the partition table: `check` sees it before anything is written, and before more is fetched. */
  async readFirst(check: (head: Buffer) => void): Promise<void> {
    const [first, slot] = [this.#index.frames[0], this.#slots[0]];
    if (first === undefined || slot === undefined) throw new TinsmithError('corrupt_image', 'the image has no frames');
    if (first.sums === undefined) return check(this.store.head);
    await this.#mirrors.read([first], slot.fetched, (frame, bytes) => this.#decode(frame, bytes, slot));
    check(slot.raw);
  }

  /** After `readFirst`, whose frame is still in the memory of the first slot. */
  async writeAll(): Promise<void> {
    const [first, slot] = [this.#index.frames[0], this.#slots[0]];
    if (first === undefined || slot === undefined) throw new TinsmithError('corrupt_image', 'the image has no frames');
    if (first.sums === undefined) await this.store.putZeros([first], this.#events.signal);
    else await this.store.put(first, slot.raw);
    this.#count(first);
    const results = await Promise.allSettled(this.#slots.map((one) => this.#work(one)));
    for (const result of results) if (result.status === 'rejected') throw result.reason;
  }

  close(): void {
    for (const { decoder } of this.#slots) decoder.close();
  }

  async #work(slot: Slot): Promise<void> {
    try {
      for (let run = await this.#nextRun(slot); run.length > 0; run = await this.#nextRun(slot)) {
        await this.#mirrors.read(run, slot.fetched, async (frame, bytes) => {
          await this.#decode(frame, bytes, slot);
          await this.#put(frame, slot.raw);
          this.#count(frame);
        });
      }
    } catch (thrown) {
      // The others need not go on: what is missing is missing.
      this.#next = this.#index.frames.length;
      throw thrown;
    }
  }

  /** The next neighbouring frames that have to be fetched. Frames of zeros, and those that the disk holds, are done on the way. */
  async #nextRun(slot: Slot): Promise<readonly LibraryFrame[]> {
    const run: LibraryFrame[] = [];
    let bytes = 0;
    while (bytes < REQUEST_BYTES) {
      this.#events.signal.throwIfAborted();
      const frame = this.#index.frames[this.#next];
      if (frame === undefined) break;
      const isApart = run.length > 0 && !isNext(run.at(-1), frame);
      if (isApart || bytes + frame.fileBytes > REQUEST_BYTES) break;
      if (frame.sums === undefined && this.#disk.makesZeros) {
        if (run.length > 0) break;
        await this.#makeZeros();
        continue;
      }
      this.#next += 1;
      if (await this.#isDone(frame, slot)) {
        if (run.length > 0) break;
        continue;
      }
      run.push(frame);
      bytes += frame.fileBytes;
    }
    return run;
  }

  /** All zeros that come next, in one go: the disk makes them by itself. */
  async #makeZeros(): Promise<void> {
    const { frames } = this.#index;
    const from = this.#next;
    while (
      this.#next - from < FRAMES_OF_ZEROS &&
      frames[this.#next]?.sums === undefined &&
      this.#next < frames.length
    ) {
      this.#next += 1;
    }
    const run = frames.slice(from, this.#next);
    await this.store.putZeros(run, this.#events.signal);
    for (const frame of run) this.#count(frame);
  }

  async #isDone(frame: LibraryFrame, slot: Slot): Promise<boolean> {
    if (this.#known.isWorthALook()) {
      const isThere = await this.store.holds(frame, slot.raw);
      this.#known.note(isThere);
      if (isThere) {
        this.keptBytes += frame.imageBytes;
        this.#count(frame);
        return true;
      }
    }
    if (frame.sums !== undefined) return false;
    await this.store.putZeros([frame], this.#events.signal);
    this.#count(frame);
    return true;
  }

  /** Throws what makes the mirrors ask again, unless it came damaged too often. */
  async #decode(frame: LibraryFrame, bytes: Buffer<ArrayBuffer>, { raw, decoder }: Slot): Promise<void> {
    if (frame.sums === undefined) return;
    if ((await this.memory.sha256(bytes)) !== frame.sums.file) {
      const tries = (this.#damaged.get(frame.fileOffset) ?? 0) + 1;
      this.#damaged.set(frame.fileOffset, tries);
      const fact = `the frame at byte ${frame.fileOffset} of the library image came damaged`;
      if (tries < Math.max(TRIES_OF_A_FRAME, this.#mirrors.count + 1))
        throw new TinsmithError('checksum_mismatch', fact);
      const sentence = `${fact} ${tries} times: check the mirrors, and the library with tinsmith image verify`;
      throw new UnusableFrameError(new TinsmithError('checksum_mismatch', sentence));
    }
    const image = raw.subarray(0, frame.imageBytes);
    try {
      await decoder.decode(bytes, image);
    } catch (thrown) {
      throw new UnusableFrameError(TinsmithError.from(thrown));
    }
    if ((await this.memory.sha256(image)) === frame.sums.image) return;
    const sentence = `the frame at byte ${frame.fileOffset} of the library image decodes to other bytes than its index says`;
    throw new UnusableFrameError(new TinsmithError('checksum_mismatch', sentence));
  }

  /** What the disk refuses, no mirror can mend. */
  async #put(frame: LibraryFrame, raw: Buffer<ArrayBuffer>): Promise<void> {
    try {
      await this.store.put(frame, raw);
    } catch (thrown) {
      throw new UnusableFrameError(TinsmithError.from(thrown, 'write_failed'));
    }
  }

  #count(frame: LibraryFrame): void {
    this.#doneBytes += frame.imageBytes;
    this.#events.progress({ done: this.#doneBytes, total: this.#index.imageBytes });
  }
}

function* pieces({ frames }: LibraryIndex): Generator<ImagePiece> {
  for (const { sums, ...place } of frames) yield { ...place, sha256: sums?.image };
}

function isNext(before: LibraryFrame | undefined, frame: LibraryFrame): boolean {
  return before !== undefined && before.fileOffset + before.fileBytes === frame.fileOffset;
}

/**
 * Whether it is worth reading the disk to see if a frame lies there. A new disk holds none of them, and reading it would cost as much
 * as writing it: after some misses only now and then one is looked at. A disk that was written halfway, or with another version of
 * the image, holds many: after a hit the next ones are looked at again.
 */
class KnownFrames {
  #misses = 0;
  #skipped = 0;

  isWorthALook(): boolean {
    if (this.#misses < 8) return true;
    this.#skipped = (this.#skipped + 1) % 16;
    return this.#skipped === 0;
  }

  note(isThere: boolean): void {
    this.#misses = isThere ? 0 : this.#misses + 1;
  }
}
