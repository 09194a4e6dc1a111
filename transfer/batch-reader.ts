import { TinsmithError } from '#proto/errors.ts';

const BATCH_BYTES = 1 << 20;
/** 8 MiB are read ahead of the decoder at most. */
const BATCHES = 8;
/** What one reader holds. */
export const BATCH_READER_BYTES = BATCHES * BATCH_BYTES;

/**
 * Gathers small chunks into batches of 1 MiB, reading ahead while the consumer works. A batch is valid until the next one is
 * asked for: its memory is used again. Errors of the source surface in order, after everything that came before them.
 */
export async function* readBatches(source: AsyncIterable<Uint8Array>): AsyncGenerator<Buffer> {
  const reader = new BatchReader();
  const filling = reader.fill(source);
  // Its error is thrown below, when what came before it has been used; until then nobody listens.
  filling.catch(() => undefined);
  try {
    for (let batch = await reader.next(); batch !== undefined; batch = await reader.next()) {
      yield batch;
      reader.release(batch);
    }
    await filling;
  } finally {
    reader.stop();
    // Already thrown above if it matters; a consumer that stops early does not care.
    await filling.catch(() => undefined);
  }
}

class BatchReader {
  readonly #free: Buffer[] = Array.from({ length: BATCHES }, () => Buffer.allocUnsafeSlow(BATCH_BYTES));
  readonly #full: Buffer[] = [];
  #isOver = false;
  #isStopped = false;
  #wakeReader: () => void = () => undefined;
  #wakeFiller: () => void = () => undefined;

  async fill(source: AsyncIterable<Uint8Array>): Promise<void> {
    let batch = await this.#takeFree();
    let filled = 0;
    try {
      for await (const chunk of source) {
        for (let done = 0; done < chunk.length; ) {
          const count = Math.min(chunk.length - done, BATCH_BYTES - filled);
          batch.set(chunk.subarray(done, done + count), filled);
          done += count;
          filled += count;
          if (filled === BATCH_BYTES) {
            this.#push(batch);
            batch = await this.#takeFree();
            filled = 0;
          }
        }
        if (this.#isStopped) return;
      }
      if (filled > 0) this.#push(batch.subarray(0, filled));
    } finally {
      this.#isOver = true;
      this.#wakeReader();
    }
  }

  async next(): Promise<Buffer | undefined> {
    while (this.#full.length === 0 && !this.#isOver) {
      await new Promise<void>((resolve) => {
        this.#wakeReader = resolve;
      });
    }
    return this.#full.shift();
  }

  release(batch: Buffer): void {
    if (batch.length === BATCH_BYTES) this.#free.push(batch);
    this.#wakeFiller();
  }

  stop(): void {
    this.#isStopped = true;
    this.#wakeFiller();
  }

  #push(batch: Buffer): void {
    this.#full.push(batch);
    this.#wakeReader();
  }

  async #takeFree(): Promise<Buffer> {
    while (this.#free.length === 0) {
      if (this.#isStopped) throw new TinsmithError('cancelled', 'nobody reads the download any more');
      await new Promise<void>((resolve) => {
        this.#wakeFiller = resolve;
      });
    }
    return this.#free.pop() ?? Buffer.alloc(BATCH_BYTES);
  }
}
