const WINDOW_MS = 5_000;
const SAMPLE_MS = 200;

/** Turns "so much is done" into a rate over the last seconds: a whole-run average would hide that a download stalls. */
export class ProgressMeter {
  readonly #now: () => number;
  #samples: { readonly at: number; readonly done: number }[] = [];

  /** `now`: milliseconds of a clock that never goes back. */
  constructor(now: () => number) {
    this.#now = now;
    this.#samples.push({ at: now(), done: 0 });
  }

  /** Units per second over the last five seconds; starts again from here when `done` goes back (another try). */
  perSecond(done: number): number {
    const at = this.#now();
    const last = this.#samples.at(-1);
    if (last !== undefined && done < last.done) this.#samples = [{ at, done }];
    while (this.#samples.length > 1 && (this.#samples[1]?.at ?? at) <= at - WINDOW_MS) this.#samples.shift();
    const first = this.#samples[0];
    if (last === undefined || at - last.at >= SAMPLE_MS) this.#samples.push({ at, done });
    if (first === undefined || at <= first.at) return 0;
    return Math.max(0, ((done - first.done) * 1000) / (at - first.at));
  }
}
