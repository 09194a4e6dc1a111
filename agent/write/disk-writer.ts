import { createHash, type Hash } from 'node:crypto';
import { crc32 } from 'node:zlib';
import { TinsmithError } from '#proto/errors.ts';
import type { ImageSink } from '#transfer/image-sink.ts';
import type { Disk } from '../machine/machine.ts';
import { END_BYTES, middleOf, tooSmall } from './disk-ends.ts';
import type { WriteMemory } from './write-memory.ts';

/** A part of an image as it was meant to be written. */
export interface WrittenPiece {
  /** In the image, which begins where the disk begins; a multiple of the disk's blocks. */
  readonly imageOffset: number;
  /** `PIECE_BYTES` at most. */
  readonly imageBytes: number;
  /** Lower-case hex; undefined: zeros. */
  readonly sha256: string | undefined;
}

/** One write, and what has a sum of its own. */
export const PIECE_BYTES = 4 << 20;
/** 24 MiB; with the reader's batches the whole pipeline stays below 64 MiB. */
const BUFFERS = 6;

/** What a writer keeps of the image, and who looks at it first. */
export interface DiskWriterOptions {
  /** Whether the SHA-256 of the whole image is wanted. */
  readonly hash: boolean;
  /** Whether the SHA-256 of each piece is wanted, to be found on the disk again. */
  readonly sums: boolean;
  readonly beforeFirstWrite: (head: Buffer) => Promise<void>;
  readonly memory: WriteMemory;
}

/**
 * Writes an image from its first byte to its last with several writes in flight, except for the first and the last MiB of the
 * disk: those are collected in `head` and `tail`. Nothing is written before `beforeFirstWrite` has seen the head.
 */
export class DiskWriter implements ImageSink {
  readonly disk: Disk;
  /** What belongs into the disk's first MiB. */
  readonly head: Buffer;
  /** What belongs into its last MiB, as far as the image reaches it. */
  readonly tail: Buffer;
  /** Bytes of the image so far. */
  bytes = 0;
  readonly #beforeFirstWrite: (head: Buffer) => Promise<void>;
  readonly memory: WriteMemory;
  readonly #buffers: Buffer[];
  readonly #writing: Promise<void>[];
  readonly #hash: Hash | undefined;
  readonly #pieces: WrittenPiece[] | undefined;
  #checks: (number | undefined)[] | undefined;
  #current = 0;
  #filled = 0;

  constructor(disk: Disk, options: DiskWriterOptions) {
    this.disk = disk;
    this.#beforeFirstWrite = options.beforeFirstWrite;
    this.memory = options.memory;
    this.#buffers = this.memory.aligned(BUFFERS, PIECE_BYTES);
    const [head, tail] = this.memory.aligned(2, END_BYTES);
    this.head = head ?? Buffer.alloc(0);
    this.tail = tail ?? Buffer.alloc(0);
    this.#writing = this.#buffers.map(() => Promise.resolve());
    this.#hash = options.hash ? createHash('sha256') : undefined;
    this.#pieces = options.sums ? [] : undefined;
  }

  space(): Buffer {
    return this.#buffer().subarray(this.#filled);
  }

  async advance(bytes: number): Promise<void> {
    this.#filled += bytes;
    this.bytes += bytes;
    if (this.bytes > this.disk.sizeBytes) throw tooSmall(this.disk, `is longer than that`);
    if (this.#filled === PIECE_BYTES) await this.#submit();
  }

  /** Writes what is left, padded with zeros to a whole block, and waits for everything. Returns the SHA-256 if asked for. */
  async finish(): Promise<string | undefined> {
    if (this.#filled > 0) await this.#submit();
    await Promise.all(this.#writing);
    return this.#hash?.digest('hex');
  }

  /** Its own memory for reading back: nothing is written any more when it is used. */
  get readBackMemory(): { readonly buffers: readonly Buffer[]; readonly sums: WriteMemory } {
    return { buffers: this.#buffers, sums: this.memory };
  }

  /** What was handed to the disk, in order, if its sums were asked for. Complete after `finish`. */
  get pieces(): readonly WrittenPiece[] {
    return this.#pieces ?? [];
  }

  /** From here on a check of each piece is kept. Before the first byte. */
  keepChecks(): void {
    this.#checks ??= [];
  }

  /** CRC-32 of the first pieces of the image that lie on the disk whole: no end of the disk and no write under way is part of them. */
  safeChecks(): readonly number[] {
    const whole = Math.floor((this.disk.sizeBytes - END_BYTES) / PIECE_BYTES);
    const checks = this.#checks?.slice(0, whole) ?? [];
    const missing = Array.from(checks).indexOf(undefined);
    return checks.slice(0, missing === -1 ? undefined : missing).filter((check) => check !== undefined);
  }

  /** Takes the next piece for written: it lies on the disk already. Before the first byte; `head` has to be filled. */
  async adopt(bytes: Buffer, check: number): Promise<void> {
    this.#hash?.update(bytes);
    this.#checks?.push(check);
    const place = { imageOffset: this.bytes, imageBytes: bytes.length };
    this.bytes += bytes.length;
    if (this.#pieces !== undefined) this.#pieces.push({ ...place, sha256: await this.memory.sha256(bytes) });
  }

  /** Waits until no write is in flight; how they ended does not matter any more. */
  async settle(): Promise<void> {
    await Promise.allSettled(this.#writing);
  }

  #buffer(): Buffer {
    const buffer = this.#buffers[this.#current];
    if (buffer === undefined) throw new TinsmithError('internal', 'the disk writer has no buffers');
    return buffer;
  }

  async #submit(): Promise<void> {
    const buffer = this.#buffer();
    this.#hash?.update(buffer.subarray(0, this.#filled));
    const block = this.disk.logicalBlockBytes;
    const padded = Math.ceil(this.#filled / block) * block;
    buffer.fill(0, this.#filled, padded);
    const start = this.bytes - this.#filled;
    const { from, to } = middleOf(this.disk, start, padded);
    if (start === 0) {
      buffer.copy(this.head, 0, 0, from);
      await this.#beforeFirstWrite(this.head);
    }
    if (to < padded) buffer.copy(this.tail, start + to - (this.disk.sizeBytes - END_BYTES), to, padded);
    const write = this.#recordWhenDone(
      to > from ? this.disk.write(buffer.subarray(from, to), start + from) : Promise.resolve(),
      buffer.subarray(0, this.#filled),
      start,
    );
    // A failed write is met where its buffer is wanted again or at the end; until then nobody listens.
    write.catch(() => undefined);
    this.#writing[this.#current] = write;
    this.#current = (this.#current + 1) % BUFFERS;
    this.#filled = 0;
    await this.#writing[this.#current];
  }

  /** Ends when both the write and the sum have ended: the buffer is free then, however they ended. */
  async #recordWhenDone(write: Promise<void>, bytes: Buffer, imageOffset: number): Promise<void> {
    const index = imageOffset / PIECE_BYTES;
    const check = this.#checks === undefined || bytes.length < PIECE_BYTES ? undefined : crc32(bytes);
    const summing = this.#pieces === undefined ? undefined : this.memory.sha256(bytes);
    const [sum, written] = await Promise.allSettled([summing, write]);
    if (sum.status === 'rejected') throw sum.reason;
    if (written.status === 'rejected') throw written.reason;
    if (this.#checks !== undefined) this.#checks[index] = check;
    if (this.#pieces !== undefined) this.#pieces[index] = { imageOffset, imageBytes: bytes.length, sha256: sum.value };
  }
}
