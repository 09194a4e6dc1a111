/** A server that is started anew, or gets the image again, is waited for; this many answers of each are none too few for that. */
const ANSWERS = 3;
/** So many of the longest pauses between two questions. */
const FOR_PAUSES = 3;

/**
 * Whether nobody has an image any more: each mirror's last answers, three or more, were that there is none, for some 30 s. One that
 * says anything else, or nothing, may still have it. Pure: the time comes in.
 */
export class MissingEverywhere {
  readonly #forMs: number;
  /** Of each mirror: how often in a row it said so, and when first. */
  readonly #mirrors: readonly { times: number; since: number }[];

  constructor(count: number, { longestPauseMs }: { readonly longestPauseMs: number }) {
    this.#forMs = FOR_PAUSES * longestPauseMs;
    this.#mirrors = Array.from({ length: count }, () => ({ times: 0, since: 0 }));
  }

  /** The mirror says that it has no such image. */
  missing(mirror: number, now: number): void {
    const state = this.#mirrors[mirror];
    if (state === undefined) return;
    if (state.times === 0) state.since = now;
    state.times += 1;
  }

  /** Whatever else became of a question. */
  otherwise(mirror: number): void {
    const state = this.#mirrors[mirror];
    if (state !== undefined) state.times = 0;
  }

  /** For how long all of them have said so; undefined: that is not long enough. */
  sureForMs(now: number): number | undefined {
    if (this.#mirrors.some(({ times }) => times < ANSWERS)) return undefined;
    const forMs = now - Math.max(...this.#mirrors.map(({ since }) => since));
    return forMs < this.#forMs ? undefined : forMs;
  }
}
