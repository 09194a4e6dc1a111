/**
 * Serves the files below a folder on all addresses, with ranges, and prints a line of JSON for each request:
 * `counting-server.ts FOLDER PORT [--tls FOLDER] [--held] [--dies-after BYTES]`. TLS: by the host that `makeAuthority` made there. Held:
 * until SIGUSR2 it sends 64 KiB a second.
 */
import { createReadStream } from 'node:fs';
import { readFile, stat } from 'node:fs/promises';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { join, normalize } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    tls: { type: 'string' },
    held: { type: 'boolean', default: false },
    'dies-after': { type: 'string', default: 'Infinity' },
  },
});
const [folder = '.', port = '0'] = positionals;
let isHeld = values.held;
process.once('SIGUSR2', () => void (isHeld = false));
let leftBytes = Number(values['dies-after']);

async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const { pathname } = new URL(request.url ?? '/', 'http://none');
  const file = join(folder, normalize(pathname));
  const size = (await stat(file).catch(() => undefined))?.size;
  if (size === undefined) return void response.writeHead(404).end();
  const [, from, last] = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? '') ?? [];
  const start = Number(from ?? 0);
  const end = Math.min(last === undefined || last === '' ? size - 1 : Number(last), size - 1);
  console.log(JSON.stringify({ method: request.method, path: pathname, bytes: end - start + 1 }));
  const head = { 'content-length': end - start + 1, 'accept-ranges': 'bytes', etag: `"${size}"` };
  if (from === undefined) response.writeHead(200, head);
  else response.writeHead(206, { ...head, 'content-range': `bytes ${start}-${end}/${size}` });
  if (request.method === 'HEAD') return void response.end();
  await pipeline(createReadStream(file, { start, end }), counted, response);
}

/** Slow while it is held; the process ends in the middle of an answer, as by a power cut. */
async function* counted(chunks: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  for await (const chunk of chunks) {
    leftBytes -= chunk.length;
    if (leftBytes < 0) process.exit(0);
    yield chunk;
    if (isHeld) await sleep(1000);
  }
}

const onRequest = (request: IncomingMessage, response: ServerResponse): void =>
  void answer(request, response).catch(() => response.destroy());
const identityFile = (name: string): Promise<Buffer> => readFile(join(values.tls ?? '', name));
const server =
  values.tls === undefined
    ? createServer(onRequest)
    : createTlsServer({ key: await identityFile('host.key'), cert: await identityFile('host.pem') }, onRequest);
server.listen(Number(port), () => console.log(JSON.stringify({ method: 'LISTEN' })));
