import { TinsmithError } from '#proto/errors.ts';
import { type GetOptions, httpGet } from '#transfer/http-request.ts';
import type { HttpResponse } from '#transfer/http-response.ts';
import { FrameSet } from './frame-set.ts';
import type { PeerAddress } from './peer-directory.ts';

export interface PeerTiming {
  /** Between two questions which frames a peer has. */
  readonly pollMs: number;
  /** For the connection and the head of an answer. */
  readonly answerMs: number;
  /** For a whole frame. */
  readonly frameMs: number;
}

/** Asked for at once, by this machine. */
const MOST_REQUESTS = 2;
/** A peer that has too much to do is left alone for so long. */
const BUSY_MS = 200;
/** In a row: a machine that is busy answers late now and then, one that is gone never does. */
const MOST_LATE = 5;
/** What a connection receives at once that asks for a frame set. */
const POLL_BYTES = 16 << 10;

/** `host:port`, as URLs have it. */
export function nameOf({ address, port }: PeerAddress): string {
  return `${address.includes(':') ? `[${address}]` : address}:${port}`;
}

/** One other machine that writes the same image. Whatever it does wrong is thrown; the caller leaves it then. */
export class Peer {
  readonly name: string;
  /** What it says it has. */
  held: FrameSet;
  readonly #base: string;
  readonly #timing: PeerTiming;
  readonly #memory = Buffer.allocUnsafeSlow(POLL_BYTES);
  #requests = 0;
  #busyUntil = 0;
  /** Questions in a row that it did not answer in time: one that says at once what it has may never give it. */
  readonly #late = { set: 0, frame: 0 };

  constructor(name: string, digest: string, about: { readonly frames: number; readonly timing: PeerTiming }) {
    this.name = name;
    this.#base = `http://${name}/${digest}/frames`;
    this.#timing = about.timing;
    this.held = new FrameSet(about.frames);
  }

  canGive(frame: number): boolean {
    return this.held.has(frame) && this.#requests < MOST_REQUESTS && performance.now() >= this.#busyUntil;
  }

  /** Asks which frames it has. Returns how many are new. */
  async refresh(signal: AbortSignal): Promise<number> {
    const { frames, bytes: expected, count } = this.held;
    const bytes = Buffer.alloc(expected.length);
    if (!(await this.#get('set', bytes, { signal, memory: this.#memory }))) return 0;
    const held = FrameSet.from(bytes, frames);
    if (held === undefined) throw bad('it has another image');
    this.held = held;
    return Math.max(0, held.count - count);
  }

  /** Fills `into` with frame `number` as the disk is to hold it; `check` throws if it is another one. False: it has too much to do. */
  async read(
    number: number,
    into: Buffer,
    { memory, signal, check }: { memory: Buffer; signal: AbortSignal; check: () => Promise<void> },
  ): Promise<boolean> {
    this.#requests += 1;
    try {
      const isGot = await this.#get(number, into, { signal, memory });
      // Until it is known whether that was right, nothing more is asked for.
      if (isGot) await check();
      else this.#busyUntil = performance.now() + BUSY_MS;
      return isGot;
    } finally {
      this.#requests -= 1;
    }
  }

  async #get(
    what: 'set' | number,
    into: Buffer,
    { memory, signal: parent }: { memory: Buffer; signal: AbortSignal },
  ): Promise<boolean> {
    const { answerMs, frameMs } = this.#timing;
    const deadline = AbortSignal.timeout(frameMs);
    const signal = AbortSignal.any([parent, deadline]);
    // A peer that sends us elsewhere is none.
    const options = { headers: {}, proxy: {}, redirects: 0, answerMs, signal, memory };
    const response = await this.#ask(what, options);
    if (response === undefined) return false;
    const end = (): void => response.destroy(bad(`its answer took more than ${frameMs / 1000} s`));
    signal.addEventListener('abort', end, { once: true });
    if (signal.aborted) end();
    try {
      if (response.status === 503) return false;
      if (response.status !== 200) throw bad(`it answered ${response.status}`);
      await readExactly(response, into);
      return true;
    } finally {
      signal.removeEventListener('abort', end);
      response.destroy();
    }
  }

  /** Undefined: it does not answer in time, and is let alone for a while as if it had said that it is busy. */
  async #ask(what: 'set' | number, options: GetOptions): Promise<HttpResponse | undefined> {
    const kind = what === 'set' ? 'set' : 'frame';
    try {
      const response = await httpGet(new URL(what === 'set' ? this.#base : `${this.#base}/${what}`), options);
      this.#late[kind] = 0;
      return response;
    } catch (thrown) {
      options.signal.throwIfAborted();
      this.#late[kind] += 1;
      if (TinsmithError.from(thrown).code !== 'timed_out' || this.#late[kind] >= MOST_LATE) throw thrown;
      this.#busyUntil = performance.now() + BUSY_MS;
      return undefined;
    }
  }
}

async function readExactly(response: HttpResponse, into: Buffer): Promise<void> {
  const length = response.contentLength();
  if (length !== into.length) throw bad(`it sends ${length ?? 'an unknown number of'} bytes, not ${into.length}`);
  let filled = 0;
  for await (const chunk of response) {
    into.set(chunk, filled);
    filled += chunk.length;
  }
}

function bad(fact: string): TinsmithError {
  return new TinsmithError('unavailable', fact);
}
