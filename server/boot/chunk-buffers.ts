/** Large reads keep the system calls few: 1 MiB gives twice the throughput of a stream's 64 KiB. */
export const CHUNK_BYTES = 1 << 20;

/**
 * Memory for what is read and sent, used again: a new MiB for every few MiB that are sent costs the kernel its zeroing and makes the
 * garbage collector look at everything, a third of the whole effort.
 */
export class ChunkBuffers {
  readonly #chunkBytes: number;
  readonly #most: number;
  readonly #kept: Buffer[] = [];

  constructor({ chunkBytes, most }: { readonly chunkBytes: number; readonly most: number }) {
    this.#chunkBytes = chunkBytes;
    this.#most = most;
  }

  /** At least that long. What is longer than a chunk is never kept, and neither is what is much shorter. */
  take(sizeBytes: number): Buffer {
    const isChunk = sizeBytes <= this.#chunkBytes && sizeBytes > this.#chunkBytes / 4;
    return isChunk ? (this.#kept.pop() ?? Buffer.allocUnsafeSlow(this.#chunkBytes)) : Buffer.allocUnsafe(sizeBytes);
  }

  /** Only when nobody reads it any more: what the kernel still has to send must not become something else. */
  giveBack(buffer: Buffer): void {
    if (buffer.length === this.#chunkBytes && this.#kept.length < this.#most) this.#kept.push(buffer);
  }
}
