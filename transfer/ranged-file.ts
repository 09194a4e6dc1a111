import { BodyWatch } from './body-watch.ts';
import { contactFact, Distrust } from './contact-errors.ts';
import { contentCodingOf } from './content-coding.ts';
import { ACTION_FIXES, type DownloadOptions, type DownloadTiming, TIMING } from './download.ts';
import { cannotFetch, FinalDownloadError, finalFailure, passingFailure } from './download-errors.ts';
import { askForFile, isFinalStatus, validatorOf } from './file-request.ts';
import type { HttpResponse } from './http-response.ts';
import { statusFact } from './refused-status.ts';
import { pauseBeforeRetry } from './retry-pause.ts';
import { type TurnInLine, TurnLog } from './turn-in-line.ts';

/** As for a download that comes in order. */
export type RangedFileOptions = Pick<
  DownloadOptions,
  'url' | 'proxy' | 'signal' | 'retryForMs' | 'log' | 'standstill' | 'fixes' | 'timing' | 'access'
>;

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
  /** What the server says that it did to the bytes, which are taken as they come. */
  readonly contentCoding: string | undefined;
  readonly #requests: RangeRequests;

  private constructor(requests: RangeRequests, start: Buffer) {
    this.#requests = requests;
    this.start = start;
    this.sizeBytes = requests.totalBytes ?? 0;
    this.hasRanges = requests.hasRanges;
    this.hasValidator = requests.validator !== undefined;
    this.contentCoding = requests.contentCoding;
  }

  static async open(options: RangedFileOptions): Promise<RangedFile> {
    const requests = new RangeRequests(options);
    const start = Buffer.alloc(START_BYTES);
    const filled = await requests.read(0, start);
    return new RangedFile(requests, start.subarray(0, filled));
  }

  async read(offset: number, bytes: number): Promise<Buffer> {
    const into = Buffer.allocUnsafe(bytes);
    await this.readInto(offset, into);
    return into;
  }

  /** Fills all of it. Several may be under way. */
  async readInto(offset: number, into: Buffer): Promise<void> {
    if (offset + into.length <= this.start.length) this.start.copy(into, 0, offset, offset + into.length);
    else await this.#requests.read(offset, into);
  }
}

/** What all requests for one file have in common. */
class RangeRequests {
  totalBytes: number | undefined;
  validator: string | undefined;
  contentCoding: string | undefined;
  hasRanges = true;
  readonly #url: URL;
  readonly #options: RangedFileOptions;
  readonly #timing: DownloadTiming;
  readonly #distrust: Distrust;
  readonly #turns: TurnLog;
  #lastByteAt = performance.now();

  constructor(options: RangedFileOptions) {
    this.#url = new URL(options.url);
    this.#options = options;
    this.#timing = options.timing ?? TIMING;
    this.#distrust = new Distrust(this.#timing.distrustMs);
    this.#turns = new TurnLog(options);
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
        throw passingFailure(`it ended after ${filled} of ${end} bytes`);
      } catch (thrown) {
        if (filled > before) pauseMs = this.#timing.firstPauseMs;
        await this.#pauseAfter(thrown, pauseMs);
        pauseMs = Math.min(pauseMs * 2, this.#timing.longestPauseMs);
      }
    }
  }

  async #ask(from: number, end: number): Promise<HttpResponse> {
    const range: Record<string, string> = { range: `bytes=${from}-${end - 1}` };
    if (this.validator !== undefined) range['if-range'] = this.validator;
    const response = await askForFile(this.#url, range, {
      ...this.#options,
      answerMs: this.#timing.answerMs,
      inLine: (turn, heldMs) => this.#waitInLine(turn, heldMs),
    });
    this.#turns.over();
    try {
      this.#accept(response, from);
      return response;
    } catch (thrown) {
      response.destroy();
      throw thrown;
    }
  }

  /** The server works and serves others first: no failure, so it does not count as time without a byte. */
  #waitInLine(turn: TurnInLine, heldMs: number): void {
    this.#lastByteAt = performance.now();
    this.#turns.tell(this.#url.host, turn, heldMs);
  }

  #accept(response: HttpResponse, from: number): void {
    const { status } = response;
    if (status === 206) this.#acceptPart(response, from);
    else if (status === 200) this.#acceptWhole(response);
    else {
      const fact = statusFact(this.#url, response, this.#options.access !== undefined);
      throw isFinalStatus(status) ? finalFailure(this.#url, fact) : passingFailure(fact);
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
    if (Number(start) !== from) throw finalFailure(this.#url, `asked for byte ${from} and got ${range}`);
    const validator = validatorOf(response);
    if (this.totalBytes === undefined) {
      this.totalBytes = Number(total);
      this.validator = validator;
      this.contentCoding = contentCodingOf(response);
    } else if (Number(total) !== this.totalBytes || validator !== this.validator) throw this.#changed();
  }

  async #fill(response: HttpResponse, into: Buffer, from: number): Promise<number> {
    const { signal } = this.#options;
    using watch = new BodyWatch(response, { signal, stallMs: this.#timing.stallMs });
    let filled = from;
    try {
      for await (const chunk of response) {
        watch.came();
        const count = Math.min(chunk.length, into.length - filled);
        into.set(chunk.subarray(0, count), filled);
        filled += count;
        this.#lastByteAt = performance.now();
        if (filled === into.length) break;
        watch.wait();
      }
      return filled;
    } catch (thrown) {
      // What came before the cut counts: only the rest is asked for.
      if (filled > from && !signal.aborted) return filled;
      throw thrown;
    } finally {
      response.destroy();
    }
  }

  #changed(): FinalDownloadError {
    const { again } = this.#options.fixes ?? ACTION_FIXES;
    return finalFailure(this.#url, `the file changed on the server between two requests: ${again}`);
  }

  async #pauseAfter(thrown: unknown, pauseMs: number): Promise<void> {
    this.#options.signal.throwIfAborted();
    if (thrown instanceof FinalDownloadError) throw thrown.error;
    const fix = this.totalBytes === undefined ? this.#distrust.fixAfter(thrown, performance.now()) : undefined;
    if (fix !== undefined) throw cannotFetch(this.#url, `${contactFact(thrown)}: ${fix}`, thrown);
    const interruption = { thrown, fact: contactFact(thrown), lastByteAt: this.#lastByteAt, pauseMs };
    await pauseBeforeRetry(this.#url, interruption, this.#options);
  }
}
