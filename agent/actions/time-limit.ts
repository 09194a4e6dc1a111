import type { TinsmithError } from '#proto/errors.ts';

export interface TimeLimitOptions {
  /** 0: none. */
  readonly limitMs: number;
  /** Time that does not count, by now. */
  readonly waitedMs: () => number;
  readonly error: (waitedMs: number) => TinsmithError;
}

/** While time does not count, what is left stays as it is: it is looked at so often. */
const LOOK_MS = 250;

/** A time-out whose clock stands still while its owner waits for something that is not its own. */
export class TimeLimit implements Disposable {
  readonly #options: TimeLimitOptions;
  readonly #over = new AbortController();
  readonly #startedAt = performance.now();
  #timer: NodeJS.Timeout | undefined;

  constructor(options: TimeLimitOptions) {
    this.#options = options;
    if (options.limitMs > 0) this.#wait(options.limitMs);
  }

  /** Aborted with the error when the time is over. */
  get signal(): AbortSignal {
    return this.#over.signal;
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
  }

  #wait(ms: number): void {
    this.#timer = setTimeout(() => this.#look(), ms);
  }

  #look(): void {
    const { limitMs, waitedMs, error } = this.#options;
    const leftMs = limitMs + waitedMs() - (performance.now() - this.#startedAt);
    // Timers are right to a millisecond.
    if (leftMs < 2) this.#over.abort(error(waitedMs()));
    else this.#wait(Math.max(leftMs, LOOK_MS));
  }
}
