import { TinsmithError } from '#proto/errors.ts';
import type { SocketReader } from './socket-reader.ts';

// HTTP/1.1 messages, RFC 9112: the answer to one GET on a connection of its own.

const LONGEST_HEAD = 64 * 1024;

/** Head of an answer; iterating it gives the body and fails unless all of it came. Pieces are valid until the next one. */
export class HttpResponse implements AsyncIterable<Uint8Array> {
  readonly status: number;
  /** Lower-case names; repeated ones are joined with a comma. */
  readonly headers: ReadonlyMap<string, string>;
  /** Who answers, where the server that was asked sent us to another URL. */
  redirectedTo: URL | undefined;
  readonly #reader: SocketReader;
  readonly #keep: (() => void) | undefined;
  #isKept = false;
  #rest: Buffer;

  private constructor(head: string, rest: Buffer, reader: SocketReader, keep: (() => void) | undefined) {
    const [statusLine = '', ...lines] = head.split('\r\n');
    const status = /^HTTP\/1\.[01] (\d{3})(?: |$)/.exec(statusLine)?.[1];
    if (status === undefined) throw broken(`it answers ${JSON.stringify(statusLine.slice(0, 80))}`);
    this.status = Number(status);
    this.headers = parseHeaders(lines);
    this.#rest = rest;
    this.#reader = reader;
    const mayBeAskedAgain =
      statusLine.startsWith('HTTP/1.1 ') && !/\bclose\b/i.test(this.headers.get('connection') ?? '');
    this.#keep = mayBeAskedAgain ? keep : undefined;
  }

  /** Reads heads until one is no interim answer. `keep` is called when a body of known length came whole: see `destroy`. */
  static async read(reader: SocketReader, keep?: () => void): Promise<HttpResponse> {
    let seen: Buffer = Buffer.alloc(0);
    for (;;) {
      const end = seen.indexOf('\r\n\r\n');
      if (end !== -1) {
        const response = new HttpResponse(seen.toString('latin1', 0, end), seen.subarray(end + 4), reader, keep);
        if (response.status >= 200) return response;
        seen = response.#rest;
        continue;
      }
      if (seen.length > LONGEST_HEAD) throw broken('the head of its answer does not end');
      // Nearly always the whole head comes at once, with bytes of the body, which need not be copied then.
      const before = Buffer.from(seen);
      const bytes = await reader.pull();
      if (bytes === undefined) throw broken('it closed the connection without an answer');
      seen = before.length === 0 ? bytes : Buffer.concat([before, bytes]);
    }
  }

  /** Ends the connection, unless it was given away to be asked again; who waits for the body gets `error`. */
  destroy(error?: Error): void {
    if (!this.#isKept) this.#reader.socket.destroy(error);
  }

  /** Throws for codings that nobody asked for: their bytes would be taken for the file's. */
  isChunked(): boolean {
    const coding = this.headers.get('transfer-encoding')?.trim().toLowerCase();
    if (coding === undefined || coding === 'chunked') return coding !== undefined;
    throw broken(`its transfer-encoding is ${JSON.stringify(coding.slice(0, 80))}`);
  }

  /** Undefined when the server announces none. */
  contentLength(): number | undefined {
    const text = this.headers.get('content-length');
    if (text === undefined || this.isChunked()) return undefined;
    // A repeated header with one value is allowed (RFC 9112 6.3).
    const values = new Set(text.split(',').map((value) => value.trim()));
    const [value = ''] = values;
    if (values.size !== 1 || !/^\d{1,15}$/.test(value)) throw broken(`its content-length is ${JSON.stringify(text)}`);
    return Number(value);
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Buffer> {
    try {
      if (this.isChunked()) {
        yield* this.#readChunks();
        return;
      }
      const length = this.contentLength();
      if (length === undefined) yield* this.#readToEnd();
      else {
        yield* this.#readExactly(length);
        this.#giveAway();
      }
    } finally {
      this.destroy();
    }
  }

  /** Not when something came behind the body: it would be taken for the next answer. */
  #giveAway(): void {
    if (this.#keep === undefined || this.#rest.length > 0) return;
    this.#isKept = true;
    this.#keep();
  }

  async *#readToEnd(): AsyncGenerator<Buffer> {
    for (let bytes = await this.#next(); bytes !== undefined; bytes = await this.#next()) yield bytes;
  }

  async *#readExactly(length: number): AsyncGenerator<Buffer> {
    for (let left = length; left > 0; ) {
      const bytes = await this.#next();
      if (bytes === undefined) throw broken('the connection was cut');
      const wanted = bytes.subarray(0, left);
      this.#rest = bytes.subarray(wanted.length);
      left -= wanted.length;
      yield wanted;
    }
  }

  /** RFC 9112 7.1. The last chunk is what says that the body is whole. */
  async *#readChunks(): AsyncGenerator<Buffer> {
    for (;;) {
      const line = await this.#readLine();
      const size = /^([0-9a-f]{1,12})[ \t]*(;.*)?$/i.exec(line)?.[1];
      if (size === undefined) throw broken(`a chunk starts with ${JSON.stringify(line.slice(0, 40))}`);
      const length = Number.parseInt(size, 16);
      if (length === 0) break;
      yield* this.#readExactly(length);
      if ((await this.#readLine()) !== '') throw broken('a chunk is longer than it says');
    }
    while ((await this.#readLine()) !== '');
  }

  async #readLine(): Promise<string> {
    for (let line = ''; ; ) {
      const bytes = await this.#next();
      if (bytes === undefined) throw broken('the connection was cut');
      const end = bytes.indexOf('\n');
      line += bytes.toString('latin1', 0, end === -1 ? bytes.length : end);
      if (line.length > LONGEST_HEAD) throw broken('a line of the body does not end');
      if (end === -1) continue;
      this.#rest = bytes.subarray(end + 1);
      return line.replace(/\r$/, '');
    }
  }

  async #next(): Promise<Buffer | undefined> {
    const rest = this.#rest;
    this.#rest = EMPTY;
    return rest.length > 0 ? rest : this.#reader.pull();
  }
}

const EMPTY = Buffer.alloc(0);

function parseHeaders(lines: readonly string[]): Map<string, string> {
  const headers = new Map<string, string>();
  for (const line of lines) {
    const [, name, value = ''] = /^([^\s:]+):[ \t]*(.*?)[ \t]*$/.exec(line) ?? [];
    if (name === undefined) throw broken(`it sends the header ${JSON.stringify(line.slice(0, 80))}`);
    const key = name.toLowerCase();
    const earlier = headers.get(key);
    headers.set(key, earlier === undefined ? value : `${earlier}, ${value}`);
  }
  return headers;
}

function broken(fact: string): TinsmithError {
  return new TinsmithError('unavailable', `the server cannot be understood: ${fact}`);
}
