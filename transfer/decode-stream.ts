import { decoders } from './decoders.ts';
import { type Decoder, recognizeFormat } from './image-format.ts';
import { pullFrom, type StoppableSink } from './pull-from.ts';

/**
 * What comes out of a compressed stream, whose format is seen from its first bytes; a raw one passes. Pieces are valid until the next
 * one is asked for. Throws what the source throws, and `corrupt_image` unless the stream is complete.
 */
export function decodeStream(source: AsyncIterable<Uint8Array>): AsyncGenerator<Buffer> {
  return pullFrom((sink) => decodeInto(source, sink));
}

async function decodeInto(source: AsyncIterable<Uint8Array>, sink: StoppableSink): Promise<void> {
  let decoder: Decoder | undefined;
  try {
    for await (const bytes of source) {
      if (sink.isStopped) return;
      decoder ??= decoders[recognizeFormat(bytes)](sink);
      await decoder.push(bytes);
    }
    await decoder?.end();
  } finally {
    decoder?.close();
  }
}
