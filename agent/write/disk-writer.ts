import { createHash, type Hash } from 'node:crypto';
import { TinsmithError } from '#proto/errors.ts';
import type { ImageSink } from '#transfer/image-sink.ts';
import type { Disk } from '../machine/machine.ts';
import { alignedBuffers } from './aligned-buffers.ts';

/** What belongs into the first and the last MiB of a disk, and how long the whole image is. */
export interface ImageEnds {
  readonly head: Buffer;
  readonly tail: Buffer;
  readonly bytes: number;
}

/** Both ends of the disk, where boot code and partition tables live, are withheld and written last. */
export const END_BYTES = 1 << 20;
const BUFFER_BYTES = 4 << 20;
/** 24 MiB; with the reader's batches the whole pipeline stays below 64 MiB. */
const BUFFERS = 6;

/**
 * Writes an image from its first byte to its last with several writes in flight, except for the first and the last MiB of the
 * disk: those are collected in `head` and `tail`. Nothing is written before `beforeFirstWrite` has seen the head.
 */
export class DiskWriter implements ImageSink {
  readonly disk: Disk;
  /** What belongs into the disk's first MiB. */
  readonly head: Buffer;
  /** What belongs into its last MiB; `tailBytes` of it are known. */
  readonly tail: Buffer;
  tailBytes = 0;
  /** Bytes of the image so far. */
  bytes = 0;
  readonly #beforeFirstWrite: (head: Buffer) => Promise<void>;
  readonly #buffers: Buffer[];
  readonly #writing: Promise<void>[];
  readonly #hash: Hash | undefined;
  #current = 0;
  #filled = 0;

  constructor(disk: Disk, options: { hash: boolean; beforeFirstWrite: (head: Buffer) => Promise<void> }) {
    this.disk = disk;
    this.#beforeFirstWrite = options.beforeFirstWrite;
    this.#buffers = alignedBuffers(BUFFERS, BUFFER_BYTES);
    const [head, tail] = alignedBuffers(2, END_BYTES);
    this.head = head ?? Buffer.alloc(0);
    this.tail = tail ?? Buffer.alloc(0);
    this.#writing = this.#buffers.map(() => Promise.resolve());
    this.#hash = options.hash ? createHash('sha256') : undefined;
  }

  space(): Buffer {
    return this.#buffer().subarray(this.#filled);
  }

  async advance(bytes: number): Promise<void> {
    this.#filled += bytes;
    this.bytes += bytes;
    if (this.bytes > this.disk.sizeBytes) throw tooSmall(this.disk, `is longer than that`);
    if (this.#filled === BUFFER_BYTES) await this.#submit();
  }

  /** Writes what is left, padded with zeros to a whole block, and waits for everything. Returns the SHA-256 if asked for. */
  async finish(): Promise<string | undefined> {
    if (this.#filled > 0) await this.#submit();
    await Promise.all(this.#writing);
    return this.#hash?.digest('hex');
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
    let from = 0;
    if (start === 0) {
      from = Math.min(padded, END_BYTES);
      buffer.copy(this.head, 0, 0, from);
      await this.#beforeFirstWrite(this.head);
    }
    const to = Math.max(from, Math.min(padded, this.disk.sizeBytes - END_BYTES - start));
    if (to < padded) {
      buffer.copy(this.tail, start + to - (this.disk.sizeBytes - END_BYTES), to, padded);
      this.tailBytes = start + padded - (this.disk.sizeBytes - END_BYTES);
    }
    const write = to > from ? this.disk.write(buffer.subarray(from, to), start + from) : Promise.resolve();
    // A failed write is met where its buffer is wanted again or at the end; until then nobody listens.
    write.catch(() => undefined);
    this.#writing[this.#current] = write;
    this.#current = (this.#current + 1) % BUFFERS;
    this.#filled = 0;
    await this.#writing[this.#current];
  }
}

/** `fact` says how the image compares. */
export function tooSmall(disk: Disk, fact: string): TinsmithError {
  const size = `${disk.sizeBytes} bytes`;
  return new TinsmithError('device_unfit', `cannot write to ${disk.device}: it holds ${size} and the image ${fact}`);
}
