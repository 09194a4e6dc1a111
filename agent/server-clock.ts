/** More than that is no drift. Certificates of servers outside, and of users' passwords the day, go by the clock. */
const TOLERATED_MS = 300_000;

/**
 * The server's time, as far as it is known: machines often have a clock that is years off, and their reports stand beside
 * other machines' in one log. Until the server has told its time it is the machine's own.
 */
export class ServerClock {
  readonly #own: () => number;
  readonly #correct: ((date: Date) => void) | undefined;
  #offsetMs = 0;

  /** `own`: the machine's clock, milliseconds since 1970. `correct` sets it, if it may be set; never throws. */
  constructor(own: () => number, correct?: (date: Date) => void) {
    this.#own = own;
    this.#correct = correct;
  }

  /** The server, which is authenticated, said just now that it is `date`: a clock that is wrong is set. */
  set(date: Date): void {
    this.#offsetMs = date.getTime() - this.#own();
    if (this.#correct === undefined || Math.abs(this.#offsetMs) <= TOLERATED_MS) return;
    const startedAt = performance.now();
    this.#correct(date);
    this.#offsetMs = date.getTime() + (performance.now() - startedAt) - this.#own();
  }

  now(): Date {
    return new Date(this.#own() + this.#offsetMs);
  }
}
