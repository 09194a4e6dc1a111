import { BodyWatch } from './body-watch.ts';
import { type DownloadOptions, TIMING } from './download.ts';
import { type FinalDownloadError, finalFailure, passingFailure } from './download-errors.ts';
import { askForFile, isFinalStatus } from './file-request.ts';
import type { HttpResponse } from './http-response.ts';
import type { KeptConnections } from './kept-connections.ts';
import { statusFact } from './refused-status.ts';

/** A file whose length is known and whose bytes have a name. */
export interface NamedFile {
  readonly url: URL;
  readonly etag: string;
  readonly totalBytes: number;
}

/** The server does not give ranges after all: the file has to be read in one go. */
export class NoRangesError extends Error {}

/** The server has enough of us for now: 429, 503. */
export class BusyServerError extends Error {}

/** Fills a range of a file with one request. What came before a cut counts. */
export class RangeReader {
  readonly #file: NamedFile;
  readonly #options: DownloadOptions & { readonly kept: KeptConnections };
  /** The last that any byte came, for whoever decides when to give up. */
  lastByteAt = performance.now();

  constructor(file: NamedFile, options: DownloadOptions & { readonly kept: KeptConnections }) {
    this.#file = file;
    this.#options = options;
  }

  /** Resolves with how much came, at least one byte. Throws what may pass, or one of the errors that say that it will not. */
  async read(offset: number, into: Buffer): Promise<number> {
    const { answerMs } = this.#options.timing ?? TIMING;
    const range = { range: `bytes=${offset}-${offset + into.length - 1}`, 'if-range': this.#file.etag };
    const response = await askForFile(this.#file.url, range, { ...this.#options, answerMs });
    try {
      this.#accept(response, offset, into.length);
      return await this.#fill(response, into);
    } finally {
      // A connection that brought everything is kept; this ends only others.
      response.destroy();
    }
  }

  #accept(response: HttpResponse, offset: number, bytes: number): void {
    const { status, headers } = response;
    const { etag, totalBytes } = this.#file;
    if (status === 429 || status === 503) throw new BusyServerError(`the server answered ${status}`);
    if (![200, 206, 416].includes(status)) throw this.#refused(response);
    if ((headers.get('etag') ?? etag) !== etag) throw this.#changed();
    // Otherwise one connection will find out what is the matter: it knows what to do without ranges.
    if (status !== 206) throw new NoRangesError(`the server answered ${status} to a range`);
    const got = headers.get('content-range');
    const isRight =
      got === `bytes ${offset}-${offset + bytes - 1}/${totalBytes}` &&
      headers.has('etag') &&
      response.contentLength() === bytes;
    if (!isRight) throw new NoRangesError(`asked for ${bytes} bytes at ${offset} and got ${got ?? 'no range'}`);
  }

  #refused(response: HttpResponse): Error {
    const fact = statusFact(this.#file.url, response, this.#options.access !== undefined);
    return isFinalStatus(response.status) ? finalFailure(this.#file.url, fact) : passingFailure(fact);
  }

  async #fill(response: HttpResponse, into: Buffer): Promise<number> {
    const { signal, timing } = this.#options;
    const { stallMs } = timing ?? TIMING;
    using watch = new BodyWatch(response, { signal, stallMs });
    let filled = 0;
    try {
      // To its end, so that the connection can be kept.
      for await (const chunk of response) {
        watch.came();
        into.set(chunk, filled);
        filled += chunk.length;
        this.lastByteAt = performance.now();
        watch.wait();
      }
      return filled;
    } catch (thrown) {
      if (filled > 0 && !signal.aborted) return filled;
      throw thrown;
    }
  }

  #changed(): FinalDownloadError {
    const fact = 'the file changed on the server during the download: run the workflow again';
    return finalFailure(this.#file.url, fact);
  }
}
