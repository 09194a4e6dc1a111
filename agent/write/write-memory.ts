import { sharedBuffers } from './aligned-buffers.ts';
import { HashThreads } from './hash-threads.ts';

/** What all buffers of one library write may hold together, whatever the image's size. */
export const MOST_BUFFER_BYTES = 64 << 20;

/**
 * Gives one write its buffers, which threads that sum up may look into, and counts them, so that the log can say how much it took.
 * Buffers live as long as the write.
 */
export class WriteMemory implements AsyncDisposable {
  /** The most that was held at once. */
  peakBytes = 0;
  readonly #threads: HashThreads;

  constructor(threads = new HashThreads()) {
    this.#threads = threads;
  }

  /** See `sharedBuffers`. */
  aligned(count: number, sizeBytes: number): Buffer[] {
    this.peakBytes += count * sizeBytes;
    return sharedBuffers(count, sizeBytes);
  }

  /** One that lies anywhere; all bytes are zero. */
  plain(sizeBytes: number): Buffer {
    this.peakBytes += sizeBytes;
    return Buffer.from(new SharedArrayBuffer(sizeBytes));
  }

  /** Threads that sum up beside the caller's own. */
  get hashThreads(): number {
    return this.#threads.count;
  }

  /** SHA-256 as lower-case hex of what was fetched, decoded or read from the disk. */
  sha256(bytes: Uint8Array): Promise<string> {
    return this.#threads.sha256(bytes);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#threads[Symbol.asyncDispose]();
  }
}
