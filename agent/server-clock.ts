/**
 * The server's time, as far as it is known: machines often have a clock that is years off, and their reports stand beside
 * other machines' in one log. Until the server has told its time it is the machine's own.
 */
export class ServerClock {
  readonly #own: () => number;
  #offsetMs = 0;

  /** `own`: the machine's clock, milliseconds since 1970. */
  constructor(own: () => number) {
    this.#own = own;
  }

  /** The server said just now that it is `date`. */
  set(date: Date): void {
    this.#offsetMs = date.getTime() - this.#own();
  }

  now(): Date {
    return new Date(this.#own() + this.#offsetMs);
  }
}
