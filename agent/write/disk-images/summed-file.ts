import { createHash, hash } from 'node:crypto';
import { TinsmithError } from '#proto/errors.ts';
import type { SeekableFile } from '#transfer/disk-images/disk-image.ts';
import { requireSum } from '../require-sum.ts';

/** A file that is read at any place, into memory of whoever asks. */
export interface PlacedFile extends SeekableFile {
  readInto(offset: number, into: Buffer): Promise<void>;
}

/** For each, the file's sum is kept: 32 KiB for a GiB. */
const CHUNK_BYTES = 1 << 20;

/**
 * A file whose every byte is one of those that its SHA-256 was checked of: a server could give others the next time and call them the
 * same. Several reads may be under way; each takes a MiB of memory for its edges.
 */
export class SummedFile implements PlacedFile {
  readonly sizeBytes: number;
  readonly #file: PlacedFile;
  readonly #sums: readonly string[];

  private constructor(file: PlacedFile, sums: readonly string[]) {
    this.#file = file;
    this.sizeBytes = file.sizeBytes;
    this.#sums = sums;
  }

  /** Reads all of it, through `memory`. Throws `checksum_mismatch`. */
  static async check(
    file: PlacedFile,
    expected: string,
    { memory, signal }: { readonly memory: Buffer; readonly signal: AbortSignal },
  ): Promise<SummedFile> {
    const whole = createHash('sha256');
    const sums: string[] = [];
    const step = Math.floor(memory.length / CHUNK_BYTES) * CHUNK_BYTES;
    for (let offset = 0; offset < file.sizeBytes; offset += step) {
      signal.throwIfAborted();
      const part = memory.subarray(0, Math.min(step, file.sizeBytes - offset));
      await file.readInto(offset, part);
      whole.update(part);
      for (let at = 0; at < part.length; at += CHUNK_BYTES) sums.push(sumOf(part.subarray(at, at + CHUNK_BYTES)));
    }
    requireSum('IMG_SHA256', 'the file', expected, whole.digest('hex'));
    return new SummedFile(file, sums);
  }

  async read(offset: number, bytes: number): Promise<Buffer> {
    const into = Buffer.allocUnsafe(bytes);
    await this.readInto(offset, into);
    return into;
  }

  /** Throws `checksum_mismatch`. */
  async readInto(offset: number, into: Buffer): Promise<void> {
    const end = offset + into.length;
    const wholeFrom = Math.ceil(offset / CHUNK_BYTES) * CHUNK_BYTES;
    const wholeEnd = end === this.sizeBytes ? end : Math.floor(end / CHUNK_BYTES) * CHUNK_BYTES;
    if (wholeFrom >= wholeEnd) return this.#readEdges(offset, into, [offset, end]);
    const middle = into.subarray(wholeFrom - offset, wholeEnd - offset);
    await this.#file.readInto(wholeFrom, middle);
    for (let at = 0; at < middle.length; at += CHUNK_BYTES) {
      this.#require((wholeFrom + at) / CHUNK_BYTES, middle.subarray(at, at + CHUNK_BYTES));
    }
    await this.#readEdges(offset, into, [offset, wholeFrom]);
    await this.#readEdges(offset, into, [wholeEnd, end]);
  }

  /** `into` begins at `offset`; of it, from `from` to `end`: parts of chunks, which are read whole. */
  async #readEdges(offset: number, into: Buffer, [from, end]: readonly [number, number]): Promise<void> {
    for (let at = from; at < end; ) {
      const number = Math.floor(at / CHUNK_BYTES);
      const start = number * CHUNK_BYTES;
      const chunk = Buffer.allocUnsafe(Math.min(CHUNK_BYTES, this.sizeBytes - start));
      await this.#file.readInto(start, chunk);
      this.#require(number, chunk);
      const until = Math.min(end, start + chunk.length);
      chunk.copy(into, at - offset, at - start, until - start);
      at = until;
    }
  }

  #require(number: number, chunk: Buffer): void {
    if (sumOf(chunk) === this.#sums[number]) return;
    const fact = `its MiB ${number} has other bytes than when IMG_SHA256 was checked`;
    throw new TinsmithError('checksum_mismatch', `the image changed on its server without a word: ${fact}`);
  }
}

function sumOf(bytes: Buffer): string {
  return hash('sha256', bytes, 'hex');
}
