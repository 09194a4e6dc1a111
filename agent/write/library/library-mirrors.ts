import { createHash, verify } from 'node:crypto';
import type { ProxyParams } from '#proto/actions/proxy.ts';
import { TinsmithError } from '#proto/errors.ts';
import { type LibraryFrame, type LibraryIndex, parseLibraryIndex } from '#proto/library-index.ts';
import { shownUrl } from '#proto/url-secrets.ts';
import { Download, type DownloadTiming, TIMING } from '#transfer/download.ts';
import { httpGet } from '#transfer/http-request.ts';
import type { HttpResponse } from '#transfer/http-response.ts';
import { pause } from '#transfer/pause.ts';

export interface LibraryRequest {
  /** Its name, or `sha256-` and the digest of its index. */
  readonly image: string;
  /** Folders of libraries, best first; the first one knows names. */
  readonly mirrors: readonly URL[];
  /** Ed25519, SPKI in PEM: whose signature an index needs. It came over the authenticated connection to the server. */
  readonly publicKey: string;
  readonly proxy: ProxyParams;
  /** How long it may go on without one new frame; 0: until `signal`. */
  readonly retryForMs: number;
  /** Lower-case hex, of the packed file. */
  readonly sha256?: string;
  /** Lower-case hex, of the image. */
  readonly rawSha256?: string;
  /** Whether everything is read back from the disk before it is made bootable. */
  readonly verifyDisk?: boolean;
  readonly timing?: DownloadTiming;
}

export interface FetchEvents {
  readonly signal: AbortSignal;
  readonly log: (text: string) => void;
}

/** Memory of one reader, for one request after the other. */
export interface FetchMemory {
  /** As long as the longest frame. */
  readonly frame: Buffer<ArrayBuffer>;
  /** Of RECEIVE_BYTES: what a connection receives in one go. */
  readonly received: Buffer<ArrayBuffer>;
}

/** An index of a million frames, 4 TiB, is shorter. */
const LONGEST_INDEX = 256 << 20;
const SIGNATURE_BYTES = 64;

export interface FetchedIndex {
  readonly index: LibraryIndex;
  /** SHA-256 of the document: what the image is called on every mirror. */
  readonly digest: string;
}

/** The index, signed by the server's key. Throws `corrupt_image`, `download_failed` or the signal's reason. */
export async function fetchIndex(request: LibraryRequest, events: FetchEvents): Promise<FetchedIndex> {
  const library = request.mirrors[0];
  if (library === undefined) throw new TinsmithError('invalid_params', 'the library image has no mirror');
  const mirror = new URL(`${encodeURIComponent(request.image)}/`, library);
  const document = await fetchSmall(new URL('index.json', mirror), LONGEST_INDEX, request, events);
  const signature = await fetchSmall(new URL('index.sig', mirror), 1024, request, events);
  const bytes = Buffer.from(signature.toString('latin1').trim(), 'base64');
  if (bytes.length !== SIGNATURE_BYTES || !verify(null, document, request.publicKey, bytes)) {
    throw new TinsmithError(
      'corrupt_image',
      `the index at ${shownUrl(mirror)} is not signed by this server's library: import the image again, or use its own server`,
    );
  }
  const index = parseLibraryIndex(document.toString('utf8'));
  requireSum('IMG_SHA256', request.sha256, index.fileSha256);
  requireSum('IMG_RAW_SHA256', request.rawSha256, index.imageSha256);
  return {
    index,
    digest: createHash('sha256').update(document).digest('hex'),
  };
}

function requireSum(variable: string, expected: string | undefined, found: string): void {
  if (expected === undefined || expected === found) return;
  const sentence = `the library image has the SHA-256 ${found} and ${variable} says ${expected}: use the right image or the right sum`;
  throw new TinsmithError('checksum_mismatch', sentence);
}

async function fetchSmall(url: URL, limit: number, request: LibraryRequest, events: FetchEvents): Promise<Buffer> {
  const { proxy, retryForMs, timing = TIMING } = request;
  const download = new Download({ url: url.href, proxy, retryForMs, timing, ...events, hasChecksum: true });
  const pieces: Buffer[] = [];
  for await (const piece of download) {
    if (download.bytes > limit)
      throw new TinsmithError('corrupt_image', `${shownUrl(url)} is longer than ${limit} bytes`);
    pieces.push(Buffer.from(piece));
  }
  return Buffer.concat(pieces);
}

/**
 * Fetches frames from the mirrors, several readers at once. A mirror that fails is left for the next one; when all have failed, they
 * are asked again after a pause that grows. It gives up only after `retryForMs` without any frame at all.
 */
export class LibraryMirrors {
  readonly #request: LibraryRequest;
  readonly #index: LibraryIndex;
  readonly #folder: string;
  readonly #timing: DownloadTiming;
  readonly #events: FetchEvents;
  #current = 0;
  #lastFrameAt = performance.now();
  #failures = 0;
  /** Bytes that came over the network, those of frames that are fetched again included. */
  receivedBytes = 0;

  constructor(request: LibraryRequest, { index, digest }: FetchedIndex, events: FetchEvents) {
    this.#request = request;
    this.#index = index;
    this.#folder = `sha256-${digest}`;
    this.#timing = request.timing ?? TIMING;
    this.#events = events;
  }

  /**
   * Reads neighbouring frames with one request, each into the memory in its turn; `take` is called with each when it is complete. Only
   * frames that were not taken are asked for again.
   */
  async read(
    frames: readonly LibraryFrame[],
    memory: FetchMemory,
    take: (frame: LibraryFrame, bytes: Buffer<ArrayBuffer>) => Promise<void>,
  ): Promise<void> {
    let taken = 0;
    while (taken < frames.length) {
      const mirror = this.#current;
      try {
        await this.#readOnce(mirror, frames.slice(taken), memory, async (frame, bytes) => {
          await take(frame, bytes);
          taken += 1;
          this.#failures = 0;
          this.#lastFrameAt = performance.now();
        });
      } catch (thrown) {
        await this.#leave(mirror, thrown);
      }
    }
  }

  async #readOnce(
    mirror: number,
    frames: readonly LibraryFrame[],
    { frame: memory, received }: FetchMemory,
    take: (frame: LibraryFrame, bytes: Buffer<ArrayBuffer>) => Promise<void>,
  ): Promise<void> {
    const response = await this.#ask(mirror, frames, received);
    const watch = this.#watch(response);
    try {
      let at = 0;
      let filled = 0;
      watch.start();
      for await (const chunk of response) {
        watch.stop();
        this.receivedBytes += chunk.length;
        for (let done = 0; done < chunk.length; ) {
          const frame = frames[at];
          if (frame === undefined) throw cut('it sends more than it was asked for');
          const count = Math.min(chunk.length - done, frame.fileBytes - filled);
          memory.set(chunk.subarray(done, done + count), filled);
          done += count;
          filled += count;
          if (filled < frame.fileBytes) continue;
          await take(frame, memory.subarray(0, filled));
          at += 1;
          filled = 0;
        }
        watch.start();
      }
      if (at < frames.length) throw cut('it ended too early');
    } finally {
      watch.end();
      response.destroy();
    }
  }

  async #ask(mirror: number, frames: readonly LibraryFrame[], memory: Buffer): Promise<HttpResponse> {
    const { mirrors, proxy } = this.#request;
    const base = mirrors[mirror % mirrors.length];
    const [first, last] = [frames[0], frames.at(-1)];
    if (base === undefined || first === undefined || last === undefined) throw cut('there is nothing to ask for');
    const [from, end] = [first.fileOffset, last.fileOffset + last.fileBytes];
    const url = new URL(`${this.#folder}/image.zst`, base);
    const headers = {
      'accept-encoding': 'identity',
      'user-agent': 'tinsmith-agent',
      range: `bytes=${from}-${end - 1}`,
    };
    const { signal } = this.#events;
    const response = await httpGet(url, { headers, proxy, signal, answerMs: this.#timing.answerMs, memory });
    // What else a 206 may say of itself does not matter: each frame is checked by its sum.
    const range = `bytes ${from}-${end - 1}/${this.#index.fileBytes}`;
    if (response.status === 206 && response.headers.get('content-range') === range) return response;
    response.destroy();
    const got = response.status === 206 ? `the range ${response.headers.get('content-range') ?? '?'}` : response.status;
    throw cut(`${shownUrl(url)} answered ${got} to the range ${range}`);
  }

  /** Ends a response that brings nothing for too long, and one that is not wanted any more. */
  #watch(response: HttpResponse) {
    const { signal } = this.#events;
    const { stallMs } = this.#timing;
    let timer: NodeJS.Timeout | undefined;
    const onAbort = (): void => response.destroy(new TinsmithError('cancelled', 'it is not wanted any more'));
    signal.addEventListener('abort', onAbort, { once: true });
    if (signal.aborted) onAbort();
    const stop = (): void => clearTimeout(timer);
    const onStall = (): void => response.destroy(cut(`no byte came for ${stallMs / 1000} s`));
    return {
      start: () => {
        timer = setTimeout(onStall, stallMs);
      },
      stop,
      end: () => {
        stop();
        signal.removeEventListener('abort', onAbort);
      },
    };
  }

  /** Moves on to the next mirror; after a round of all of them there is a pause. Throws when there was no frame for too long. */
  async #leave(mirror: number, thrown: unknown): Promise<void> {
    const { signal, log } = this.#events;
    const { mirrors, retryForMs } = this.#request;
    const timing = this.#timing;
    signal.throwIfAborted();
    if (thrown instanceof UnusableFrameError) throw thrown.error;
    const idleMs = performance.now() - this.#lastFrameAt;
    const fact = thrown instanceof Error ? thrown.message : String(thrown);
    if (retryForMs > 0 && idleMs > retryForMs) {
      const sentence = `cannot fetch the library image: no new frame for ${Math.round(idleMs / 6000) / 10} minutes, at last: ${fact}`;
      throw new TinsmithError('download_failed', sentence, { cause: thrown });
    }
    // Another reader may have moved on already.
    if (this.#current === mirror) this.#current = (mirror + 1) % mirrors.length;
    this.#failures += 1;
    if (this.#failures < mirrors.length) return log(`${fact}: on to the next mirror`);
    const rounds = Math.floor(this.#failures / mirrors.length);
    const pauseMs = Math.min(timing.firstPauseMs * 2 ** Math.min(rounds - 1, 20), timing.longestPauseMs);
    log(`${fact}: again in ${pauseMs / 1000} s`);
    await pause(pauseMs, signal);
  }
}

/** No other mirror can help: thrown by `take`. */
export class UnusableFrameError extends Error {
  readonly error: TinsmithError;

  constructor(error: TinsmithError) {
    super(error.message);
    this.error = error;
  }
}

function cut(fact: string): TinsmithError {
  return new TinsmithError('unavailable', fact);
}
