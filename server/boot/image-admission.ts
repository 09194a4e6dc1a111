import { setTimeout as delay } from 'node:timers/promises';
import { CHUNK_BYTES } from './chunk-buffers.ts';
import { EgressBudget } from './egress-budget.ts';
import { ImageLine, type LineRules, type Visit } from './image-line.ts';

/** A request that may send. Disposing it ends the request; the machine keeps its place for some seconds. */
export interface ImagePlace extends Disposable {
  /** As much as is read and granted in one go. */
  readonly chunkBytes: number;
  /** Waits until the budget has that many bytes for this machine. Rejects with the signal's reason. */
  take(bytes: number, signal: AbortSignal): Promise<void>;
  /** Bytes that the client has taken. */
  sent(bytes: number): void;
}

/** It is somebody else's turn; 1 is next in line. */
export interface NotYet {
  readonly placeInLine: number;
}

export interface ServingMachine {
  readonly address: string;
  readonly state: 'served' | 'waiting';
  /** Of those that wait; 1 is next. */
  readonly placeInLine?: number;
  readonly since: Date;
  /** How long it waited before it was served, or waits by now. */
  readonly waitedSeconds: number;
  readonly requests: number;
  readonly sentBytes: number;
  /** Each second, lately. */
  readonly rate: number;
  /** It takes so little that others are served beside it. */
  readonly isSlow: boolean;
}

export interface ImageServing {
  /** 0: no limit. */
  readonly streams: number;
  /** Bytes a second; 0: no limit. */
  readonly egress: number;
  /** First those that are served, then the line. */
  readonly machines: readonly ServingMachine[];
}

export interface AdmissionOptions extends LineRules {
  /** For people; what is decided goes by a clock that nobody can set. */
  readonly clock: () => Date;
  readonly log: { info(facts: object, event: string): void };
}

const SMALLEST_CHUNK_BYTES = 64 << 10;
/** Of one machine, under way or held: an agent has five. */
const MOST_REQUESTS = 64;
/** So often somebody looks whether a place is free that nobody gave back. */
const LOOK_MS = 250;

/**
 * Lets a few machines at once fetch images, in the order in which they came, and shares the egress between them. A thin shell: who is
 * served decides ImageLine, who sends next EgressBudget.
 */
export class ImageAdmission implements AsyncDisposable {
  readonly #options: AdmissionOptions;
  readonly #line: ImageLine;
  readonly #budget: EgressBudget | undefined;
  readonly #held = new Map<Visit, Set<() => void>>();
  /** Those that wait, or waited, and of whom the log says so. */
  readonly #announced = new WeakSet<Visit>();
  readonly #stop = new AbortController();
  #looking: Promise<void> | undefined;
  #granting: Promise<void> | undefined;

  constructor(options: AdmissionOptions) {
    this.#options = options;
    this.#line = new ImageLine(options);
    this.#budget = options.egress === 0 ? undefined : new EgressBudget(options.egress);
  }

  /**
   * A place for one request of a machine, at once or within `holdMs` (`firstHoldMs` for the first that has to wait); else where it is in
   * the line. Rejects with the signal's reason: the client is gone.
   */
  async enter(
    address: string,
    { holdMs, firstHoldMs = holdMs, signal }: { holdMs: number; firstHoldMs?: number; signal: AbortSignal },
  ): Promise<ImagePlace | NotYet> {
    const visit = this.#line.begin(address, this.#now());
    if (visit === undefined) return { placeInLine: this.#line.waiting().length + 1 };
    let isEntered = false;
    try {
      if (visit.requests > MOST_REQUESTS) return this.#notYet(visit);
      this.#look();
      if (visit.state !== 'served') await this.#hold(visit, this.#announced.has(visit) ? holdMs : firstHoldMs, signal);
      signal.throwIfAborted();
      isEntered = visit.state === 'served';
      return isEntered ? this.#place(visit) : this.#notYet(visit);
    } finally {
      if (!isEntered) this.#end(visit);
    }
  }

  /** A place for one more request of a machine that is served already. */
  again(address: string): ImagePlace | undefined {
    const visit = this.#line.servedAt(address);
    if (visit === undefined || visit.requests >= MOST_REQUESTS) return undefined;
    this.#line.begin(address, this.#now());
    return this.#place(visit);
  }

  /** An agent at this address said that an action is over: nobody waits until it was quiet for long enough. */
  finish(address: string): void {
    this.#line.finish(address);
    this.#look();
  }

  serving(): ImageServing {
    const { streams, egress } = this.#options;
    const now = this.#now();
    const machines = [...this.#line.served(), ...this.#line.waiting()].map((visit) => this.#machine(visit, now));
    return { streams, egress, machines };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort(new Error('the server is stopping'));
    for (const wake of [...this.#held.values()].flatMap((wakes) => [...wakes])) wake();
    await Promise.allSettled([this.#looking, this.#granting]);
  }

  #now(): number {
    return performance.now();
  }

  #notYet(visit: Visit): NotYet {
    return { placeInLine: Math.max(1, this.#line.placeOf(visit)) };
  }

  async #hold(visit: Visit, holdMs: number, signal: AbortSignal): Promise<void> {
    if (!this.#announced.has(visit)) {
      this.#announced.add(visit);
      const placeInLine = this.#line.placeOf(visit);
      this.#options.log.info({ address: visit.address, placeInLine }, 'boot.imageWaits');
    }
    const { promise, resolve } = Promise.withResolvers<void>();
    const wakes = this.#held.get(visit) ?? new Set();
    this.#held.set(visit, wakes.add(resolve));
    const ends = AbortSignal.any([signal, this.#stop.signal, AbortSignal.timeout(holdMs)]);
    const onEnd = (): void => resolve();
    ends.addEventListener('abort', onEnd, { once: true });
    if (ends.aborted) resolve();
    await promise;
    ends.removeEventListener('abort', onEnd);
    wakes.delete(resolve);
    if (wakes.size === 0) this.#held.delete(visit);
  }

  #place(visit: Visit): ImagePlace {
    const { egress } = this.#options;
    const chunkBytes =
      egress === 0 ? CHUNK_BYTES : Math.max(SMALLEST_CHUNK_BYTES, Math.min(CHUNK_BYTES, Math.floor(egress / 64)));
    return {
      chunkBytes,
      take: (bytes, signal) => this.#take(visit, bytes, signal),
      sent: (bytes) => this.#line.sent(visit, bytes),
      [Symbol.dispose]: () => this.#end(visit),
    };
  }

  #end(visit: Visit): void {
    this.#line.end(visit, this.#now());
    this.#keepLooking();
  }

  async #take(visit: Visit, bytes: number, signal: AbortSignal): Promise<void> {
    const budget = this.#budget;
    if (budget === undefined) return;
    signal.throwIfAborted();
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const withdraw = budget.ask(visit, bytes, resolve);
    const ends = AbortSignal.any([signal, this.#stop.signal]);
    const onAbort = (): void => {
      withdraw();
      reject(ends.reason);
    };
    ends.addEventListener('abort', onAbort, { once: true });
    this.#keepGranting(budget);
    try {
      await promise;
    } finally {
      ends.removeEventListener('abort', onAbort);
    }
  }

  #keepGranting(budget: EgressBudget): void {
    if (this.#granting !== undefined || budget.isIdle || this.#stop.signal.aborted) return;
    this.#granting = this.#grant(budget).finally(() => {
      this.#granting = undefined;
      this.#keepGranting(budget);
    });
  }

  async #grant(budget: EgressBudget): Promise<void> {
    for (let waitMs = budget.run(performance.now()); waitMs !== undefined; waitMs = budget.run(performance.now())) {
      if (!(await isPauseOver(waitMs, this.#stop.signal))) return;
    }
  }

  /** Gives free places away, and wakes who got one. */
  #look(): void {
    const now = this.#now();
    const { served, left } = this.#line.admit(now);
    for (const visit of left) {
      const { address, sentBytes, servedAt = now, lastAt } = visit;
      this.#announced.delete(visit);
      this.#options.log.info({ address, sentBytes, seconds: (lastAt - servedAt) / 1000 }, 'boot.imageServed');
    }
    for (const visit of served) {
      const waitedSeconds = (now - visit.waitingSince) / 1000;
      if (this.#announced.has(visit))
        this.#options.log.info({ address: visit.address, waitedSeconds }, 'boot.imageTurn');
      for (const wake of this.#held.get(visit) ?? []) wake();
    }
    this.#keepLooking();
  }

  #keepLooking(): void {
    if (this.#looking !== undefined || this.#line.isEmpty || this.#stop.signal.aborted) return;
    this.#looking = this.#lookUntilEmpty().finally(() => {
      this.#looking = undefined;
      // Somebody may have come while it ended.
      this.#keepLooking();
    });
  }

  async #lookUntilEmpty(): Promise<void> {
    while (!this.#line.isEmpty && (await isPauseOver(LOOK_MS, this.#stop.signal))) this.#look();
  }

  #machine(visit: Visit, now: number): ServingMachine {
    const { address, since, waitingSince, servedAt, requests, sentBytes, isSlow } = visit;
    const isServed = visit.state === 'served';
    const windowMs = now - visit.windowAt;
    return {
      address,
      state: isServed ? 'served' : 'waiting',
      ...(!isServed && { placeInLine: this.#line.placeOf(visit) }),
      since: new Date(this.#options.clock().getTime() - (now - since)),
      waitedSeconds: ((isServed ? (servedAt ?? now) : now) - waitingSince) / 1000,
      requests,
      sentBytes,
      rate: Math.round(visit.rate === 0 && windowMs >= 500 ? (visit.windowBytes * 1000) / windowMs : visit.rate),
      isSlow,
    };
  }
}

/** False: it was cut short because the server stops. */
async function isPauseOver(ms: number, signal: AbortSignal): Promise<boolean> {
  return delay(ms, true, { signal }).catch(() => false);
}
