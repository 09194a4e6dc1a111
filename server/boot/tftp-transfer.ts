import type { Socket } from 'node:dgram';
import type { FileHandle } from 'node:fs/promises';
import {
  decodeTftpReport,
  encodeTftpOptions,
  type TftpOptions,
  type TftpReport,
  tftpDataHeader,
} from './tftp-packet.ts';

export interface TransferOptions {
  /** Connected to the client, so that the kernel drops what anybody else sends (RFC 1350's check of the transfer id). */
  readonly socket: Socket;
  readonly file: FileHandle;
  readonly sizeBytes: number;
  /** As the client asked. */
  readonly asked: TftpOptions;
  readonly signal: AbortSignal;
  /** Wait before the first repetition, 500 ms; doubles up to eight times that. Tests shorten it. */
  readonly retryMs?: number;
}

export type TransferEnd =
  | { readonly kind: 'done' }
  /** The client went away or said that it wants no more: usual after it asked for the size only. */
  | { readonly kind: 'refused'; readonly code: number; readonly message: string }
  | { readonly kind: 'timedOut'; readonly block: number };

const DEFAULT_BLOCK_BYTES = 512;
const MAX_WINDOW = 64;
/** Read at once; also the most that may be under way. */
const CHUNK_BYTES = 256 * 1024;
const RETRY_MS = 500;
const MAX_RETRIES = 6;

/**
 * Sends a file: lock-step, or go-back-N when a window was agreed on. Resolves with how it ended; rejects with the signal's
 * reason or when the file can't be read. Leaves socket and file open.
 *
 * Blocks are counted without bound and only their low 16 bits go over the wire, so files of any size work (rollover to 0).
 * Repeated acknowledgements of a lock-step transfer are ignored: answering each would double every packet from then on
 * (the "Sorcerer's Apprentice"). The own timer repeats what got lost.
 */
export async function sendTftpFile(options: TransferOptions): Promise<TransferEnd> {
  const terms = agree(options.asked, options.sizeBytes);
  using inbox = new Inbox(options.socket, options.signal);
  const retryMs = options.asked.timeout === undefined ? (options.retryMs ?? RETRY_MS) : options.asked.timeout * 1000;
  const state = new Transfer(options, terms, { inbox, retryMs, backsOff: options.asked.timeout === undefined });
  return await state.run();
}

interface Terms {
  readonly blockBytes: number;
  readonly window: number;
  /** What is sent back as an option acknowledgement; undefined: the client asked for nothing that we know. */
  readonly accepted?: TftpOptions;
}

function agree(asked: TftpOptions, sizeBytes: number): Terms {
  const blockBytes = asked.blksize ?? DEFAULT_BLOCK_BYTES;
  const window = Math.min(asked.windowsize ?? 1, MAX_WINDOW, Math.max(1, Math.floor(CHUNK_BYTES / blockBytes)));
  if (Object.keys(asked).length === 0) return { blockBytes, window };
  const accepted = {
    ...asked,
    ...(asked.tsize === undefined ? {} : { tsize: sizeBytes }),
    ...(asked.windowsize === undefined ? {} : { windowsize: window }),
  };
  return { blockBytes, window, accepted };
}

interface Timing {
  readonly inbox: Inbox;
  readonly retryMs: number;
  /** RFC 2349 `timeout` fixes the interval; else it doubles. */
  readonly backsOff: boolean;
}

class Transfer {
  readonly #options: TransferOptions;
  readonly #terms: Terms;
  readonly #timing: Timing;
  readonly #lastBlock: number;
  /** Everything up to here is acknowledged; block 0 is the option acknowledgement. */
  #acknowledged: number;
  #sent: number;
  #chunk: Buffer = Buffer.alloc(0);
  #chunkAt = 0;

  constructor(options: TransferOptions, terms: Terms, timing: Timing) {
    this.#options = options;
    this.#terms = terms;
    this.#timing = timing;
    // A last block that is full is followed by an empty one: a short block is the end.
    this.#lastBlock = Math.floor(options.sizeBytes / terms.blockBytes) + 1;
    this.#acknowledged = terms.accepted === undefined ? 0 : -1;
    this.#sent = this.#acknowledged;
  }

  async run(): Promise<TransferEnd> {
    let retries = 0;
    let deadline = this.#deadlineAfter(retries);
    while (this.#acknowledged < this.#lastBlock) {
      await this.#sendWindow();
      // What changes nothing doesn't move the deadline either: a client that repeats itself can't keep us from repeating.
      const report = await this.#timing.inbox.next(Math.max(0, deadline - performance.now()));
      if (report?.kind === 'error') return { kind: 'refused', code: report.code, message: report.message };
      if (report !== undefined && !this.#acknowledge(report.block)) continue;
      retries = report === undefined ? retries + 1 : 0;
      if (retries > MAX_RETRIES) return { kind: 'timedOut', block: this.#acknowledged + 1 };
      this.#sent = this.#acknowledged;
      deadline = this.#deadlineAfter(retries);
    }
    return { kind: 'done' };
  }

  #deadlineAfter(retries: number): number {
    const { retryMs, backsOff } = this.#timing;
    return performance.now() + retryMs * (backsOff ? Math.min(2 ** retries, 8) : 1);
  }

  /** Whether the acknowledgement moved the transfer on. One that is behind, or ahead of what was sent, changes nothing. */
  #acknowledge(block: number): boolean {
    const moved = (block - (this.#acknowledged & 0xffff) + 0x10000) % 0x10000;
    if (moved === 0 || moved > this.#sent - this.#acknowledged) return false;
    // RFC 7440 §4: in the middle of a window it says that the next block was lost; run() goes back to it.
    this.#acknowledged += moved;
    return true;
  }

  async #sendWindow(): Promise<void> {
    if (this.#acknowledged === -1) {
      if (this.#sent === -1) this.#options.socket.send(encodeTftpOptions(this.#terms.accepted ?? {}));
      this.#sent = 0;
      return;
    }
    const end = Math.min(this.#acknowledged + this.#terms.window, this.#lastBlock);
    while (this.#sent < end) {
      const block = this.#sent + 1;
      const data = await this.#blockData(block);
      this.#options.socket.send([tftpDataHeader(block), data]);
      this.#sent = block;
    }
  }

  async #blockData(block: number): Promise<Buffer> {
    const { blockBytes } = this.#terms;
    const from = (block - 1) * blockBytes;
    const to = Math.min(from + blockBytes, this.#options.sizeBytes);
    if (from < this.#chunkAt || to > this.#chunkAt + this.#chunk.length)
      await this.#readChunk(this.#acknowledged * blockBytes);
    return this.#chunk.subarray(from - this.#chunkAt, to - this.#chunkAt);
  }

  /** From the oldest block that may have to be repeated; a whole window fits in behind it. */
  async #readChunk(at: number): Promise<void> {
    const wanted = Math.min(CHUNK_BYTES, this.#options.sizeBytes - at);
    // A new buffer each time: packets that the socket has not sent yet may still point into the old one.
    const chunk = Buffer.allocUnsafe(wanted);
    let filled = 0;
    while (filled < wanted) {
      const { bytesRead } = await this.#options.file.read(chunk, filled, wanted - filled, at + filled);
      if (bytesRead === 0)
        throw new Error(`the file became shorter than ${this.#options.sizeBytes} bytes while it was sent`);
      filled += bytesRead;
    }
    this.#chunk = chunk;
    this.#chunkAt = at;
  }
}

/** The client's datagrams, one at a time, with a time limit. */
class Inbox implements Disposable {
  readonly #socket: Socket;
  readonly #signal: AbortSignal;
  readonly #reports: TftpReport[] = [];
  #error: Error | undefined;
  #wake: (() => void) | undefined;

  constructor(socket: Socket, signal: AbortSignal) {
    this.#socket = socket;
    this.#signal = signal;
    socket.on('message', this.#onMessage).on('error', this.#onError);
    signal.addEventListener('abort', this.#onAbort);
  }

  [Symbol.dispose](): void {
    this.#socket.off('message', this.#onMessage).off('error', this.#onError);
    this.#signal.removeEventListener('abort', this.#onAbort);
  }

  /** Undefined when nothing came in time. Rejects with the signal's reason. */
  async next(waitMs: number): Promise<TftpReport | undefined> {
    if (this.#reports.length === 0 && this.#error === undefined && !this.#signal.aborted) await this.#wait(waitMs);
    this.#signal.throwIfAborted();
    const report = this.#reports.shift();
    if (report !== undefined || this.#error === undefined) return report;
    // The kernel's answer to a datagram for a closed port: the client is gone.
    return { kind: 'error', code: 0, message: this.#error.message };
  }

  async #wait(waitMs: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#wake = resolve;
    const timer = setTimeout(resolve, waitMs);
    try {
      await promise;
    } finally {
      clearTimeout(timer);
      this.#wake = undefined;
    }
  }

  readonly #onMessage = (bytes: Buffer): void => {
    const report = decodeTftpReport(bytes);
    // A client that floods us is told nothing: what it repeats is dropped, the timer goes on.
    if (report === undefined || this.#reports.length >= MAX_WINDOW) return;
    this.#reports.push(report);
    this.#wake?.();
  };

  readonly #onError = (error: Error): void => {
    this.#error = error;
    this.#wake?.();
  };

  readonly #onAbort = (): void => this.#wake?.();
}
