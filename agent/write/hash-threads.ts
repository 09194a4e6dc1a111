import { hash } from 'node:crypto';
import { availableParallelism } from 'node:os';
import { getAsset, isSea } from 'node:sea';
import { Worker } from 'node:worker_threads';

/** What a thread is asked for the SHA-256 of. */
export interface SharedBytes {
  readonly memory: SharedArrayBuffer;
  readonly offset: number;
  readonly bytes: number;
}

/** Each takes 12 to 18 MiB. With the caller's own thread these sum up 4 GB/s with SHA instructions, 1.5 GB/s without. */
const MOST_THREADS = 3;
/** It makes a string of 64 letters for each frame, and nothing else. */
const LIMITS = { maxYoungGenerationSizeMb: 2, maxOldGenerationSizeMb: 16, stackSizeMb: 1 };

/**
 * SHA-256 in line, and at the same time on as many threads as there are processors for: Node's own asynchronous digest copies what it
 * sums up, which takes as long as the sum. Threads start when they are wanted for the first time, and while none is free the caller sums
 * up by itself, so that nothing ever waits for them, and a thread that cannot start or dies costs nothing but its help.
 */
export class HashThreads implements AsyncDisposable {
  readonly #most: number;
  readonly #threads: HashThread[] = [];

  constructor(processors = availableParallelism()) {
    this.#most = Math.min(MOST_THREADS, processors - 1);
  }

  /** Threads that have summed something up, or are ready to. */
  get count(): number {
    return this.#threads.filter(({ isUp }) => isUp).length;
  }

  /** Lower-case hex. `bytes` is left as it is until then. Only what lies in shared memory is ever summed up elsewhere. */
  async sha256(bytes: Uint8Array): Promise<string> {
    const { buffer: memory, byteOffset: offset, byteLength } = bytes;
    const thread = memory instanceof SharedArrayBuffer ? this.#freeThread() : undefined;
    if (thread === undefined || !(memory instanceof SharedArrayBuffer)) return hash('sha256', bytes, 'hex');
    return (await thread.sha256({ memory, offset, bytes: byteLength })) ?? hash('sha256', bytes, 'hex');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#threads.map((thread) => thread.end()));
  }

  #freeThread(): HashThread | undefined {
    const free = this.#threads.find(({ isFree }) => isFree);
    if (free === undefined && this.#threads.length < this.#most) this.#threads.push(new HashThread());
    return free;
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
    this.#answer?.(sum);
    this.#answer = undefined;
  }
}

/** From the source beside this file, or from what the agent's executable carries. */
function startWorker(): Worker {
  const settings = { resourceLimits: LIMITS, name: 'sha256' };
  if (isSea()) return new Worker(getAsset('hash-worker.js', 'utf8'), { ...settings, eval: true });
  return new Worker(new URL('./hash-worker.ts', import.meta.url), settings);
}
