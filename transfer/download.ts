import type { ProxyParams } from '#proto/actions/proxy.ts';
import { BodyWatch } from './body-watch.ts';
import { addressFix, contactFact, Distrust } from './contact-errors.ts';
import { contentCodingOf } from './content-coding.ts';
import {
  cannotFetch,
  FinalDownloadError,
  finalFailure,
  passingFailure,
  RestartDownloadError,
} from './download-errors.ts';
import { askForFile, type DownloadAccess, isFinalStatus, validatorOf } from './file-request.ts';
import type { HttpResponse } from './http-response.ts';
import { answeredFact, statusFact } from './refused-status.ts';
import { pauseBeforeRetry } from './retry-pause.ts';
import type { TransferEvents } from './standstill.ts';
import { type TurnInLine, TurnLog } from './turn-in-line.ts';

/** What is downloaded, and how patiently. */
export interface DownloadOptions extends TransferEvents {
  readonly url: string;
  readonly proxy: ProxyParams;
  readonly signal: AbortSignal;
  /** How long it may go on without one new byte; 0: until `signal`. */
  readonly retryForMs: number;
  /**
   * How long it may go on without the very first byte, where somebody waits, whom a certificate that is not trusted is told at once;
   * absent: as long as `retryForMs`, and a certificate that is not trusted before the first byte is borne for some seconds.
   */
  readonly contactForMs?: number;
  /** Whether a refused connection, an unknown name or no TLS ends it, before the first byte: somebody waits who can correct the address. */
  readonly endsUnreached?: boolean;
  /** Whether the caller checks a checksum: then a length that nobody announced does not matter. */
  readonly hasChecksum: boolean;
  /** Default: those of an action. */
  readonly fixes?: DownloadFixes;
  readonly timing?: DownloadTiming;
  readonly access?: DownloadAccess;
  /** What a 404 says, in words that may be shown. Reads or destroys the response, and must not throw. */
  readonly missing?: (response: HttpResponse) => Promise<string | undefined>;
}

/** What whoever wants the file can do. */
export interface DownloadFixes {
  /** To have its length vouched for: `set IMG_SHA256`. */
  readonly sum: string;
  /** To begin anew: `run the workflow again`. */
  readonly again: string;
}

export const ACTION_FIXES: DownloadFixes = { sum: 'set IMG_SHA256', again: 'run the workflow again' };

/** Waiting times; shorter in tests. */
export interface DownloadTiming {
  /** For the connection and the head of an answer. */
  readonly answerMs: number;
  /** Without a byte of the body. */
  readonly stallMs: number;
  readonly firstPauseMs: number;
  readonly longestPauseMs: number;
  /** A server whose answers take as long is far away: several connections are faster. Default: 4. */
  readonly farMs?: number;
  /** How long a certificate may not be trusted before it ends a download that has no byte yet. */
  readonly distrustMs?: number;
}

/** For real networks. */
export const TIMING: DownloadTiming = { answerMs: 30_000, stallMs: 30_000, firstPauseMs: 250, longestPauseMs: 10_000 };

/**
 * The bytes behind a URL, exactly once and in order, over as many connections as it takes. After a network or server error
 * the rest is asked for with Range and If-Range, or skipped to if the server knows no ranges. It ends without an error only
 * when all announced bytes have come. Throws `download_failed`, `corrupt_image` (the file changed) or the signal's reason.
 */
export class Download implements AsyncIterable<Uint8Array> {
  /** Known after `open`, unless the server sends in chunks. */
  totalBytes: number | undefined;
  /** Known after `open`: what the server says that it did to the bytes, which are taken as they come. */
  contentCoding: string | undefined;
  /** Received so far. */
  bytes = 0;
  /** The least that an answer took: connection, request and the server's thinking. */
  answerMs = Number.POSITIVE_INFINITY;
  readonly #url: URL;
  readonly #options: DownloadOptions;
  readonly #timing: DownloadTiming;
  readonly #fixes: DownloadFixes;
  #response: HttpResponse | undefined;
  #validator: string | undefined;
  #lastByteAt = performance.now();
  #pauseMs: number;
  readonly #distrust: Distrust;
  readonly #turns: TurnLog;
  /** Of the body under way: what an earlier connection brought already. */
  #skipBytes = 0;

  constructor(options: DownloadOptions) {
    this.#url = new URL(options.url);
    this.#options = options;
    this.#timing = options.timing ?? TIMING;
    this.#fixes = options.fixes ?? ACTION_FIXES;
    this.#pauseMs = this.#timing.firstPauseMs;
    this.#distrust = new Distrust(options.contactForMs === undefined ? this.#timing.distrustMs : 0);
    this.#turns = new TurnLog(options);
  }

  /** Known after `open`: what tells this version of the file from others, if the server names something. */
  get validator(): string | undefined {
    return this.#validator;
  }

  /** Waits for the first answer, so that nothing is touched for a URL that does not exist. */
  async open(): Promise<void> {
    while (this.#response === undefined) {
      try {
        this.#response = await this.#ask();
      } catch (thrown) {
        await this.#pauseAfter(thrown);
      }
    }
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array> {
    await this.open();
    try {
      while (this.totalBytes === undefined || this.bytes < this.totalBytes) {
        try {
          yield* this.#readBody();
          if (this.totalBytes === undefined && this.#skipBytes === 0) return;
          if (this.totalBytes === undefined || this.bytes < this.totalBytes)
            throw passingFailure(`it ended after ${this.bytes} of ${this.totalBytes ?? '?'} bytes`);
        } catch (thrown) {
          await this.#reconnect(thrown);
        }
      }
    } finally {
      this.close();
    }
  }

  /** Names these very bytes, if the server gives such a name. Known after `open`. */
  get strongEtag(): string | undefined {
    return this.#validator?.startsWith('"') === true ? this.#validator : undefined;
  }

  /** What comes next begins there. Nobody may be reading. */
  goTo(offset: number): void {
    this.close();
    this.bytes = offset;
    this.#lastByteAt = performance.now();
    this.#pauseMs = this.#timing.firstPauseMs;
  }

  /** Ends the connection. */
  close(): void {
    this.#response?.destroy();
    this.#response = undefined;
  }

  async #reconnect(thrown: unknown): Promise<void> {
    this.close();
    // Then it is what ended the body, and no fault of the server's.
    this.#options.signal.throwIfAborted();
    if (this.bytes > 0 && this.#validator === undefined && !this.#options.hasChecksum) {
      const fact = `${contactFact(thrown)} at byte ${this.bytes}, and the server names no ETag or date to resume with`;
      throw new RestartDownloadError(cannotFetch(this.#url, fact, thrown));
    }
    await this.#pauseAfter(thrown);
    await this.open();
  }

  async *#readBody(): AsyncGenerator<Uint8Array> {
    const response = this.#response;
    if (response === undefined) return;
    using watch = new BodyWatch(response, { signal: this.#options.signal, stallMs: this.#timing.stallMs });
    for await (const chunk of response) {
      watch.came();
      const fresh = chunk.subarray(Math.min(this.#skipBytes, chunk.length));
      this.#skipBytes -= chunk.length - fresh.length;
      if (fresh.length > 0) {
        this.bytes += fresh.length;
        this.#lastByteAt = performance.now();
        this.#pauseMs = this.#timing.firstPauseMs;
        yield fresh;
      }
      watch.wait();
    }
  }

  /** One request for what is missing. */
  async #ask(): Promise<HttpResponse> {
    this.#skipBytes = 0;
    const range: Record<string, string> = this.bytes === 0 ? {} : { range: `bytes=${this.bytes}-` };
    if (this.bytes > 0 && this.#validator !== undefined) range['if-range'] = this.#validator;
    const askedAt = performance.now();
    const response = await askForFile(this.#url, range, {
      ...this.#options,
      answerMs: this.#timing.answerMs,
      inLine: (turn, heldMs) => this.#waitInLine(turn, heldMs),
    });
    this.#turns.over();
    this.answerMs = Math.min(this.answerMs, performance.now() - askedAt);
    try {
      if (response.status === 404) throw await this.#missing(response);
      if (this.bytes === 0) this.#acceptFirst(response);
      else if (response.status === 206) this.#acceptRest(response);
      else if (response.status === 416) this.#acceptEnd(response);
      else this.#acceptWhole(response);
      return response;
    } catch (thrown) {
      response.destroy();
      throw thrown;
    }
  }

  /** The server works and serves others first: no failure, so it does not count as time without a byte. */
  #waitInLine(turn: TurnInLine, heldMs: number): void {
    this.#lastByteAt = performance.now();
    // Not the distance made us wait; and whoever has a turn does not give it back.
    this.answerMs = 0;
    this.#turns.tell(this.#url.host, turn, heldMs);
  }

  async #missing(response: HttpResponse): Promise<FinalDownloadError> {
    const { missing } = this.#options;
    if (missing === undefined) return finalFailure(this.#url, this.#statusFact(response));
    const said = await missing(response);
    return finalFailure(this.#url, `${answeredFact(response)}${said === undefined ? '' : `: ${said}`}`);
  }

  #acceptFirst(response: HttpResponse): void {
    this.#requireOk(response);
    const length = response.contentLength();
    if (length === undefined && !response.isChunked() && !this.#options.hasChecksum) {
      const fact = 'the server announces neither a length nor chunks, so a cut could not be noticed';
      throw finalFailure(this.#url, `${fact}: ${this.#fixes.sum} or use another server`);
    }
    this.totalBytes = length;
    this.#validator = validatorOf(response);
    this.contentCoding = contentCodingOf(response);
  }

  #acceptRest(response: HttpResponse): void {
    const [, start, total] = /^bytes (\d+)-\d+\/(\d+|\*)$/.exec(response.headers.get('content-range') ?? '') ?? [];
    if (Number(start) !== this.bytes)
      throw finalFailure(this.#url, `asked for byte ${this.bytes} and got ${start ?? 'no range'}`);
    this.#acceptTotal(total === '*' ? undefined : Number(total));
    this.#requireSame(response);
  }

  /** A file in chunks may have been cut behind its last byte: there is nothing behind that, and the server says so (RFC 9110 15.5.17). */
  #acceptEnd(response: HttpResponse): void {
    const [, total] = /^bytes \*\/(\d+)$/.exec(response.headers.get('content-range') ?? '') ?? [];
    if (total === undefined) this.#requireOk(response);
    const validator = validatorOf(response);
    if (Number(total) !== this.bytes || (validator !== undefined && validator !== this.#validator))
      throw this.#changed();
    this.totalBytes = this.bytes;
  }

  /** What the answer to a range says of the whole file. */
  #acceptTotal(total: number | undefined): void {
    if (total !== undefined && this.totalBytes !== undefined && total !== this.totalBytes) throw this.#changed();
    this.totalBytes ??= total;
    // Such a part may end anywhere: its end says nothing about the file's.
    if (this.totalBytes === undefined && !this.#options.hasChecksum) {
      const fact = `the rest from byte ${this.bytes} comes without the file's length`;
      throw finalFailure(this.#url, `${fact}: ${this.#fixes.sum}`);
    }
  }

  /** 200 instead of 206: no ranges here, or the file changed. The same file is read again, without what we have. */
  #acceptWhole(response: HttpResponse): void {
    this.#requireOk(response);
    const length = response.contentLength();
    if (length !== undefined && this.totalBytes !== undefined && length !== this.totalBytes) throw this.#changed();
    this.#requireSame(response);
    this.#skipBytes = this.bytes;
  }

  #requireSame(response: HttpResponse): void {
    if (this.#validator !== undefined && validatorOf(response) !== this.#validator) throw this.#changed();
  }

  #changed(): FinalDownloadError {
    return finalFailure(this.#url, `the file changed on the server during the download: ${this.#fixes.again}`);
  }

  #requireOk(response: HttpResponse): void {
    const { status } = response;
    if (status === 200) return;
    const fact = this.#statusFact(response);
    throw isFinalStatus(status) ? finalFailure(this.#url, fact) : passingFailure(fact);
  }

  #statusFact(response: HttpResponse): string {
    return statusFact(this.#url, response, this.#options.access !== undefined);
  }

  /** Throws what is final; otherwise waits before the next request. */
  async #pauseAfter(thrown: unknown): Promise<void> {
    const { signal, log, standstill, contactForMs, endsUnreached = false } = this.#options;
    const retryForMs = this.bytes === 0 && contactForMs !== undefined ? contactForMs : this.#options.retryForMs;
    signal.throwIfAborted();
    if (thrown instanceof FinalDownloadError) throw thrown.error;
    const fix = this.#distrust.fixAfter(thrown, performance.now()) ?? (endsUnreached ? addressFix(thrown) : undefined);
    if (this.bytes === 0 && fix !== undefined) throw cannotFetch(this.#url, `${contactFact(thrown)}: ${fix}`, thrown);
    await pauseBeforeRetry(
      this.#url,
      {
        thrown,
        fact: contactFact(thrown),
        lastByteAt: this.#lastByteAt,
        pauseMs: this.#pauseMs,
        atByte: this.bytes,
      },
      { retryForMs, signal, log, standstill },
    );
    this.#pauseMs = Math.min(this.#pauseMs * 2, this.#timing.longestPauseMs);
  }
}
