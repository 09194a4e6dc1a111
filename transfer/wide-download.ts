import { messageOf, TinsmithError } from '#proto/errors.ts';
import { type Download, type DownloadOptions, TIMING } from './download.ts';
import { FinalDownloadError } from './download-errors.ts';
import { KeptConnections } from './kept-connections.ts';
import { BusyServerError, type NamedFile, NoRangesError, RangeReader } from './range-reader.ts';
import { pauseBeforeRetry } from './retry-pause.ts';
import { RECEIVE_BYTES } from './socket-reader.ts';

/** More of them gain little, and servers and proxies begin to count. */
const CONNECTIONS = 4;
const SEGMENT_BYTES = 2 << 20;
/** Each connection fills one while some wait for their turn. */
const SEGMENTS = 6;
/** 14 MiB: what this holds at most, connections included. */
export const WIDE_BUFFER_BYTES = SEGMENTS * SEGMENT_BYTES + CONNECTIONS * RECEIVE_BYTES;
/** One connection shows first what it can do. */
const LOOK_BYTES = 8 << 20;
/** Less is not worth it. */
const LEAST_BYTES = 32 << 20;
/** On a local network one connection is as fast as the link; distance is what several cure. */
const FAR_MS = 4;

/**
 * The bytes of a download in order, as if it were read itself: over one connection at first, over several at once where the server is
 * far away, we wait for it, and it gives a strong ETag, a length and ranges. Where anything is odd it goes on over one.
 */
export async function* wideDownload(download: Download, options: DownloadOptions): AsyncGenerator<Uint8Array> {
  if (yield* untilFar(download, options.timing?.farMs ?? FAR_MS)) {
    const { strongEtag: etag, totalBytes } = download;
    if (etag === undefined || totalBytes === undefined) return;
    const wide = new WideReader({ url: new URL(options.url), etag, totalBytes }, download.bytes, options);
    options.log(`the server is far away: ${CONNECTIONS} connections at once from byte ${download.bytes} on`);
    try {
      for await (const segment of wide) {
        download.goTo(download.bytes + segment.length);
        yield segment;
      }
      return;
    } catch (thrown) {
      if (!(thrown instanceof NoRangesError)) throw thrown;
      options.log(`${thrown.message}: on with one connection`);
    }
    yield* download;
  }
}

/** The download as it is. True: it was left where several connections would be faster. */
async function* untilFar(download: Download, farMs: number): AsyncGenerator<Uint8Array, boolean> {
  const from = download.bytes;
  let waitedMs = 0;
  let startedAt = 0;
  let askedAt = performance.now();
  for await (const chunk of download) {
    const now = performance.now();
    if (startedAt === 0) startedAt = now;
    else waitedMs += now - askedAt;
    yield chunk;
    askedAt = performance.now();
    if (download.bytes - from < LOOK_BYTES) continue;
    const { strongEtag, totalBytes = 0, answerMs, bytes } = download;
    const isWaiting = waitedMs > (askedAt - startedAt) / 2;
    if (strongEtag !== undefined && answerMs >= farMs && isWaiting && totalBytes - bytes >= LEAST_BYTES) return true;
  }
  return false;
}

interface Segment {
  readonly offset: number;
  readonly memory: Buffer;
}

/** Segments of a file, fetched several at once and given out in order. A segment is valid until the next one is asked for. */
class WideReader implements AsyncIterable<Buffer> {
  readonly #file: NamedFile;
  readonly #options: DownloadOptions;
  readonly #reader: RangeReader;
  readonly #kept = new KeptConnections();
  readonly #stop = new AbortController();
  readonly #free: Buffer[] = Array.from({ length: SEGMENTS }, () => Buffer.allocUnsafeSlow(SEGMENT_BYTES));
  /** Given back by a connection that the server did not want. */
  readonly #left: Segment[] = [];
  readonly #full = new Map<number, Buffer>();
  #connections = CONNECTIONS;
  #next: number;
  #failure: { readonly thrown: unknown } | undefined;
  #changed = Promise.withResolvers<void>();

  constructor(file: NamedFile, from: number, options: DownloadOptions) {
    this.#file = file;
    this.#next = from;
    const signal = AbortSignal.any([options.signal, this.#stop.signal]);
    this.#options = { ...options, signal };
    this.#reader = new RangeReader(file, { ...this.#options, kept: this.#kept });
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Buffer> {
    let offset = this.#next;
    const workers = Promise.all(Array.from({ length: CONNECTIONS }, () => this.#work()));
    try {
      while (offset < this.#file.totalBytes) {
        const segment = await this.#take(offset);
        yield segment;
        offset += segment.length;
        this.#free.push(Buffer.from(segment.buffer));
        this.#wake();
      }
    } finally {
      this.#stop.abort(new TinsmithError('cancelled', 'nobody reads the download any more'));
      this.#wake();
      await workers;
      this.#kept.close();
    }
  }

  async #take(offset: number): Promise<Buffer> {
    for (;;) {
      if (this.#failure !== undefined) throw this.#failure.thrown;
      const segment = this.#full.get(offset);
      this.#full.delete(offset);
      if (segment !== undefined) return segment;
      await this.#changed.promise;
    }
  }

  /** One connection after the other, until there is nothing left. It never throws: whoever reads the segments gets what went wrong. */
  async #work(): Promise<void> {
    try {
      for (let segment = await this.#claim(); segment !== undefined; segment = await this.#claim()) {
        if (!(await this.#fill(segment))) return;
        this.#full.set(segment.offset, segment.memory);
        this.#wake();
      }
    } catch (thrown) {
      this.#failure ??= { thrown: thrown instanceof FinalDownloadError ? thrown.error : thrown };
      this.#stop.abort(new TinsmithError('cancelled', 'another connection failed'));
      this.#wake();
    }
  }

  /** Segments are begun in order, so the one that is waited for always has its memory. */
  async #claim(): Promise<Segment | undefined> {
    for (;;) {
      if (this.#stop.signal.aborted) return undefined;
      const left = this.#left.shift();
      if (left !== undefined) return left;
      const memory = this.#next < this.#file.totalBytes ? this.#free.pop() : undefined;
      if (memory !== undefined) {
        const offset = this.#next;
        const bytes = Math.min(SEGMENT_BYTES, this.#file.totalBytes - offset);
        this.#next += bytes;
        return { offset, memory: memory.subarray(0, bytes) };
      }
      await this.#changed.promise;
    }
  }

  /** False: the server wants fewer connections than these, and this one has ended. */
  async #fill(segment: Segment): Promise<boolean> {
    const { firstPauseMs, longestPauseMs } = this.#options.timing ?? TIMING;
    let pauseMs = firstPauseMs;
    for (let filled = 0; filled < segment.memory.length; ) {
      const askedAt = performance.now();
      try {
        filled += await this.#reader.read(segment.offset + filled, segment.memory.subarray(filled));
        pauseMs = firstPauseMs;
      } catch (thrown) {
        const isUnwanted = thrown instanceof BusyServerError || this.#reader.lastByteAt > askedAt;
        if (filled === 0 && isUnwanted && this.#leave(thrown, segment)) return false;
        await this.#pauseAfter(thrown, pauseMs);
        pauseMs = Math.min(pauseMs * 2, longestPauseMs);
      }
    }
    return true;
  }

  /** The others get bytes and this one gets none. The last one never leaves. */
  #leave(thrown: unknown, segment: Segment): boolean {
    if (isForAll(thrown) || this.#connections === 1) return false;
    this.#connections -= 1;
    this.#options.log(`${messageOf(thrown)}: on with ${this.#connections} connections`);
    this.#left.push(segment);
    this.#wake();
    return true;
  }

  async #pauseAfter(thrown: unknown, pauseMs: number): Promise<void> {
    this.#options.signal.throwIfAborted();
    if (isForAll(thrown)) throw thrown;
    const interruption = { thrown, fact: messageOf(thrown), lastByteAt: this.#reader.lastByteAt, pauseMs };
    await pauseBeforeRetry(this.#file.url, interruption, this.#options);
  }

  #wake(): void {
    this.#changed.resolve();
    this.#changed = Promise.withResolvers();
  }
}

/** Says something of the file or the server, not of one connection. */
function isForAll(thrown: unknown): boolean {
  return thrown instanceof FinalDownloadError || thrown instanceof NoRangesError;
}
