import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

/** One request, and the part of the file that it asks for. */
export interface Asked {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  /** The whole file. */
  readonly file: Buffer;
  readonly from: number;
  readonly end: number;
  /** Requests since this fault began, this one not counted. */
  readonly earlier: number;
}

/** Answers instead of the good server. `false`: not this one. */
export type Fault = (asked: Asked) => false | void;

const CHUNK_BYTES = 64 << 10;

/** A server of files on loopback: a good one, with ranges and ETags, until it is given a fault. */
export class FaultyServer implements AsyncDisposable {
  readonly files = new Map<string, Buffer>();
  fault: Fault | undefined;
  /** Of bodies, by the good server: what was handed to the kernel since it was set to 0. */
  sentBytes = 0;
  /** Told after every piece that was sent. */
  onSent: () => void = () => undefined;
  /** Sends 64 KiB a millisecond and connection, so that little is under way when somebody is killed. */
  isPaced = false;
  /** Paths and ranges that the good server answered. */
  readonly answered: { readonly path: string; readonly from: number; readonly end: number }[] = [];
  #requests = 0;
  readonly #sockets = new Set<Socket>();
  readonly #server = createServer((request, response) => this.#answer(request, response));

  static async start(): Promise<FaultyServer> {
    const server = new FaultyServer();
    server.#server.on('connection', (socket) => {
      server.#sockets.add(socket.on('close', () => server.#sockets.delete(socket)));
    });
    await new Promise<void>((resolve) => {
      server.#server.listen(0, '127.0.0.1', resolve);
    });
    return server;
  }

  get origin(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  begin(fault: Fault): void {
    this.#requests = 0;
    this.fault = fault;
  }

  /** It is a good server again; what hangs is cut. */
  end(): void {
    this.fault = undefined;
    for (const socket of this.#sockets) socket.destroy();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.end();
    await new Promise((resolve) => {
      this.#server.close(resolve);
    });
  }

  #answer(request: IncomingMessage, response: ServerResponse): void {
    // Clients that go away are what this is about.
    response.on('error', () => undefined);
    const path = request.url ?? '';
    const file = this.files.get(path);
    if (file === undefined) return void response.writeHead(404).end('nothing there');
    const asked = { request, response, file, ...rangeOf(request, file), earlier: this.#requests };
    this.#requests += 1;
    if (this.fault !== undefined && this.fault(asked) !== false) return;
    this.answered.push({ path, from: asked.from, end: asked.end });
    void this.#send(asked);
  }

  async #send({ response, file, from, end }: Asked): Promise<void> {
    head({ response, file, from, end });
    for (let at = from; at < end && !response.destroyed; at += CHUNK_BYTES) {
      const chunk = file.subarray(at, Math.min(end, at + CHUNK_BYTES));
      const isSent = await new Promise<boolean>((resolve) => {
        response.once('close', () => resolve(false));
        response.write(chunk, (error) => resolve(error === undefined || error === null));
      });
      response.removeAllListeners('close');
      if (!isSent) return;
      this.sentBytes += chunk.length;
      this.onSent();
      if (this.isPaced) await sleep(1);
    }
    response.end();
  }
}

export const ETAG = '"the-file"';

type Part = Pick<Asked, 'response' | 'file' | 'from' | 'end'>;

/** Headers that replace a good answer's, or (undefined) remove them. */
export type HeadChanges = Readonly<Record<string, string | number | undefined>>;

/** The head of a good answer, but for `changes`. */
export function head({ response, file, from, end }: Part, changes: HeadChanges = {}): void {
  const isWhole = from === 0 && end === file.length;
  const range = isWhole ? {} : { 'content-range': `bytes ${from}-${end - 1}/${file.length}` };
  const good = { etag: ETAG, 'accept-ranges': 'bytes', 'content-length': end - from };
  const headers = Object.entries({ ...good, ...range, ...changes }).filter(([, value]) => value !== undefined);
  response.writeHead(isWhole ? 200 : 206, Object.fromEntries(headers));
}

/** `bytes=a-b` and `bytes=a-`; anything else is the whole file. If-Range with another ETag makes it whole, too. */
function rangeOf(request: IncomingMessage, file: Buffer): { readonly from: number; readonly end: number } {
  const whole = { from: 0, end: file.length };
  const validator = request.headers['if-range'];
  if (validator !== undefined && validator !== ETAG) return whole;
  const [, from, last] = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? '') ?? [];
  if (from === undefined || last === undefined) return whole;
  return { from: Number(from), end: last === '' ? file.length : Math.min(file.length, Number(last) + 1) };
}
