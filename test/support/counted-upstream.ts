import { createServer, type IncomingHttpHeaders, type Server } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';

/** A server of one file that counts who asks, and holds its second half back until it is told. */
export class CountedUpstream implements AsyncDisposable {
  /** Headers of each request for the file. */
  readonly requests: IncomingHttpHeaders[] = [];
  body: Buffer;
  etag = '"v1"';
  /** Answered instead of the file. */
  status: number | undefined;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #released = Promise.resolve();
  #port = 0;

  private constructor(body: Buffer) {
    this.body = body;
    this.#server = createServer((request, response) => {
      this.requests.push(request.headers);
      response.on('error', () => undefined);
      if (this.status !== undefined) return void response.writeHead(this.status).end();
      if (request.headers['if-none-match'] === this.etag)
        return void response.writeHead(304, { etag: this.etag }).end();
      const { body: bytes, etag } = this;
      response.writeHead(200, { etag, 'content-length': bytes.length });
      response.write(bytes.subarray(0, bytes.length >> 1));
      void this.#released.then(() => response.end(bytes.subarray(bytes.length >> 1)));
      return undefined;
    });
    this.#server.on('connection', (socket) =>
      this.#sockets.add(socket.on('close', () => this.#sockets.delete(socket))),
    );
  }

  static async start(body: Buffer): Promise<CountedUpstream> {
    const upstream = new CountedUpstream(body);
    await upstream.listen();
    return upstream;
  }

  get url(): string {
    return `http://127.0.0.1:${this.#port}/images/debian.raw.gz`;
  }

  /** Requests for the file itself, not those that ask whether it has changed. */
  get downloads(): number {
    return this.requests.filter((headers) => headers['if-none-match'] === undefined).length;
  }

  /** From now on the second half waits for the function that is returned. */
  hold(): () => void {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#released = promise;
    return resolve;
  }

  /** On the port it had before. */
  async listen(): Promise<void> {
    await new Promise<void>((resolve) => {
      this.#server.listen(this.#port, '127.0.0.1', resolve);
    });
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- it listens on TCP
    this.#port = (this.#server.address() as AddressInfo).port;
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((resolve) => {
      this.#server.close(resolve);
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#server.listening) await this.close();
  }
}
