import xz from 'xz-decompress';
import { messageOf, TinsmithError } from '#proto/errors.ts';
import type { Decoder } from './image-format.ts';
import { type ImageSink, putBytes } from './image-sink.ts';
import { XzWalker } from './xz-walker.ts';

/** XZ_MEMLIMIT_ERROR of xz-embedded, as the WebAssembly decoder says it. */
const MEMORY_LIMIT = /error code 4\)?$/;

/**
 * xz with any number of streams and padding. The WebAssembly decoder knows one stream and does not notice what follows it;
 * the walker follows the container's structure, tells where each stream ends and that the last one is whole.
 */
export function xzDecoder(sink: ImageSink): Decoder {
  const walker = new XzWalker();
  let stream: OpenStream | undefined;

  return {
    async push(input) {
      for (const piece of walker.walk(input)) {
        stream ??= new OpenStream(sink);
        // The decoder keeps pieces beyond this call and the batch's memory is used again.
        await stream.push(Uint8Array.from(piece.bytes));
        if (piece.endsStream) {
          await stream.end();
          stream = undefined;
        }
      }
    },
    async end() {
      walker.end();
      await stream?.end();
    },
    close: () => stream?.abandon(),
  };
}

/** One xz stream on its way through the WebAssembly decoder into the sink. */
class OpenStream {
  #controller: ReadableStreamDefaultController<Uint8Array> | undefined;
  #wanted = Promise.withResolvers<void>();
  readonly #reader: ReadableStreamDefaultReader<Uint8Array>;
  readonly #done: Promise<void>;

  constructor(sink: ImageSink) {
    const source = new ReadableStream<Uint8Array>(
      {
        start: (controller) => {
          this.#controller = controller;
        },
        pull: () => this.#wanted.resolve(),
      },
      { highWaterMark: 0 },
    );
    this.#reader = new xz.XzReadableStream(source).getReader();
    this.#done = this.#drain(sink);
    this.#done.catch(() => undefined);
  }

  /** Resolves when the decoder wants more. */
  async push(bytes: Uint8Array): Promise<void> {
    await this.#untilWanted();
    this.#wanted = Promise.withResolvers<void>();
    this.#controller?.enqueue(bytes);
  }

  /** Resolves when all of the stream is in the sink. */
  async end(): Promise<void> {
    // The decoder may hold its last output back until it knows that nothing follows.
    await this.#untilWanted();
    this.#controller?.close();
    await this.#done;
  }

  /** The decoder holds a lock that all xz streams share: it is given back by an error or a cancellation only. */
  abandon(): void {
    this.#controller?.error(new TinsmithError('cancelled', 'decoding was abandoned'));
    this.#reader.cancel().catch(() => undefined);
  }

  async #untilWanted(): Promise<void> {
    await Promise.race([this.#wanted.promise, this.#done]);
  }

  async #drain(sink: ImageSink): Promise<void> {
    for (;;) {
      const { done, value } = await read(this.#reader);
      if (done) return;
      await putBytes(sink, value);
    }
  }
}

async function read(reader: ReadableStreamDefaultReader<Uint8Array>): ReturnType<typeof reader.read> {
  try {
    return await reader.read();
  } catch (thrown) {
    if (thrown instanceof TinsmithError) throw thrown;
    const fact = messageOf(thrown);
    if (MEMORY_LIMIT.test(fact)) {
      const fix = 'compress it again, with xz -9 or less and without --lzma2=dict';
      throw new TinsmithError(
        'unsupported',
        `cannot unpack the image: its xz dictionary is larger than 64 MiB: ${fix}`,
        {
          cause: thrown,
        },
      );
    }
    throw new TinsmithError('corrupt_image', `the image is damaged: its xz data does not decode (${fact})`, {
      cause: thrown,
    });
  }
}
