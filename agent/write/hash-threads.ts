import { hash } from 'node:crypto';
import { availableParallelism } from 'node:os';
import { getAsset, isSea } from 'node:sea';
import { setImmediate } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';

/** What a thread is asked for the SHA-256 of. */
export interface SharedBytes {
  readonly memory: SharedArrayBuffer;
  readonly offset: number;
  readonly bytes: number;
}

/** Each takes 12 to 18 MiB and sums up 1.3 GB/s on the processor that it was measured on, which has SHA instructions. */
const MOST_THREADS = 3;
/** One for the caller's thread, one for decoding and the kernel: on two processors a thread more gains nothing (decision 86). */
const BUSY_PROCESSORS = 2;
/** It makes a string of 64 letters for each frame, and nothing else. */
const LIMITS = { maxYoungGenerationSizeMb: 2, maxOldGenerationSizeMb: 16, stackSizeMb: 1 };

/**
 * SHA-256 on threads of their own, as far as there are processors for them, and in line: Node's asynchronous digest copies what it sums
 * up, which takes as long as the sum. Threads start when they are wanted for the first time. While none is free the caller sums up by
 * itself, so that nothing waits for them, and one that cannot start or dies costs nothing but its help.
 */
export class HashThreads implements AsyncDisposable {
  readonly #most: number;
  readonly #threads: HashThread[] = [];

  constructor(processors = availableParallelism()) {
    this.#most = Math.min(MOST_THREADS, Math.max(0, processors - BUSY_PROCESSORS));
  }

  /** Threads that have summed something up, or are ready to. */
  get count(): number {
    return this.#threads.filter(({ isUp }) => isUp).length;
  }

  /** Lower-case hex. `bytes` is left as it is until then. Only what lies in shared memory is ever summed up elsewhere. */
  async sha256(bytes: Uint8Array): Promise<string> {
    return (await this.#sumElsewhere(bytes)) ?? hash('sha256', bytes, 'hex');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#threads.map((thread) => thread.end()));
  }

  /** Undefined: nobody else can. */
  async #sumElsewhere({ buffer: memory, byteOffset: offset, byteLength }: Uint8Array): Promise<string | undefined> {
    if (this.#most === 0 || !(memory instanceof SharedArrayBuffer)) return undefined;
    const shared = { memory, offset, bytes: byteLength };
    const asked = this.#askFree(shared);
    if (asked !== undefined) return asked;
    if (this.#threads.length < this.#most) this.#threads.push(new HashThread());
    if (this.count === 0) return undefined;
    // Those that have answered meanwhile are heard first: several sums are asked for in one go.
    await setImmediate();
    return this.#askFree(shared);
  }

  #askFree(shared: SharedBytes): Promise<string | undefined> | undefined {
    return this.#threads.find(({ isFree }) => isFree)?.sha256(shared);
  }
}

class HashThread {
  readonly #worker: Worker;
  #state: 'starting' | 'free' | 'busy' | 'gone' = 'starting';
  #answer: ((sum: string | undefined) => void) | undefined;

  constructor() {
    this.#worker = startWorker();
    this.#worker.unref();
    this.#worker.once('online', () => this.#become('free'));
    this.#worker.on('message', (sum: string) => this.#become('free', sum));
    this.#worker.on('error', () => this.#become('gone'));
    this.#worker.once('exit', () => this.#become('gone'));
  }

  get isUp(): boolean {
    return this.#state === 'free' || this.#state === 'busy';
  }

  get isFree(): boolean {
    return this.#state === 'free';
  }

  /** Undefined: the thread has died. */
  sha256(bytes: SharedBytes): Promise<string | undefined> {
    const { promise, resolve } = Promise.withResolvers<string | undefined>();
    this.#state = 'busy';
    // Somebody waits for it, and perhaps for nothing else: the process must not end.
    this.#worker.ref();
    this.#answer = resolve;
    this.#worker.postMessage(bytes);
    return promise;
  }

  async end(): Promise<void> {
    await this.#worker.terminate();
  }

  #become(state: 'free' | 'gone', sum?: string): void {
    if (this.#state === 'gone') return;
    this.#state = state;
    this.#worker.unref();
    this.#answer?.(sum);
    this.#answer = undefined;
  }
}

/** From the source beside this file, or from what the agent's executable carries. */
function startWorker(): Worker {
  // Options of this process's own start are not for it.
  const settings = { resourceLimits: LIMITS, name: 'sha256', execArgv: [] };
  if (isSea()) return new Worker(getAsset('hash-worker.js', 'utf8'), { ...settings, eval: true });
  return new Worker(new URL('./hash-worker.ts', import.meta.url), settings);
}
