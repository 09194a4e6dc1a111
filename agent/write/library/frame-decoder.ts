import { TinsmithError } from '#proto/errors.ts';
import type { ImageSink } from '#transfer/image-sink.ts';
import { zstdDecoder } from '#transfer/zlib-handle.ts';

/** Decodes frames one after the other, each into memory that the caller gives. Not for two at once. */
export class FrameDecoder {
  readonly #target = new FixedMemory();
  #decoder = zstdDecoder(this.#target);

  /** Fills all of `into`. Throws `corrupt_image` if the frame is damaged or holds another number of bytes. */
  async decode(frame: Uint8Array, into: Buffer): Promise<void> {
    this.#target.use(into);
    try {
      await this.#decoder.push(frame);
      this.#target.requireFull();
    } catch (thrown) {
      // It may be in the middle of a frame: the next one begins with a fresh decoder.
      this.#decoder.close();
      this.#decoder = zstdDecoder(this.#target);
      throw thrown;
    }
  }

  close(): void {
    this.#decoder.close();
  }
}

/** The decoder wants room even when there is nothing more to come: one byte beside, which nothing may be written to. */
class FixedMemory implements ImageSink {
  readonly #spill = Buffer.alloc(1);
  #into: Buffer = Buffer.alloc(0);
  #filled = 0;

  use(into: Buffer): void {
    this.#into = into;
    this.#filled = 0;
  }

  space(): Buffer {
    return this.#filled < this.#into.length ? this.#into.subarray(this.#filled) : this.#spill;
  }

  advance(bytes: number): Promise<void> {
    this.#filled += bytes;
    if (this.#filled <= this.#into.length) return Promise.resolve();
    return Promise.reject(wrongLength(this.#into.length));
  }

  requireFull(): void {
    if (this.#filled !== this.#into.length) throw wrongLength(this.#into.length);
  }
}

function wrongLength(expected: number): TinsmithError {
  return new TinsmithError('corrupt_image', `a frame of the library image does not decode to its ${expected} bytes`);
}
