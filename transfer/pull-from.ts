import { TinsmithError } from '#proto/errors.ts';
import type { ImageSink } from './image-sink.ts';

/** A sink whose reader may go away. */
export interface StoppableSink extends ImageSink {
  /** Nobody wants any more. */
  readonly isStopped: boolean;
}

/**
 * Turns what writes into a sink into what can be read: `produce` runs as far as two pieces ahead. A piece is valid until the next one is
 * asked for. What `produce` throws comes after every piece that it had made.
 */
export async function* pullFrom(produce: (sink: StoppableSink) => Promise<void>): AsyncGenerator<Buffer> {
  const pieces = new PieceQueue();
  const producing = run(produce, pieces);
  // Its failure is thrown below; until then nobody listens.
  producing.catch(() => undefined);
  try {
    for (let piece = await pieces.next(); piece !== undefined; piece = await pieces.next()) yield piece;
    await producing;
  } finally {
    pieces.stop();
    await producing.catch(() => undefined); // thrown above if anybody still wants it
  }
}

async function run(produce: (sink: StoppableSink) => Promise<void>, pieces: PieceQueue): Promise<void> {
  try {
    await produce(pieces);
    if (!pieces.isStopped) await pieces.finish();
  } finally {
    pieces.close();
  }
}

const PIECE_BYTES = 1 << 20;

/** One buffer is filled while the other is read: the decoder waits for the reader and the reader for the decoder. */
class PieceQueue implements StoppableSink {
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

  /** @throws TinsmithError `cancelled` once nobody reads any more: so a decoder in the middle of a large piece ends, too. */
  async advance(bytes: number): Promise<void> {
    if (this.isStopped) throw new TinsmithError('cancelled', 'nobody reads any more');
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
