import { createHash, verify } from 'node:crypto';
import type { ProxyParams } from '#proto/actions/proxy.ts';
import { TinsmithError } from '#proto/errors.ts';
import { type LibraryFrame, type LibraryIndex, parseLibraryIndex } from '#proto/library-index.ts';
import { LONGEST_MIRROR_LIST, parseMirrorList } from '#proto/mirror-list.ts';
import { shownUrl } from '#proto/url-secrets.ts';
import { BodyWatch } from '#transfer/body-watch.ts';
import { Download, type DownloadOptions, type DownloadTiming, TIMING } from '#transfer/download.ts';
import { passingFailure } from '#transfer/download-errors.ts';
import { httpGet } from '#transfer/http-request.ts';
import type { HttpResponse } from '#transfer/http-response.ts';
import { pause } from '#transfer/pause.ts';
import type { TransferEvents } from '#transfer/standstill.ts';
import { AGENT_NAME, type TurnInLine, TurnLog, turnInLine, turnText } from '#transfer/turn-in-line.ts';
import { requireSum } from '../require-sum.ts';
import { MirrorChoice } from './mirror-choice.ts';
import { MissingEverywhere } from './missing-everywhere.ts';
import { missingImageAnswer } from './missing-image-answer.ts';
import type { PeerDirectory } from './peers/peer-directory.ts';
import type { ExchangeTiming } from './peers/peer-exchange.ts';

/** A library image, where it may come from, and what it has to be. */
export interface LibraryRequest {
  /** Its name, or `sha256-` and the digest of its index. */
  readonly image: string;
  /** Folders of libraries; the first is the server's own, which knows names and further mirrors, and is asked last for frames. */
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
  /** Other machines that may write the same image. Absent: they are let alone. */
  readonly peers?: PeerDirectory;
  readonly peerTiming?: ExchangeTiming;
}

/** What ends the fetching, and who hears of it. */
export interface FetchEvents extends TransferEvents {
  readonly signal: AbortSignal;
}

/** Memory of one reader, for one request after the other. */
export interface FetchMemory {
  /** As long as the longest frame. */
  readonly frame: Buffer;
  /** Of RECEIVE_BYTES: what a connection receives in one go. */
  readonly received: Buffer;
}

/** An index of a million frames, 4 TiB, is shorter. */
const LONGEST_INDEX = 256 << 20;
const SIGNATURE_BYTES = 64;
const INDEX_TRIES = 3;
const LIST_RETRY_MS = 5000;
/** Of one request. A mirror that gives less is left; the server itself may be as slow as it likes. */
const SLOWEST_MIRROR_RATE = 256 * 1024;

/** An index whose signature was checked, and who has the frames. */
export interface FetchedIndex {
  readonly index: LibraryIndex;
  /** SHA-256 of the document: what the image is called on every mirror. */
  readonly digest: string;
  /** Who has its frames, best first. */
  readonly mirrors: readonly URL[];
}

/** The index, signed by the server's key. Throws `corrupt_image`, `download_failed` or the signal's reason. */
export async function fetchIndex(request: LibraryRequest, events: FetchEvents): Promise<FetchedIndex> {
  const library = request.mirrors[0];
  if (library === undefined) throw new TinsmithError('invalid_params', 'the library image has no mirror');
  const mirror = new URL(`${encodeURIComponent(request.image)}/`, library);
  const document = await fetchDocument(mirror, request, events);
  const index = parseLibraryIndex(document.toString('utf8'));
  requireSum('IMG_SHA256', 'the library image', request.sha256, index.fileSha256);
  requireSum('IMG_RAW_SHA256', 'the library image', request.rawSha256, index.imageSha256);
  return {
    index,
    digest: createHash('sha256').update(document).digest('hex'),
    mirrors: [...(await listedMirrors(mirror, request, events)), ...request.mirrors.slice(1), library],
  };
}

/** The signed document. It is fetched in two requests, and the name may get another image between them: then both are asked again. */
async function fetchDocument(mirror: URL, request: LibraryRequest, events: FetchEvents): Promise<Buffer> {
  const how = { signal: events.signal, withinMs: (request.timing ?? TIMING).answerMs };
  const missing: DownloadOptions['missing'] = (response) => missingImageAnswer(response, request.image, how);
  for (let tries = 1; ; tries++) {
    const index = new URL('index.json', mirror);
    const document = await fetchSmall(index, LONGEST_INDEX, request, { ...events, missing });
    const signature = await fetchSmall(new URL('index.sig', mirror), 1024, request, events);
    const bytes = Buffer.from(signature.toString('latin1').trim(), 'base64');
    if (bytes.length === SIGNATURE_BYTES && verify(null, document, request.publicKey, bytes)) return document;
    if (tries < INDEX_TRIES) continue;
    const fact = `the index at ${shownUrl(mirror)} is not signed by this server's library`;
    throw new TinsmithError('corrupt_image', `${fact}: import the image again, or use its own server`);
  }
}

/** What the server knows besides itself. It answers an index at this moment, so a list that does not come is no reason to wait. */
async function listedMirrors(mirror: URL, request: LibraryRequest, events: FetchEvents): Promise<readonly URL[]> {
  const retryForMs = Math.min(request.retryForMs || LIST_RETRY_MS, LIST_RETRY_MS);
  try {
    const url = new URL('mirrors.json', mirror);
    const list = await fetchSmall(url, LONGEST_MIRROR_LIST, { ...request, retryForMs }, events);
    return parseMirrorList(list.toString('utf8')).mirrors;
  } catch (thrown) {
    events.signal.throwIfAborted();
    events.log(`no mirrors but the server itself: ${TinsmithError.from(thrown).message}`);
    return [];
  }
}

async function fetchSmall(
  url: URL,
  limit: number,
  request: LibraryRequest,
  events: FetchEvents & Pick<DownloadOptions, 'missing'>,
): Promise<Buffer> {
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
 * Fetches frames from the mirrors, several readers at once. A mirror that fails is left for the next best one and tried again later;
 * when all are out, the soonest is asked after a pause that grows. It gives up only after `retryForMs` without any frame at all, where
 * time in a server's line does not count, and when all of them say for some time that they have no such image.
 */
export class LibraryMirrors {
  readonly #request: LibraryRequest;
  readonly #mirrors: readonly URL[];
  readonly #index: LibraryIndex;
  readonly #folder: string;
  readonly #timing: DownloadTiming;
  readonly #events: FetchEvents;
  readonly #choice: MirrorChoice;
  readonly #missing: MissingEverywhere;
  readonly #turns: TurnLog;
  #lastFrameAt = performance.now();
  /** Bytes that came over the network, those of frames that are fetched again included. */
  receivedBytes = 0;

  constructor(request: LibraryRequest, { index, digest, mirrors }: FetchedIndex, events: FetchEvents) {
    this.#request = request;
    this.#mirrors = mirrors;
    this.#index = index;
    this.#folder = `sha256-${digest}`;
    this.#timing = request.timing ?? TIMING;
    this.#events = events;
    this.#turns = new TurnLog(events);
    this.#choice = new MirrorChoice(mirrors.length, this.#timing);
    this.#missing = new MissingEverywhere(mirrors.length, this.#timing);
  }

  get count(): number {
    return this.#mirrors.length;
  }

  /**
   * Reads neighbouring frames with one request, each into the memory in its turn; `take` is called with each when it is complete. Only
   * frames that were not taken are asked for again. What `take` throws is laid to the mirror, but for UnusableFrameError.
   */
  async read(
    frames: readonly LibraryFrame[],
    memory: FetchMemory,
    take: (frame: LibraryFrame, bytes: Buffer) => Promise<void>,
  ): Promise<void> {
    let taken = 0;
    // Before, nobody was asked: frames that the disk holds and zeros take their time, too.
    const startedAt = performance.now();
    while (taken < frames.length) {
      const { mirror, waitMs } = this.#choice.next(performance.now());
      if (waitMs > 0) await pause(waitMs, this.#events.signal);
      const askedAt = performance.now();
      try {
        await this.#readOnce(mirror, frames.slice(taken), memory, async (frame, bytes) => {
          await take(frame, bytes);
          taken += 1;
          this.#choice.worked(mirror);
          this.#missing.otherwise(mirror);
          this.#lastFrameAt = performance.now();
        });
      } catch (thrown) {
        this.#leave(mirror, thrown, { askedAt, startedAt });
      }
    }
  }

  async #readOnce(
    mirror: number,
    frames: readonly LibraryFrame[],
    { frame: memory, received }: FetchMemory,
    take: (frame: LibraryFrame, bytes: Buffer) => Promise<void>,
  ): Promise<void> {
    const response = await this.#ask(mirror, frames, received);
    const { stallMs } = this.#timing;
    using watch = new BodyWatch(response, { signal: this.#events.signal, stallMs });
    // There is nobody behind the last one: it may be as slow as it likes.
    const pace = mirror === this.#mirrors.length - 1 ? undefined : new Pace(stallMs);
    try {
      let at = 0;
      let filled = 0;
      pace?.wait();
      for await (const chunk of response) {
        watch.came();
        pace?.came(chunk.length);
        this.receivedBytes += chunk.length;
        for (let done = 0; done < chunk.length; ) {
          const frame = frames[at];
          if (frame === undefined) throw passingFailure('it sends more than it was asked for');
          const count = Math.min(chunk.length - done, frame.fileBytes - filled);
          memory.set(chunk.subarray(done, done + count), filled);
          done += count;
          filled += count;
          if (filled < frame.fileBytes) continue;
          await take(frame, memory.subarray(0, filled));
          at += 1;
          filled = 0;
        }
        watch.wait();
        pace?.wait();
      }
      if (at < frames.length) throw passingFailure('it ended too early');
    } finally {
      response.destroy();
    }
  }

  async #ask(mirror: number, frames: readonly LibraryFrame[], memory: Buffer): Promise<HttpResponse> {
    const { proxy } = this.#request;
    const base = this.#mirrors[mirror];
    const [first, last] = [frames[0], frames.at(-1)];
    if (base === undefined || first === undefined || last === undefined)
      throw passingFailure('there is nothing to ask for');
    const [from, end] = [first.fileOffset, last.fileOffset + last.fileBytes];
    const url = new URL(`${this.#folder}/image.zst`, base);
    const headers = {
      'accept-encoding': 'identity',
      'user-agent': AGENT_NAME,
      range: `bytes=${from}-${end - 1}`,
    };
    const { signal } = this.#events;
    const response = await httpGet(url, { headers, proxy, signal, answerMs: this.#timing.answerMs, memory });
    // What else a 206 may say of itself does not matter: each frame is checked by its sum.
    const range = `bytes ${from}-${end - 1}/${this.#index.fileBytes}`;
    if (response.status === 206 && response.headers.get('content-range') === range) {
      this.#turns.over();
      return response;
    }
    response.destroy();
    const turn = turnInLine(response);
    if (turn !== undefined) throw new BusyMirrorError(url.host, turn);
    const got = response.status === 206 ? `the range ${response.headers.get('content-range') ?? '?'}` : response.status;
    const fact = `${shownUrl(url)} answered ${got} to the range ${range}`;
    if (response.status === 404 || response.status === 410) throw new MissingImageError(fact);
    throw response.status < 500 ? new TinsmithError('corrupt_image', fact) : passingFailure(fact);
  }

  /** Notes what happened to a mirror, so that the next one is asked. Throws when there was no frame for too long. */
  #leave(
    mirror: number,
    thrown: unknown,
    { askedAt, startedAt }: { readonly askedAt: number; readonly startedAt: number },
  ): void {
    const { signal } = this.#events;
    const { retryForMs } = this.#request;
    signal.throwIfAborted();
    if (thrown instanceof UnusableFrameError) throw thrown.error;
    const now = performance.now();
    this.#noteMissing(mirror, thrown, now);
    if (thrown instanceof BusyMirrorError) {
      this.#lastFrameAt = now;
      this.#choice.isBusy(mirror, now, thrown.turn.afterMs);
      return this.#turns.tell(thrown.host, thrown.turn, now - askedAt);
    }
    const { code, message } = TinsmithError.from(thrown);
    const idleMs = now - Math.max(this.#lastFrameAt, startedAt);
    if (retryForMs > 0 && idleMs > retryForMs) {
      const sentence = `cannot fetch the library image: no new frame for ${Math.round(idleMs / 6000) / 10} minutes, at last: ${message}`;
      throw new TinsmithError('download_failed', sentence, { cause: thrown });
    }
    const isBad = code === 'corrupt_image' || code === 'checksum_mismatch' || code === 'download_failed';
    if (isBad) this.#choice.isBad(mirror, now);
    else this.#choice.failed(mirror, now, now - askedAt);
    const then = this.#mirrors.length === 1 ? 'it is asked again' : 'on to the next mirror';
    const trouble = `${this.#mirrors[mirror]?.host ?? 'no mirror'}: ${message}`;
    this.#events.log(`${trouble}: ${then}`);
    this.#events.standstill?.({ kind: 'trouble', text: trouble });
  }

  /** Throws when nobody has the image any more. Its index was there when the action began. */
  #noteMissing(mirror: number, thrown: unknown, now: number): void {
    if (!(thrown instanceof MissingImageError)) return this.#missing.otherwise(mirror);
    this.#missing.missing(mirror, now);
    const forMs = this.#missing.sureForMs(now);
    if (forMs === undefined) return undefined;
    const who = ['the server', 'the server and its mirror'][this.count - 1] ?? `all ${this.count} servers of it`;
    const fact = `it was deleted while it was written: ${who} answered 404 for ${this.#folder} for ${Math.ceil(forMs / 1000)} s`;
    const fix = 'add it to the library again (tinsmith image add), then tinsmith workflow retry';
    throw new TinsmithError('download_failed', `cannot fetch the library image: ${fact}: ${fix}`);
  }
}

/** The mirror has no such image. */
class MissingImageError extends TinsmithError {
  constructor(fact: string) {
    super('corrupt_image', fact);
  }
}

/** The mirror serves others first. */
class BusyMirrorError extends Error {
  readonly host: string;
  readonly turn: TurnInLine;

  constructor(host: string, turn: TurnInLine) {
    super(turnText(turn));
    this.host = host;
    this.turn = turn;
  }
}

/** How fast a mirror sends, while somebody waits for it. */
class Pace {
  readonly #windowMs: number;
  #startedAt = 0;
  #waitedMs = 0;
  #bytes = 0;

  constructor(windowMs: number) {
    this.#windowMs = windowMs;
  }

  wait(): void {
    this.#startedAt = performance.now();
  }

  /** Throws when the mirror sent too little while it was waited for that long. */
  came(bytes: number): void {
    this.#waitedMs += performance.now() - this.#startedAt;
    this.#bytes += bytes;
    if (this.#waitedMs < this.#windowMs) return;
    const rate = (this.#bytes / this.#waitedMs) * 1000;
    if (rate < SLOWEST_MIRROR_RATE) throw passingFailure(`it sends only ${Math.round(rate / 1024)} KiB/s`);
    [this.#waitedMs, this.#bytes] = [0, 0];
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
