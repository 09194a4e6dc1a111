import { readFileSync } from 'node:fs';
import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';

const FOLDER = join(import.meta.dirname, '../fixtures/disk-images');

/** A file of test/fixtures/disk-images, unpacked. */
export function imageFixture(name: string): Buffer {
  return gunzipSync(readFileSync(join(FOLDER, `${name}.gz`)));
}

export interface RangeServer extends AsyncDisposable {
  readonly url: string;
  /** `from-to` of every request. */
  readonly requests: string[];
}

export interface RangeServerOptions {
  /** Number of the request, from 0 → how many bytes of the answer are sent before the connection is cut. */
  readonly cutAfter?: (request: number) => number | undefined;
  /** Number of the request → the ETag. */
  readonly etag?: (request: number) => string | undefined;
  readonly ranges?: boolean;
  /** What it calls the bytes, which are those of the file. */
  readonly contentEncoding?: string;
}

/** Serves files by their names, with ranges and an ETag, on a free port of 127.0.0.1. */
export async function rangeServer(
  files: Readonly<Record<string, Buffer>>,
  { cutAfter, etag = () => '"v1"', ranges = true, contentEncoding }: RangeServerOptions = {},
): Promise<RangeServer> {
  const requests: string[] = [];
  const server = createServer((request, response) => {
    const body = files[decodeURIComponent((request.url ?? '').slice(1))];
    if (body === undefined) return void response.writeHead(404).end();
    const number = requests.length;
    const part = partOf(request, body, ranges ? (etag(number) ?? '') : undefined);
    const tag = etag(number);
    const limit = cutAfter?.(number);
    requests.push(part.asked);
    response.on('error', () => undefined);
    response.writeHead(part.range === undefined ? 200 : 206, {
      ...(tag === undefined ? {} : { etag: tag }),
      ...(part.range === undefined ? {} : { 'content-range': part.range }),
      ...(contentEncoding === undefined ? {} : { 'content-encoding': contentEncoding }),
      'content-length': part.bytes.length,
    });
    if (limit === undefined) response.end(part.bytes);
    else response.write(part.bytes.subarray(0, limit), () => response.destroy());
  });
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    requests,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => {
        server.close(resolve);
      });
    },
  };
}

/** `tag`: of the file; undefined on a server without ranges. */
function partOf(request: IncomingMessage, body: Buffer, tag: string | undefined) {
  const [, first, last] = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? '') ?? [];
  const asked = `${first ?? ''}-${last ?? ''}`;
  const isSame = (request.headers['if-range'] ?? tag) === tag;
  if (tag === undefined || first === undefined || !isSame) return { asked, bytes: body };
  const end = Math.min(body.length, Number(last) + 1);
  return { asked, bytes: body.subarray(Number(first), end), range: `bytes ${first}-${end - 1}/${body.length}` };
}
