import { hash } from 'node:crypto';
import { availableParallelism } from 'node:os';
import { alignedBuffers } from './aligned-buffers.ts';

/** What all buffers of one library write may hold together, whatever the image's size. */
export const MOST_BUFFER_BYTES = 64 << 20;

/** Of these a hash makes a copy of its input: they count. Three at once keep a disk of 1 GB/s busy, and as many cores. */
const HASHES_AT_ONCE = 3;

/**
 * With so few processors the thread pool has none to spare, and the copies that WebCrypto makes cost a seventh of a whole write (2.5 s
 * against 2.2 s for 1 GiB on two) and a third of a re-image (1.3 s against 0.8 s); with more, a main thread that hashes would be what
 * everybody waits for.
 */
const FEW_PROCESSORS = 2;

/**
 * Gives one library write its buffers and counts them, copies that others make for it included, so that the log can say how much it
 * took. Buffers live as long as the write.
 */
export class WriteMemory {
  /** The most that was held at once. */
  peakBytes = 0;
  #heldBytes = 0;
  #hashing = 0;
  readonly #hashesInline: boolean;
  readonly #waiting: (() => void)[] = [];

  constructor(processors = availableParallelism()) {
    this.#hashesInline = processors <= FEW_PROCESSORS;
  }

  aligned(count: number, sizeBytes: number): Buffer<ArrayBuffer>[] {
    this.#hold(count * sizeBytes);
    return alignedBuffers(count, sizeBytes);
  }

  plain(sizeBytes: number): Buffer<ArrayBuffer> {
    this.#hold(sizeBytes);
    return Buffer.allocUnsafeSlow(sizeBytes);
  }

  /**
   * SHA-256 as lower-case hex of what was fetched, decoded or read from the disk; on the thread pool where there are processors for it.
   * WebCrypto copies its input, so only a few are made at once and others wait for their turn.
   */
  async sha256(bytes: Uint8Array<ArrayBuffer>): Promise<string> {
    if (this.#hashesInline) return hash('sha256', bytes, 'hex');
    if (this.#hashing === HASHES_AT_ONCE) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    else this.#hashing += 1;
    this.#hold(bytes.length);
    try {
      return Buffer.from(await crypto.subtle.digest('SHA-256', bytes)).toString('hex');
    } finally {
      this.#heldBytes -= bytes.length;
      // The turn is handed on, so that nobody comes between.
      const next = this.#waiting.shift();
      if (next === undefined) this.#hashing -= 1;
      else next();
    }
  }

  #hold(bytes: number): void {
    this.#heldBytes += bytes;
    this.peakBytes = Math.max(this.peakBytes, this.#heldBytes);
  }
}
