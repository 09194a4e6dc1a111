import { decoders } from './decoders.ts';
import { type ImageFormat, recognizeFormat } from './image-format.ts';
import type { ImageSink } from './image-sink.ts';

/**
 * What comes out of a compressed stream, whose format is seen from its first bytes; a raw one passes. Pieces are valid until the next
 * one is asked for. Throws what the source throws, and `corrupt_image` unless the stream is complete.
 */
export async function* decodeStream(
  source: AsyncIterable<Uint8Array>,
  onFormat: (format: ImageFormat) => void = () => undefined,
): AsyncGenerator<Buffer> {
  const pieces = new PieceQueue();
  const decoding = decodeInto(source, pieces, onFormat);
  // Its failure is thrown below, after every piece that came before it; until then nobody listens.
  decoding.catch(() => undefined);
  try {
    for (let piece = await pieces.next(); piece !== undefined; piece = await pieces.next()) yield piece;
    await decoding;
  } finally {
    pieces.stop();
    await decoding.catch(() => undefined); // thrown above if anybody still wants it
  }
}

async function decodeInto(
  source: AsyncIterable<Uint8Array>,
  pieces: PieceQueue,
  onFormat: (format: ImageFormat) => void,
): Promise<void> {
  let decoder: ReturnType<(typeof decoders)['raw']> | undefined;
  try {
    for await (const bytes of source) {
      if (pieces.isStopped) return;
      if (decoder === undefined) {
        const format = recognizeFormat(bytes);
        onFormat(format);
        decoder = decoders[format](pieces);
      }
      await decoder.push(bytes);
    }
    await decoder?.end();
    await pieces.finish();
  } finally {
    decoder?.close();
    pieces.close();
  }
}

const PIECE_BYTES = 1 << 20;

/** One buffer is filled while the other is read: the decoder waits for the reader and the reader for the decoder. */
class PieceQueue implements ImageSink {
  isStopped = false;
  readonly #buffers = [Buffer.allocUnsafeSlow(PIECE_BYTES), Buffer.allocUnsafeSlow(PIECE_BYTES)] as const;
  #turn = 0;
  #filled = 0;
  #full: Buffer | undefined;
  #isClosed = false;
  #wake: () => void = () => undefined;

  space(): Buffer {
    return this.#buffers[this.#turn % 2 === 0 ? 0 : 1].subarray(this.#filled);
  }

  async advance(bytes: number): Promise<void> {
    this.#filled += bytes;
    if (this.#filled === PIECE_BYTES) await this.#handOver();
  }

  async finish(): Promise<void> {
    if (this.#filled > 0) await this.#handOver();
  }

  /** The reader has used the piece before when it asks for the next. */
  async next(): Promise<Buffer | undefined> {
    while (this.#full === undefined && !this.#isClosed) await this.#sleep();
    const piece = this.#full;
    this.#full = undefined;
    this.#wakeUp();
    return piece;
  }

  close(): void {
    this.#isClosed = true;
    this.#wakeUp();
  }

  stop(): void {
    this.isStopped = true;
    this.#wakeUp();
  }

  /** The other buffer may be filled only when the piece in it was used: when the reader has taken this one. */
  async #handOver(): Promise<void> {
    while (this.#full !== undefined && !this.isStopped) await this.#sleep();
    this.#full = this.#buffers[this.#turn % 2 === 0 ? 0 : 1].subarray(0, this.#filled);
    this.#turn += 1;
    this.#filled = 0;
    this.#wakeUp();
    while (this.#full !== undefined && !this.isStopped) await this.#sleep();
  }

  #sleep(): Promise<void> {
    return new Promise((resolve) => {
      const earlier = this.#wake;
      this.#wake = () => {
        earlier();
        resolve();
      };
    });
  }

  #wakeUp(): void {
    const wake = this.#wake;
    this.#wake = () => undefined;
    wake();
  }
}
