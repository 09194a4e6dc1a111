import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { TinsmithError } from '#proto/errors.ts';
import { FRAME_BYTES, type LibraryFrame } from '#proto/library-index.ts';
import type { Disk } from '../../../machine/machine.ts';
import type { WriteMemory } from '../../write-memory.ts';
import type { FrameSet } from './frame-set.ts';

export interface PeerServerOptions {
  readonly digest: string;
  readonly frames: readonly LibraryFrame[];
  /** What may be given: it is on the disk, and was checked before it was written. */
  readonly held: FrameSet;
  readonly disk: Disk;
  readonly memory: WriteMemory;
  /** Whether the server named a machine of this address. */
  readonly isKnown: (address: string) => boolean;
  readonly log: (text: string) => void;
}

export interface PeerServer extends AsyncDisposable {
  readonly port: number;
}

/** Frames that are read and sent at once, each with memory of its own. */
const SENDS_AT_ONCE = 2;
/** Others wait for their turn, but no longer than whoever asks waits for an answer. */
const MOST_WAITING = 16;
const MOST_WAIT_MS = 1000;
const MOST_CONNECTIONS = 64;
/** Who takes longer for one frame is cut off: 0.4 MB/s. */
const LONGEST_SEND_MS = 10_000;

/**
 * Gives frames of a library image that lie on this machine's disk to others that write the same image, over plain HTTP, as they are
 * on the disk: whoever asks checks them by the signed index. It answers machines that the server named, gives nothing else, takes nothing
 * in, and lives only while the disk is this write's: disposing it ends every request before the disk may be closed. A disk that cannot be read fails a request, never the
 * write.
 *
 *   GET /<digest>/frames            which frames there are, as a FrameSet
 *   GET /<digest>/frames/<number>   one frame
 */
export async function startPeerServer(options: PeerServerOptions): Promise<PeerServer> {
  const closing = new AbortController();
  const running = new Set<Promise<void>>();
  const sender = new FrameSender(options, closing.signal);
  const limits = { maxHeaderSize: 4096, headersTimeout: 2000, requestTimeout: 2000, connectionsCheckingInterval: 1000 };
  const server = createServer({ ...limits, keepAlive: false }, (request, response) => {
    response.on('error', () => undefined);
    const work = sender.answer(request, response).catch(() => void response.destroy());
    running.add(work);
    void work.finally(() => running.delete(work));
  });
  server.maxConnections = MOST_CONNECTIONS;
  server.listen(0);
  await once(server, 'listening');
  return {
    port: portOf(server),
    async [Symbol.asyncDispose]() {
      closing.abort(new TinsmithError('cancelled', 'the image is written'));
      server.close();
      server.closeAllConnections();
      await Promise.allSettled(running);
    },
  };
}

class FrameSender {
  readonly #options: PeerServerOptions;
  readonly #closing: AbortSignal;
  readonly #free: Buffer[];
  readonly #waiting: ((memory: Buffer) => void)[] = [];

  constructor(options: PeerServerOptions, closing: AbortSignal) {
    this.#options = options;
    this.#closing = closing;
    this.#free = options.memory.aligned(SENDS_AT_ONCE, FRAME_BYTES);
  }

  async answer({ method, url = '', socket }: IncomingMessage, response: ServerResponse): Promise<void> {
    const { digest, held, isKnown } = this.#options;
    // Later, perhaps: the server tells a newcomer of us before it tells us of the newcomer.
    if (!isKnown((socket.remoteAddress ?? '').replace(/^::ffff:/, ''))) return refuse(response, 503);
    if (method !== 'GET') return refuse(response, 405);
    const [, asked, frame] = /^\/([0-9a-f]{64})\/frames(?:\/(\d{1,9}))?$/.exec(url) ?? [];
    if (asked !== digest) return refuse(response, 404);
    if (frame === undefined) return this.#send(response, Buffer.from(held.bytes));
    if (!held.has(Number(frame))) return refuse(response, 404);
    const memory = await this.#takeMemory();
    if (memory === undefined) return refuse(response, 503);
    try {
      await this.#sendFrame(Number(frame), memory, response);
    } finally {
      const next = this.#waiting.shift();
      if (next === undefined) this.#free.push(memory);
      else next(memory);
    }
  }

  async #sendFrame(number: number, memory: Buffer, response: ServerResponse): Promise<void> {
    const { frames, held, disk, log } = this.#options;
    const frame = frames[number];
    if (frame === undefined || response.destroyed) return;
    const raw = memory.subarray(0, frame.imageBytes);
    try {
      await disk.read(raw, frame.imageOffset);
    } catch (thrown) {
      held.remove(number);
      log(`cannot give frame ${number} to another machine: ${TinsmithError.from(thrown).message}`);
      throw thrown;
    }
    await this.#send(response, raw);
  }

  /** Resolves when nothing needs `bytes` any more. */
  async #send(response: ServerResponse, bytes: Buffer): Promise<void> {
    if (response.destroyed) return;
    const signal = AbortSignal.any([this.#closing, AbortSignal.timeout(LONGEST_SEND_MS)]);
    const cut = (): void => void response.destroy();
    signal.addEventListener('abort', cut, { once: true });
    if (signal.aborted) cut();
    try {
      const closed = once(response, 'close');
      response.writeHead(200, { 'content-type': 'application/octet-stream', 'content-length': bytes.length });
      response.end(bytes);
      await closed;
    } finally {
      signal.removeEventListener('abort', cut);
    }
  }

  /** Undefined: there are too many before. */
  async #takeMemory(): Promise<Buffer | undefined> {
    const free = this.#free.pop();
    if (free !== undefined || this.#waiting.length >= MOST_WAITING) return free;
    const { promise, resolve } = Promise.withResolvers<Buffer | undefined>();
    this.#waiting.push(resolve);
    const giveUp = (): void => {
      const place = this.#waiting.indexOf(resolve);
      if (place !== -1) this.#waiting.splice(place, 1);
      if (place !== -1) resolve(undefined);
    };
    const signal = AbortSignal.any([this.#closing, AbortSignal.timeout(MOST_WAIT_MS)]);
    signal.addEventListener('abort', giveUp, { once: true });
    if (signal.aborted) giveUp();
    try {
      return await promise;
    } finally {
      signal.removeEventListener('abort', giveUp);
    }
  }
}

function refuse(response: ServerResponse, status: number): void {
  response.writeHead(status, { 'content-length': 0 }).end();
}

function portOf(server: Server): number {
  const address = server.address();
  return typeof address === 'object' && address !== null ? address.port : 0;
}
