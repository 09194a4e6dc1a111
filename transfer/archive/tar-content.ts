import { putBytes } from '../image-sink.ts';
import { pullFrom } from '../pull-from.ts';
import { SingleFile } from './single-file.ts';
import { TarParser } from './tar-parser.ts';

/** The content of the only file of a tar stream. Pieces are valid until the next one is asked for. Throws `corrupt_image`. */
export function tarContent(source: AsyncIterable<Uint8Array>): AsyncGenerator<Buffer> {
  return pullFrom(async (sink) => {
    const file = new SingleFile((bytes) => putBytes(sink, bytes));
    const parser = new TarParser(file);
    for await (const bytes of source) {
      if (sink.isStopped) return;
      await parser.push(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length));
    }
    parser.end();
    file.finish();
  });
}
