import { decoders } from './decoders.ts';
import { type Decoder, type ImageFormat, recognizeFormat } from './image-format.ts';
import { pullFrom, type StoppableSink } from './pull-from.ts';

/**
 * What comes out of a compressed stream, whose format is seen from its first bytes; a raw one passes. Pieces are valid until the next
 * one is asked for. Throws what the source throws, and `corrupt_image` unless the stream is complete.
 */
export function decodeStream(
  source: AsyncIterable<Uint8Array>,
  onFormat: (format: ImageFormat) => void = () => undefined,
): AsyncGenerator<Buffer> {
  return pullFrom((sink) => decodeInto(source, sink, onFormat));
}

async function decodeInto(
  source: AsyncIterable<Uint8Array>,
  sink: StoppableSink,
  onFormat: (format: ImageFormat) => void,
): Promise<void> {
  let decoder: Decoder | undefined;
  try {
    for await (const bytes of source) {
      if (sink.isStopped) return;
      if (decoder === undefined) {
        const format = recognizeFormat(bytes);
        onFormat(format);
        decoder = decoders[format](sink);
      }
      await decoder.push(bytes);
    }
    await decoder?.end();
  } finally {
    decoder?.close();
  }
}
