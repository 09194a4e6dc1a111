import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';

/** How one request is answered; requests beyond the list get the last one. */
export type Answer = (request: IncomingMessage, response: ServerResponse, body: Buffer) => void;

export interface HostileServer extends AsyncDisposable {
  readonly url: string;
  /** `GET range` of every request, in order. */
  readonly requests: readonly string[];
}

/** A real HTTP server on a free port of 127.0.0.1 that answers one file as badly as it is told to. */
export async function hostileServer(
  body: Buffer,
  answers: readonly Answer[],
  { port: wanted = 0 }: { readonly port?: number } = {},
): Promise<HostileServer> {
  const requests: string[] = [];
  const sockets = new Set<Socket>();
  const server: Server = createServer((request, response) => {
    const answer = answers[Math.min(requests.length, answers.length - 1)];
    requests.push(`${request.method ?? ''} ${request.headers.range ?? 'all'}`);
    // A client that goes away is what these tests are about.
    response.on('error', () => undefined);
    answer?.(request, response, body);
  });
  server.on('connection', (socket) => sockets.add(socket.on('close', () => sockets.delete(socket))));
  await new Promise<void>((resolve) => {
    server.listen(wanted, '127.0.0.1', resolve);
  });
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}/image`,
    requests,
    [Symbol.asyncDispose]: async () => {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => {
        server.close(resolve);
      });
    },
  };
}

/** The file with its length, ranges and an ETag, as any good server. */
export const wholeFile: Answer = (request, response, body) => {
  const start = rangeStart(request);
  const headers = { etag: '"v1"', 'content-length': body.length - start };
  if (start === 0) response.writeHead(200, headers);
  else response.writeHead(206, { ...headers, 'content-range': `bytes ${start}-${body.length - 1}/${body.length}` });
  response.end(body.subarray(start));
};

/** Announces everything, sends `bytes` of it and cuts the connection. */
export function cutAfter(bytes: number, headers: Record<string, string> = { etag: '"v1"' }): Answer {
  return (request, response, body) => {
    const start = rangeStart(request);
    response.writeHead(start === 0 ? 200 : 206, {
      ...headers,
      'content-length': body.length - start,
      ...(start === 0 ? {} : { 'content-range': `bytes ${start}-${body.length - 1}/${body.length}` }),
    });
    response.write(body.subarray(start, start + bytes), () => response.destroy());
  };
}

/** Sends `bytes` and then nothing more, keeping the connection open. */
export function stallAfter(bytes: number): Answer {
  return (_request, response, body) => {
    response.writeHead(200, { etag: '"v1"', 'content-length': body.length });
    response.write(body.subarray(0, bytes));
  };
}

export function status(code: number, headers: Record<string, string> = {}): Answer {
  return (_request, response) => {
    response.writeHead(code, headers);
    response.end('no');
  };
}

/** In chunks without a length; whole, or cut before the last chunk. */
export function chunked(options: { cutAt?: number } = {}): Answer {
  return (_request, response, body) => {
    response.writeHead(200, { etag: '"v1"', 'transfer-encoding': 'chunked' });
    if (options.cutAt === undefined) response.end(body);
    else response.write(body.subarray(0, options.cutAt), () => response.destroy());
  };
}

/** Neither length nor chunks: the connection's end is the file's end. */
export function untilClose(bytes?: number): Answer {
  return (_request, response, body) => {
    response.shouldKeepAlive = false;
    response.useChunkedEncodingByDefault = false;
    response.writeHead(200, { etag: '"v1"', connection: 'close' });
    response.end(body.subarray(0, bytes));
  };
}

function rangeStart(request: IncomingMessage): number {
  return Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? '')?.[1] ?? 0);
}
