import { TinsmithError } from '#proto/errors.ts';

// multipart/form-data, RFC 7578 over RFC 2046 5.1, read as it comes: nothing of a file is kept in memory.

export interface PartHead {
  readonly name: string;
  readonly fileName?: string;
}

export interface PartHandler {
  part(head: PartHead): Promise<void>;
  /** Of the latest part. Valid until it resolves. */
  data(bytes: Buffer): Promise<void>;
}

const LONGEST_HEAD = 8 * 1024;

/** The boundary of a form's content type. Throws `invalid_input`. */
export function boundaryOf(contentType: string): string {
  const [, quoted, plain] =
    /^multipart\/form-data;.*boundary=(?:"([^"\r\n]{1,70})"|([\w'()+,./:=?-]{1,70}))/i.exec(contentType) ?? [];
  const boundary = quoted ?? plain;
  if (boundary === undefined) throw malformed('its content type names no boundary');
  return boundary;
}

/** Reads a form to its end. Throws `invalid_input` when it is malformed or cut. */
export async function readMultipart(
  source: AsyncIterable<Uint8Array>,
  boundary: string,
  handler: PartHandler,
): Promise<void> {
  const reader = new MultipartReader(boundary, handler);
  for await (const chunk of source) await reader.push(Buffer.from(chunk.buffer, chunk.byteOffset, chunk.length));
  reader.end();
}

class MultipartReader {
  readonly #delimiter: Buffer;
  readonly #handler: PartHandler;
  #state: 'preamble' | 'head' | 'body' | 'end' = 'preamble';
  /** As if a line had ended before: the first boundary may stand at the very start. */
  #rest: Buffer = Buffer.from('\r\n');

  constructor(boundary: string, handler: PartHandler) {
    this.#delimiter = Buffer.from(`\r\n--${boundary}`);
    this.#handler = handler;
  }

  async push(chunk: Buffer): Promise<void> {
    this.#rest = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    while (await this.#step());
  }

  end(): void {
    if (this.#state !== 'end') throw malformed('it ends before its last boundary');
  }

  /** False: more is needed. */
  async #step(): Promise<boolean> {
    if (this.#state === 'end') {
      this.#rest = Buffer.alloc(0);
      return false;
    }
    return this.#state === 'head' ? this.#readHead() : this.#readBody();
  }

  /** What stands before the first boundary is dropped. */
  async #readBody(): Promise<boolean> {
    const at = this.#rest.indexOf(this.#delimiter);
    // Behind the delimiter it takes two more bytes to know whether it was the last.
    const isWhole = at !== -1 && this.#rest.length >= at + this.#delimiter.length + 2;
    const known = at === -1 ? this.#rest.length - this.#delimiter.length + 1 : at;
    if (known > 0) {
      if (this.#state === 'body') await this.#handler.data(this.#rest.subarray(0, known));
      this.#rest = this.#rest.subarray(known);
    }
    if (!isWhole) return false;
    const behind = this.#rest.toString('latin1', this.#delimiter.length, this.#delimiter.length + 2);
    this.#rest = this.#rest.subarray(this.#delimiter.length + 2);
    if (behind !== '--' && behind !== '\r\n') throw malformed('something stands behind a boundary');
    this.#state = behind === '--' ? 'end' : 'head';
    return true;
  }

  async #readHead(): Promise<boolean> {
    const end = this.#rest.indexOf('\r\n\r\n');
    if (end === -1 && this.#rest.length > LONGEST_HEAD) throw malformed('the head of a part does not end');
    if (end === -1) return false;
    const head = this.#rest.toString('utf8', 0, end);
    this.#rest = this.#rest.subarray(end + 4);
    const disposition = /^content-disposition:\s*form-data;(.*)$/im.exec(head)?.[1] ?? '';
    const parameters = new Map(
      [...disposition.matchAll(/(\w+)="([^"\r\n]*)"/g)].map(([, key = '', value = '']) => [key.toLowerCase(), value]),
    );
    const name = parameters.get('name');
    if (name === undefined) throw malformed('a part has no name');
    const fileName = parameters.get('filename');
    await this.#handler.part({ name, ...(fileName === undefined ? {} : { fileName }) });
    this.#state = 'body';
    return true;
  }
}

function malformed(fact: string): TinsmithError {
  return new TinsmithError('invalid_input', `the upload is malformed: ${fact}`);
}
