export interface MirrorTiming {
  readonly firstPauseMs: number;
  readonly longestPauseMs: number;
}

interface MirrorState {
  /** In a row. */
  failures: number;
  /** Not asked before, if there is another one. */
  outUntil: number;
  /** Not asked before, also if all others are out. */
  retryAt: number;
  /** It failed and its time is over: one reader tries it, the others do not wait for how that ends. */
  isOnTrial: boolean;
}

/** A mirror that sends other bytes than the index says, or does not have the image, is left for this many of the longest pauses. */
const LEFT_FOR_PAUSES = 16;

/**
 * Which mirror is asked next: the best that is not out. One that fails is out for a time that grows, and longer if it took long to
 * fail; then a single reader tries it again, so that a better mirror is never left for good. Pure: the time comes in.
 */
export class MirrorChoice {
  readonly #states: readonly MirrorState[];
  readonly #timing: MirrorTiming;

  constructor(count: number, timing: MirrorTiming) {
    this.#states = Array.from({ length: count }, () => ({ failures: 0, outUntil: 0, retryAt: 0, isOnTrial: false }));
    this.#timing = timing;
  }

  /** The mirror to ask, and how long to wait before: 0 unless all are out. */
  next(now: number): { readonly mirror: number; readonly waitMs: number } {
    const free = this.#states.findIndex((state) => state.outUntil <= now && !state.isOnTrial);
    const mirror = free === -1 ? this.#soonest() : free;
    const state = this.#state(mirror);
    state.isOnTrial = state.failures > 0;
    return { mirror, waitMs: free === -1 ? Math.max(state.retryAt - now, 0) : 0 };
  }

  worked(mirror: number): void {
    Object.assign(this.#state(mirror), { failures: 0, outUntil: 0, retryAt: 0, isOnTrial: false });
  }

  /** `tookMs`: how long it kept its asker waiting for nothing. */
  failed(mirror: number, now: number, tookMs: number): void {
    this.#fail(mirror, now, 4 * tookMs);
  }

  /** What it has is not the image. */
  isBad(mirror: number, now: number): void {
    this.#fail(mirror, now, LEFT_FOR_PAUSES * this.#timing.longestPauseMs);
  }

  /** It works, and serves others first. */
  isBusy(mirror: number, now: number, afterMs: number): void {
    this.#leave(mirror, now + afterMs, now + afterMs);
  }

  #fail(mirror: number, now: number, outMs: number): void {
    const state = this.#state(mirror);
    const { firstPauseMs, longestPauseMs } = this.#timing;
    const pauseMs = Math.min(firstPauseMs * 2 ** Math.min(state.failures, 20), longestPauseMs);
    state.failures += 1;
    this.#leave(mirror, now + Math.max(pauseMs, outMs), now + pauseMs);
  }

  #leave(mirror: number, outUntil: number, retryAt: number): void {
    const state = this.#state(mirror);
    state.outUntil = Math.max(state.outUntil, outUntil);
    state.retryAt = Math.max(state.retryAt, retryAt);
    state.isOnTrial = false;
  }

  #soonest(): number {
    let soonest = 0;
    for (const [at, { retryAt }] of this.#states.entries()) {
      if (retryAt < this.#state(soonest).retryAt) soonest = at;
    }
    return soonest;
  }

  #state(mirror: number): MirrorState {
    const state = this.#states[mirror];
    if (state === undefined) throw new RangeError(`there is no mirror ${mirror}`);
    return state;
  }
}
