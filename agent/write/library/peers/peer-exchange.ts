import { TinsmithError } from '#proto/errors.ts';
import type { LibraryFrame } from '#proto/library-index.ts';
import { pause } from '#transfer/pause.ts';
import { Pulse } from '../../../pulse.ts';
import { FrameSet } from './frame-set.ts';
import { nameOf, Peer, type PeerTiming } from './peer.ts';
import type { PeerAnnouncement, PeerDirectory } from './peer-directory.ts';
import { type PeerServer, type PeerServerOptions, startPeerServer } from './peer-server.ts';

export interface ExchangeTiming extends PeerTiming {
  /** At the start, for the server's answer who else is there. */
  readonly groupMs: number;
  /** Without anything new from the peers, until the server is asked for what others were to fetch. */
  readonly idleMs: number;
  /** In all: how much longer a write may take because peers were waited for or were bad. */
  readonly patienceMs: number;
}

export const EXCHANGE_TIMING: ExchangeTiming = {
  pollMs: 1000,
  answerMs: 2000,
  frameMs: 5000,
  groupMs: 2000,
  // A server that serves a few machines at once gives a place on after three seconds: those that wait for it get their turns.
  idleMs: 5000,
  patienceMs: 30_000,
};

export interface ExchangeOptions extends Omit<PeerServerOptions, 'held' | 'isKnown'> {
  readonly directory: PeerDirectory;
  readonly timing: ExchangeTiming;
  readonly signal: AbortSignal;
  /** Reads frames from peers at once. */
  readonly readers: number;
}

interface ExchangeParts {
  readonly held: FrameSet;
  readonly known: Set<string>;
  readonly server: PeerServer;
}

export interface FrameMemory {
  readonly into: Buffer;
  readonly received: Buffer;
}

/** Neighbouring frames that are one machine's to fetch: one request. */
const TURN_FRAMES = 4;

/**
 * What a machine gives to and takes from others that write the same image. Whose turn it is to ask the server for a frame follows from
 * the places that the server gave: together they ask for each frame once. Everything else comes from peers, who are believed nothing: a
 * frame is checked by its sum, and a peer that is wrong, slow or gone is left and not asked again. When nothing comes, or when all that
 * waiting took too long, every frame is this machine's own to fetch: peers never make a write fail, nor much slower.
 */
export class PeerExchange implements AsyncDisposable {
  /** Bytes of the image that came from peers and were right. */
  bytes = 0;
  readonly #options: ExchangeOptions;
  readonly #held: FrameSet;
  /** Addresses that may ask. */
  readonly #known: Set<string>;
  readonly #announcement: PeerAnnouncement;
  readonly #news = new Pulse();
  readonly #peers = new Map<string, Peer>();
  readonly #left = new Set<string>();
  readonly #givers = new Set<string>();
  readonly #ending = new AbortController();
  readonly #signal: AbortSignal;
  readonly #polling: Promise<void>;
  readonly #server: PeerServer;
  #reading = 0;
  #idleMs = 0;
  #lostMs = 0;

  static async start(options: ExchangeOptions): Promise<PeerExchange> {
    const held = new FrameSet(options.frames.length);
    const known = new Set<string>();
    const server = await startPeerServer({ ...options, held, isKnown: (address) => known.has(address) });
    return new PeerExchange(options, { held, known, server });
  }

  private constructor(options: ExchangeOptions, { held, known, server }: ExchangeParts) {
    this.#options = options;
    this.#held = held;
    this.#known = known;
    this.#server = server;
    this.#signal = AbortSignal.any([options.signal, this.#ending.signal]);
    this.#announcement = options.directory.announce({ digest: options.digest, port: server.port });
    this.#polling = this.#poll();
  }

  /** Resolves when it is known who else is there, and after a while anyway. */
  async ready(): Promise<void> {
    const { signal, timing } = this.#options;
    const until = performance.now() + timing.groupMs;
    while (this.#announcement.group === undefined && performance.now() < until) await pause(10, signal);
  }

  /** A frame lies on the disk, checked. */
  note(frame: number): void {
    this.#held.add(frame);
  }

  /** Whether the server is to be asked for the frame now. */
  isOwn(frame: number): boolean {
    if (this.#isOver || this.#idleMs > this.#options.timing.idleMs) return true;
    for (const peer of this.#peers.values()) if (peer.held.has(frame)) return false;
    const group = this.#announcement.group;
    if (group === undefined || group.of <= 1) return true;
    return Math.floor(frame / TURN_FRAMES) % group.of === group.rank;
  }

  /** Whether a peer can be asked for it now. */
  isOnOffer(frame: number): boolean {
    return !this.#isOver && [...this.#peers.values()].some((peer) => peer.canGive(frame));
  }

  /** Gets a frame from one of the peers, checked. False: from none, for whatever reason; it may be tried again. */
  async fetch(number: number, frame: LibraryFrame, { into, received }: FrameMemory): Promise<boolean> {
    const { memory, signal } = this.#options;
    const givers = [...this.#peers.values()].filter((peer) => peer.canGive(number));
    const peer = givers[Math.floor(Math.random() * givers.length)];
    const expected = frame.sums?.image;
    if (peer === undefined || expected === undefined) return false;
    const bytes = into.subarray(0, frame.imageBytes);
    const check = async (): Promise<void> => {
      if ((await memory.sha256(bytes)) === expected) return;
      throw new TinsmithError('checksum_mismatch', `its frame ${number} has another checksum than the index says`);
    };
    const startedAt = performance.now();
    this.#reading += 1;
    try {
      if (!(await peer.read(number, bytes, { memory: received, signal, check }))) {
        this.#lostMs += (performance.now() - startedAt) / this.#options.readers;
        return false;
      }
    } catch (thrown) {
      signal.throwIfAborted();
      this.#lostMs += (performance.now() - startedAt) / this.#options.readers;
      this.#leave(peer, thrown);
      return false;
    } finally {
      this.#reading -= 1;
    }
    this.#idleMs = 0;
    this.bytes += frame.imageBytes;
    this.#givers.add(peer.name);
    return true;
  }

  /** Waits until peers have something new, for a short time. */
  async wait(): Promise<void> {
    const { signal, timing, readers } = this.#options;
    const startedAt = performance.now();
    await this.#news.wait(signal, Math.min(timing.pollMs, 200));
    // While a frame is on its way nothing is lost: whether it comes is another matter.
    if (this.#reading > 0) return;
    const waitedMs = (performance.now() - startedAt) / readers;
    this.#idleMs += waitedMs;
    this.#lostMs += waitedMs;
  }

  /** How many peers gave something. */
  get givers(): number {
    return this.#givers.size;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#ending.abort(new TinsmithError('cancelled', 'the image is written'));
    this.#announcement[Symbol.dispose]();
    await this.#polling;
    await this.#server[Symbol.asyncDispose]();
  }

  get #isOver(): boolean {
    return this.#lostMs > this.#options.timing.patienceMs;
  }

  async #poll(): Promise<void> {
    try {
      for (;;) {
        this.#meet();
        await Promise.all([...this.#peers.values()].map((peer) => this.#refresh(peer)));
        this.#announcement.noteFrames(this.#held.count);
        await pause(this.#options.timing.pollMs, this.#signal);
      }
    } catch (thrown) {
      if (!this.#signal.aborted) throw thrown;
    }
  }

  /** Those that the server does not name any more are kept until they fail: it may just have been restarted. */
  #meet(): void {
    const { digest, frames, timing } = this.#options;
    for (const address of this.#announcement.group?.peers ?? []) {
      this.#known.add(address.address);
      const name = nameOf(address);
      if (this.#left.has(name) || this.#peers.has(name)) continue;
      this.#peers.set(name, new Peer(name, digest, { frames: frames.length, timing }));
    }
  }

  async #refresh(peer: Peer): Promise<void> {
    try {
      if ((await peer.refresh(this.#signal)) === 0) return;
      this.#idleMs = 0;
      this.#news.fire();
    } catch (thrown) {
      this.#signal.throwIfAborted();
      this.#leave(peer, thrown);
    }
  }

  #leave(peer: Peer, thrown: unknown): void {
    if (!this.#peers.delete(peer.name)) return;
    this.#left.add(peer.name);
    this.#options.log(`no more frames from the machine at ${peer.name}: ${TinsmithError.from(thrown).message}`);
  }
}
