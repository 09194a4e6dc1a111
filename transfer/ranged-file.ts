import type { ProxyParams } from '#proto/actions/proxy.ts';
import { TinsmithError } from '#proto/errors.ts';
import { shownUrl } from '#proto/url-secrets.ts';
import { FinalDownloadError } from './download-errors.ts';
import { httpGet } from './http-request.ts';
import type { HttpResponse } from './http-response.ts';
import { pause } from './pause.ts';
import { type TurnInLine, turnText } from './turn-in-line.ts';

export interface RangedFileOptions {
  readonly url: string;
  readonly proxy: ProxyParams;
  readonly signal: AbortSignal;
  /** How long it may go on without one new byte; 0: until `signal`. */
  readonly retryForMs: number;
  readonly log: (text: string) => void;
  readonly timing?: RangedFileTiming;
}

export interface RangedFileTiming {
  readonly answerMs: number;
  readonly stallMs: number;
  readonly firstPauseMs: number;
  readonly longestPauseMs: number;
}

const TIMING: RangedFileTiming = { answerMs: 30_000, stallMs: 30_000, firstPauseMs: 250, longestPauseMs: 10_000 };
const START_BYTES = 64 * 1024;

/**
 * A file behind a URL, read at any place with ranges (RFC 9110 14). Every answer has to be of the same file: length, and ETag or date if
 * the server gives one. What was cut is asked for again from where it ended. Throws `download_failed` or the signal's reason.
 */
export class RangedFile {
  readonly sizeBytes: number;
  /** The first 64 KiB, or all of a smaller file. */
  readonly start: Buffer;
  /** False: the server gives only whole files, so there is nothing but `start`. */
  readonly hasRanges: boolean;
  /** Whether the server says which version of the file it gives. */
  readonly hasValidator: boolean;
  readonly #reader: RangeReader;

  private constructor(reader: RangeReader, start: Buffer) {
    this.#reader = reader;
    this.start = start;
    this.sizeBytes = reader.totalBytes ?? 0;
    this.hasRanges = reader.hasRanges;
    this.hasValidator = reader.validator !== undefined;
  }

  static async open(options: RangedFileOptions): Promise<RangedFile> {
    const reader = new RangeReader(options);
    const start = Buffer.alloc(START_BYTES);
    const filled = await reader.read(0, start);
    return new RangedFile(reader, start.subarray(0, filled));
  }

  async read(offset: number, bytes: number): Promise<Buffer> {
    const into = Buffer.allocUnsafe(bytes);
    await this.readInto(offset, into);
    return into;
  }

  /** Fills all of it. Several may be under way. */
  async readInto(offset: number, into: Buffer): Promise<void> {
    if (offset + into.length <= this.start.length) this.start.copy(into, 0, offset, offset + into.length);
    else await this.#reader.read(offset, into);
  }
}

/** What all requests for one file have in common. */
class RangeReader {
  totalBytes: number | undefined;
  validator: string | undefined;
  hasRanges = true;
  readonly #url: URL;
  readonly #options: RangedFileOptions;
  readonly #timing: RangedFileTiming;
  #lastByteAt = performance.now();
  #lastTurn = '';

  constructor(options: RangedFileOptions) {
    this.#url = new URL(options.url);
    this.#options = options;
    this.#timing = options.timing ?? TIMING;
  }

  /** Resolves with how much was read: less than asked for only of a file that ends before. */
  async read(offset: number, into: Buffer): Promise<number> {
    let filled = 0;
    let pauseMs = this.#timing.firstPauseMs;
    for (;;) {
      const before = filled;
      try {
        const response = await this.#ask(offset + filled, offset + into.length);
        filled = await this.#fill(response, into, filled);
        const end = Math.min(into.length, (this.totalBytes ?? 0) - offset);
        if (filled >= end || !this.hasRanges) return filled;
        throw cut(`it ended after ${filled} of ${end} bytes`);
      } catch (thrown) {
        if (filled > before) pauseMs = this.#timing.firstPauseMs;
        await this.#pauseAfter(thrown, pauseMs);
        pauseMs = Math.min(pauseMs * 2, this.#timing.longestPauseMs);
      }
    }
  }

  async #ask(from: number, end: number): Promise<HttpResponse> {
    const { signal, proxy } = this.#options;
    const headers = {
      'accept-encoding': 'identity',
      'user-agent': 'tinsmith-agent',
      range: `bytes=${from}-${end - 1}`,
      ...(this.validator === undefined ? {} : { 'if-range': this.validator }),
    };
    const inLine = (turn: TurnInLine): void => this.#waitInLine(turn);
    const response = await httpGet(this.#url, { headers, proxy, signal, answerMs: this.#timing.answerMs, inLine });
    try {
      this.#accept(response, from);
      return response;
    } catch (thrown) {
      response.destroy();
      throw thrown;
    }
  }

  /** The server works and serves others first: no failure, so it does not count as time without a byte. */
  #waitInLine(turn: TurnInLine): void {
    this.#lastByteAt = performance.now();
    const text = turnText(turn);
    if (text !== this.#lastTurn) this.#options.log(`download from ${this.#url.host} ${text}`);
    this.#lastTurn = text;
  }

  #accept(response: HttpResponse, from: number): void {
    const { status } = response;
    if (status === 206) this.#acceptPart(response, from);
    else if (status === 200) this.#acceptWhole(response);
    else {
      const isFinal = status < 500 && ![408, 425, 429].includes(status);
      throw isFinal ? fatal(this.#url, `the server answered ${status}`) : cut(`the server answered ${status}`);
    }
  }

  /** A server without ranges, or a file that is another one by now. */
  #acceptWhole(response: HttpResponse): void {
    if (this.totalBytes !== undefined && this.hasRanges) throw this.#changed();
    this.hasRanges = false;
    this.totalBytes = response.contentLength() ?? 0;
  }

  #acceptPart(response: HttpResponse, from: number): void {
    const range = response.headers.get('content-range') ?? 'no range';
    const [, start, total] = /^bytes (\d+)-\d+\/(\d+)$/.exec(range) ?? [];
    if (Number(start) !== from) throw fatal(this.#url, `asked for byte ${from} and got ${range}`);
    const validator = validatorOf(response);
    if (this.totalBytes === undefined) {
      this.totalBytes = Number(total);
      this.validator = validator;
    } else if (Number(total) !== this.totalBytes || validator !== this.validator) throw this.#changed();
  }

  async #fill(response: HttpResponse, into: Buffer, from: number): Promise<number> {
    const { signal } = this.#options;
    const { stallMs } = this.#timing;
    let filled = from;
    const onStall = (): void => response.destroy(cut(`no byte came for ${stallMs / 1000} s`));
    const onAbort = (): void => response.destroy(cut('it is not wanted any more'));
    signal.addEventListener('abort', onAbort, { once: true });
    let timer = setTimeout(onStall, stallMs);
    try {
      if (signal.aborted) onAbort();
      for await (const chunk of response) {
        clearTimeout(timer);
        const count = Math.min(chunk.length, into.length - filled);
        into.set(chunk.subarray(0, count), filled);
        filled += count;
        this.#lastByteAt = performance.now();
        if (filled === into.length) break;
        timer = setTimeout(onStall, stallMs);
      }
      return filled;
    } catch (thrown) {
      // What came before the cut counts: only the rest is asked for.
      if (filled > from && !signal.aborted) return filled;
      throw thrown;
    } finally {
      clearTimeout(timer);
      signal.removeEventListener('abort', onAbort);
      response.destroy();
    }
  }

  #changed(): FinalDownloadError {
    return fatal(this.#url, 'the file changed on the server between two requests: run the workflow again');
  }

  async #pauseAfter(thrown: unknown, pauseMs: number): Promise<void> {
    const { signal, retryForMs, log } = this.#options;
    signal.throwIfAborted();
    if (thrown instanceof FinalDownloadError) throw thrown.error;
    const fact = thrown instanceof Error ? thrown.message : String(thrown);
    const idleMs = performance.now() - this.#lastByteAt;
    if (retryForMs > 0 && idleMs + pauseMs > retryForMs) {
      const minutes = Math.round(retryForMs / 6000) / 10;
      const sentence = `cannot fetch ${shownUrl(this.#url)}: no new byte for ${minutes} minutes, at last: ${fact}`;
      throw new TinsmithError('download_failed', sentence, { cause: thrown });
    }
    log(`download interrupted (${fact}), again in ${pauseMs / 1000} s`);
    await pause(pauseMs, signal);
  }
}

/** A strong ETag or, if there is none, the date: what If-Range takes (RFC 9110 13.1.5). */
function validatorOf({ headers }: HttpResponse): string | undefined {
  const etag = headers.get('etag');
  return etag !== undefined && !etag.startsWith('W/') ? etag : headers.get('last-modified');
}

function cut(fact: string): TinsmithError {
  return new TinsmithError('unavailable', fact);
}

function fatal(url: URL, fact: string): FinalDownloadError {
  return new FinalDownloadError(new TinsmithError('download_failed', `cannot fetch ${shownUrl(url)}: ${fact}`));
}
