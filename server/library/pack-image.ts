import { createHash } from 'node:crypto';
import { promisify } from 'node:util';
import { constants, zstdCompress, zstdDecompress } from 'node:zlib';
import { TinsmithError } from '#proto/errors.ts';
import { FRAME_BYTES, LARGEST_FRAME_BYTES, type LibraryFrame, type LibraryIndex } from '#proto/library-index.ts';
import type { ImagePiece } from './image-piece.ts';
import { seekTable } from './seek-table.ts';

export interface PackOptions {
  /** Of zstd, 1 to 19. */
  readonly level: number;
  readonly signal: AbortSignal;
  /** Bytes of the image that are packed. */
  readonly progress: (imageBytes: number) => void;
}

/** Takes the packed file, piece after piece; a rejection ends the packing. */
export type PackTarget = (bytes: Uint8Array) => Promise<void>;

/** Makes one zstd frame of part of an image. It is not trusted: what it makes is decoded again. */
export type FrameCompressor = (raw: Buffer<ArrayBuffer>, level: number) => Promise<Buffer<ArrayBuffer>>;

/** Frames that are compressed at once: as many as Node's thread pool has threads. */
const IN_FLIGHT = 4;

const compress = promisify(zstdCompress);
const decompress = promisify(zstdDecompress);

/**
 * Packs an image, as it streams by, into a zstd file of independent frames, and makes its index. It holds a few frames in
 * memory and nothing else, whatever the image's size. Throws what the source throws; `corrupt_image` for one that is empty or no
 * multiple of 512 bytes, which no disk is; `internal` for a frame that does not decode to what was packed. Zeros that come as a run
 * cost their share of the image's sum and nothing else.
 */
export async function packImage(
  image: AsyncIterable<ImagePiece>,
  target: PackTarget,
  options: PackOptions,
  compressor: FrameCompressor = zstdFrame,
): Promise<LibraryIndex> {
  const packing = new Packing(target, options, compressor);
  const frames = framesOf(image);
  for await (const raw of frames) await packing.add(raw);
  return packing.finish();
}

class Packing {
  readonly #target: PackTarget;
  readonly #options: PackOptions;
  readonly #compressor: FrameCompressor;
  readonly #imageHash = createHash('sha256');
  readonly #fileHash = createHash('sha256');
  readonly #frames: LibraryFrame[] = [];
  /** In the order of the image; written in this order, too. */
  readonly #inFlight: Promise<PackedFrame>[] = [];
  /** One frame of zeros by its length: there are two lengths at most. */
  readonly #zeros = new Map<number, Promise<PackedFrame>>();
  #imageBytes = 0;
  #fileBytes = 0;

  constructor(target: PackTarget, options: PackOptions, compressor: FrameCompressor) {
    this.#target = target;
    this.#options = options;
    this.#compressor = compressor;
  }

  async add(raw: Buffer<ArrayBuffer>): Promise<void> {
    this.#options.signal.throwIfAborted();
    this.#imageHash.update(raw);
    this.#imageBytes += raw.length;
    const packed = raw.buffer === ZEROS.buffer ? this.#packZeros(raw) : this.#pack(raw);
    // It is awaited in its turn; until then nobody listens.
    packed.catch(() => undefined);
    this.#inFlight.push(packed);
    if (this.#inFlight.length === IN_FLIGHT) await this.#writeOldest();
  }

  async finish(): Promise<LibraryIndex> {
    while (this.#inFlight.length > 0) await this.#writeOldest();
    requireDisk(this.#imageBytes);
    await this.#write(seekTable(this.#frames));
    return {
      imageBytes: this.#imageBytes,
      imageSha256: this.#imageHash.digest('hex'),
      fileBytes: this.#fileBytes,
      fileSha256: this.#fileHash.digest('hex'),
      frames: this.#frames,
    };
  }

  async #writeOldest(): Promise<void> {
    const { bytes, ...rest } = (await this.#inFlight.shift()) ?? (await this.#pack(Buffer.alloc(0)));
    this.#frames.push({
      ...rest,
      fileOffset: this.#fileBytes,
      fileBytes: bytes.length,
      imageOffset: this.#frames.length * FRAME_BYTES,
    });
    await this.#write(bytes);
    this.#options.progress(Math.min(this.#imageBytes, this.#frames.length * FRAME_BYTES));
  }

  async #write(bytes: Buffer): Promise<void> {
    this.#fileHash.update(bytes);
    this.#fileBytes += bytes.length;
    await this.#target(bytes);
  }

  async #pack(raw: Buffer<ArrayBuffer>): Promise<PackedFrame> {
    const [image, bytes] = await Promise.all([sha256(raw), this.#compress(raw)]);
    return { bytes, imageBytes: raw.length, sums: { file: await sha256(bytes), image } };
  }

  async #packZeros(raw: Buffer<ArrayBuffer>): Promise<PackedFrame> {
    const packed =
      this.#zeros.get(raw.length) ?? this.#compress(raw).then((bytes) => ({ bytes, imageBytes: raw.length }));
    this.#zeros.set(raw.length, packed);
    return packed;
  }

  /** What it returns was decoded again and is the same: machines then need only know that it is what was stored. */
  async #compress(raw: Buffer<ArrayBuffer>): Promise<Buffer<ArrayBuffer>> {
    const bytes = await this.#compressor(raw, this.#options.level);
    let cause: unknown;
    try {
      const decoded = await decompress(bytes, { chunkSize: FRAME_BYTES, maxOutputLength: FRAME_BYTES });
      if (decoded.equals(raw)) return bytes;
    } catch (thrown) {
      cause = thrown;
    }
    const sentence = 'a packed frame does not decode to what was packed: check the memory of this host';
    throw new TinsmithError('internal', sentence, { cause });
  }
}

type PackedFrame = Pick<LibraryFrame, 'imageBytes' | 'sums'> & { readonly bytes: Buffer<ArrayBuffer> };

async function zstdFrame(raw: Buffer<ArrayBuffer>, level: number): Promise<Buffer<ArrayBuffer>> {
  // The size in each frame's head lets a reader refuse a frame before it decodes it; the sum is what the agent checks its contents by.
  const params = {
    [constants.ZSTD_c_compressionLevel]: level,
    // A frame is one window: whoever decodes it needs no more memory than the frame has, and 1.4 % less is stored.
    [constants.ZSTD_c_windowLog]: Math.log2(FRAME_BYTES),
    [constants.ZSTD_c_contentSizeFlag]: 1,
    [constants.ZSTD_c_checksumFlag]: 1,
  };
  // Output comes in one piece: pieces of 64 KiB, the default, cost a sixth of the import.
  return compress(raw, { params, pledgedSrcSize: raw.length, chunkSize: LARGEST_FRAME_BYTES });
}

/** Cuts a stream into frames. Each has memory of its own, but those that are zeros: they share it. */
async function* framesOf(image: AsyncIterable<ImagePiece>): AsyncGenerator<Buffer<ArrayBuffer>> {
  /** Made when there is something to put into it: until then the first `filled` bytes are zeros. */
  let frame: Buffer<ArrayBuffer> | undefined;
  let filled = 0;
  for await (const piece of image) {
    const length = 'zeros' in piece ? piece.zeros : piece.length;
    for (let done = 0, taken = 0; done < length; done += taken) {
      taken = Math.min(length - done, FRAME_BYTES - filled);
      const part = 'zeros' in piece ? ZEROS.subarray(0, taken) : piece.subarray(done, done + taken);
      if (frame !== undefined || !isZeros(part)) {
        frame ??= Buffer.allocUnsafeSlow(FRAME_BYTES).fill(0, 0, filled);
        frame.set(part, filled);
      }
      filled += taken;
      if (filled < FRAME_BYTES) continue;
      yield frame ?? ZEROS;
      frame = undefined;
      filled = 0;
    }
  }
  if (filled > 0) yield (frame ?? ZEROS).subarray(0, filled);
}

const ZEROS = Buffer.alloc(FRAME_BYTES);

function isZeros(bytes: Uint8Array): boolean {
  return bytes.buffer === ZEROS.buffer || ZEROS.compare(bytes, 0, bytes.length, 0, bytes.length) === 0;
}

/** On the thread pool, beside the compression. */
async function sha256(bytes: Uint8Array<ArrayBuffer>): Promise<string> {
  return Buffer.from(await crypto.subtle.digest('SHA-256', bytes)).toString('hex');
}

function requireDisk(imageBytes: number): void {
  if (imageBytes === 0) throw new TinsmithError('corrupt_image', 'the image is empty');
  if (imageBytes % 512 === 0) return;
  throw new TinsmithError('corrupt_image', `the image is cut short: it has ${imageBytes} bytes, no multiple of 512`);
}
