import { createHash, randomBytes } from 'node:crypto';
import { request as httpRequest, type IncomingMessage } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { Readable, type Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGzip, createZstdCompress } from 'node:zlib';
import { SLURP_FIELDS, type SlurpParams } from '#proto/actions/slurp.ts';
import { messageOf, TinsmithError } from '#proto/errors.ts';
import { shownUrl } from '#proto/url-secrets.ts';
import { pause } from '#transfer/pause.ts';
import { AGENT_NAME } from '#transfer/turn-in-line.ts';
import type { Disk } from '../machine/machine.ts';
import { alignedBuffer } from '../write/aligned-buffers.ts';

export interface UploadEvents {
  readonly signal: AbortSignal;
  readonly log: (text: string) => void;
  /** Bytes of the disk that were read. */
  readonly progress: (done: number) => void;
}

export interface Uploaded {
  readonly sentBytes: number;
  /** Of what was sent, compressed or not. */
  readonly sha256: string;
}

const READ_BYTES = 1 << 20;
const TRIES = 5;
/** The server may write a large file back to its disk before it answers. */
const IDLE_MS = 300_000;
const LONGEST_ANSWER = 500;

/**
 * Sends a disk as the file of a multipart form (RFC 7578), and its SHA-256 as a field behind it, which a server that does not
 * know it ignores. After a network or server error all of it is sent again. Throws `download_failed` with what the server
 * answered.
 */
export async function uploadDisk(
  disk: Disk,
  params: Omit<SlurpParams, 'disk'>,
  { pauseMs = 2000, ...events }: UploadEvents & { readonly pauseMs?: number },
): Promise<Uploaded> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await new Upload(disk, params, events).send();
    } catch (thrown) {
      events.signal.throwIfAborted();
      const error = thrown instanceof TinsmithError ? thrown : failed(params.url, messageOf(thrown), thrown);
      const isFinal = error.code === 'write_failed' || (thrown instanceof Refusal && thrown.isFinal);
      if (isFinal || attempt === TRIES) throw error;
      events.log(`try ${attempt} of ${TRIES} failed, all of it again: ${error.message}`);
      await pause(pauseMs * attempt, events.signal);
    }
  }
}

class Refusal extends TinsmithError {
  readonly isFinal: boolean;

  constructor(url: string, status: number, text: string) {
    super(
      'download_failed',
      `cannot send to ${shownUrl(new URL(url))}: the server answered ${status} ${text}`.trimEnd(),
    );
    // 403, too: a Tinsmith server may not have heard yet that this action started; 409: that an earlier try ended.
    this.isFinal = status < 500 && ![403, 408, 409, 425, 429].includes(status);
  }
}

/** One try. */
class Upload {
  readonly #disk: Disk;
  readonly #params: Omit<SlurpParams, 'disk'>;
  readonly #events: UploadEvents;
  readonly #hash = createHash('sha256');
  #sentBytes = 0;

  constructor(disk: Disk, params: Omit<SlurpParams, 'disk'>, events: UploadEvents) {
    this.#disk = disk;
    this.#params = params;
    this.#events = events;
  }

  async send(): Promise<Uploaded> {
    const { url } = this.#params;
    const boundary = `tinsmith-${randomBytes(16).toString('hex')}`;
    const open = url.startsWith('https:') ? httpsRequest : httpRequest;
    const headers = { 'content-type': `multipart/form-data; boundary=${boundary}`, 'user-agent': AGENT_NAME };
    const request = open(url, { method: 'POST', headers, signal: this.#events.signal, timeout: IDLE_MS });
    request.on('timeout', () => request.destroy(new Error(`nothing moved for ${IDLE_MS / 1000} s`)));
    const answered = Promise.withResolvers<IncomingMessage>();
    request.once('response', answered.resolve);
    request.once('error', answered.reject);
    // Both promises are awaited below; which one fails first is up to the network.
    answered.promise.catch(() => undefined);
    const sending = pipeline(Readable.from(this.#form(boundary)), request);
    sending.catch(() => undefined);
    try {
      // A server that refuses does not wait for the end, and then the rest cannot be sent.
      const first = await Promise.race([answered.promise, sending.catch((thrown: unknown) => this.#broken(thrown))]);
      const response = first ?? (await answered.promise);
      const text = await readText(response);
      if (response.statusCode === undefined || response.statusCode >= 300) {
        throw new Refusal(url, response.statusCode ?? 0, text);
      }
      await sending;
      return { sentBytes: this.#sentBytes, sha256: this.#hash.copy().digest('hex') };
    } finally {
      request.destroy();
    }
  }

  /** The disk's own failure counts at once; one of the network may have an answer behind it. */
  #broken(thrown: unknown): undefined {
    if (thrown instanceof TinsmithError) throw thrown;
    return undefined;
  }

  async *#form(boundary: string): AsyncGenerator<Buffer> {
    const part = (about: string): Buffer =>
      Buffer.from(`--${boundary}\r\nContent-Disposition: form-data; ${about}\r\n`);
    yield part(`name="${SLURP_FIELDS.file}"; filename="${this.#params.name}"`);
    yield Buffer.from('Content-Type: application/octet-stream\r\n\r\n');
    for await (const bytes of this.#content()) {
      this.#hash.update(bytes);
      this.#sentBytes += bytes.length;
      yield bytes;
    }
    yield Buffer.from('\r\n');
    yield part(`name="${SLURP_FIELDS.sha256}"`);
    yield Buffer.from(`\r\n${this.#hash.copy().digest('hex')}\r\n--${boundary}--\r\n`);
  }

  async *#content(): AsyncGenerator<Buffer> {
    const { compression } = this.#params;
    if (compression === 'none') {
      yield* this.#read();
      return;
    }
    const packer: Transform = compression === 'gzip' ? createGzip({ level: 1 }) : createZstdCompress();
    const packing = pipeline(Readable.from(this.#read()), packer);
    packing.catch(() => undefined);
    for await (const bytes of packer) if (Buffer.isBuffer(bytes)) yield bytes;
    await packing;
  }

  /** Whole blocks in aligned memory: the disk is read past the page cache. New memory each time, as streams keep it. */
  async *#read(): AsyncGenerator<Buffer> {
    const { sizeBytes } = this.#disk;
    for (let offset = 0; offset < sizeBytes; offset += READ_BYTES) {
      this.#events.signal.throwIfAborted();
      const buffer = alignedBuffer(Math.min(READ_BYTES, sizeBytes - offset));
      await this.#disk.read(buffer, offset);
      yield buffer;
      this.#events.progress(offset + buffer.length);
    }
  }
}

async function readText(response: IncomingMessage): Promise<string> {
  let text = '';
  for await (const part of response) if (text.length < LONGEST_ANSWER) text += String(part);
  return text.slice(0, LONGEST_ANSWER).replaceAll(/\s+/g, ' ').trim();
}

function failed(url: string, fact: string, cause: unknown): TinsmithError {
  return new TinsmithError('download_failed', `cannot send to ${shownUrl(new URL(url))}: ${fact}`, { cause });
}
