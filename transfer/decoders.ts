import { bzip2Decoder } from './bzip2-decoder.ts';
import type { Decoder, ImageFormat } from './image-format.ts';
import { type ImageSink, putBytes } from './image-sink.ts';
import { xzDecoder } from './xz-decoder.ts';
import { gunzipDecoder, zstdDecoder } from './zlib-handle.ts';

/** The decoder of a format; it writes into the sink's own memory. */
export const decoders: Readonly<Record<ImageFormat, (sink: ImageSink) => Decoder>> = {
  raw: rawDecoder,
  gz: gunzipDecoder,
  xz: xzDecoder,
  zst: zstdDecoder,
  bz2: bzip2Decoder,
};

function rawDecoder(sink: ImageSink): Decoder {
  return { push: (input) => putBytes(sink, input), end: async () => undefined, close: () => undefined };
}
