/** Serves the files of a folder on a free port of 127.0.0.1 and prints the port: `serve-folder.ts FOLDER`. */
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { basename, join } from 'node:path';
import { pipeline } from 'node:stream/promises';

const folder = process.argv[2] ?? '.';
const server = createServer((request, response) => {
  const file = join(folder, basename(request.url ?? ''));
  const send = async (): Promise<void> => {
    response.setHeader('content-length', (await stat(file)).size);
    response.setHeader('etag', '"bench"');
    await pipeline(createReadStream(file, { highWaterMark: 1 << 20 }), response);
  };
  send().catch(() => response.destroy());
});
server.listen(0, '127.0.0.1', () => console.log((server.address() as AddressInfo).port));
