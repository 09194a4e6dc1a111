import { LONGEST_UNCOUNTED_WAIT_MS } from '#proto/agent-service-definition.ts';
import { withoutUrlSecrets } from '#proto/url-secrets.ts';
import type { Standstill } from '#transfer/standstill.ts';
import { turnPlace } from '#transfer/turn-in-line.ts';
import type { ActionProgress } from './actions/action-context.ts';
import type { ProgressReport } from './report.ts';

/** Without anything done, before it is told: disks and decoders take their time. As long as the rate looks back. */
const IDLE_MS = 5_000;

type Standing = Pick<ProgressReport, 'idleMs' | 'trouble' | 'waitsFor'>;

/** Whether an action gets on: since when nothing was done, why, and how much of its time it only waited for its turn. */
export class Headway {
  readonly #now: () => number;
  #progress: ActionProgress | undefined;
  #movedAt: number;
  #why: Exclude<Standstill, { kind: 'served' }> | undefined;
  #waitsSince: number | undefined;
  #waitedMs = 0;

  /** `now`: milliseconds of a clock that never goes back. */
  constructor(now: () => number) {
    this.#now = now;
    this.#movedAt = now();
  }

  /** The latest that was told. */
  get progress(): ActionProgress | undefined {
    return this.#progress;
  }

  moved(progress: ActionProgress): void {
    if (progress.done !== (this.#progress?.done ?? 0)) this.#begin();
    this.#progress = progress;
  }

  stands(why: Standstill): void {
    if (why.kind === 'served') return this.#begin();
    if (why.kind === 'inLine') this.#waitsSince ??= Math.max(this.#now() - why.heldMs, this.#movedAt);
    else this.#endWait();
    this.#why = why;
  }

  /** In all. Bounded: a line that does not end is none. */
  waitedMs(): number {
    const waitsMs = this.#waitsSince === undefined ? 0 : this.#now() - this.#waitsSince;
    return Math.min(LONGEST_UNCOUNTED_WAIT_MS, this.#waitedMs + waitsMs);
  }

  /** Undefined: it gets on, or has done all that is counted. */
  standing(): Standing | undefined {
    const idleMs = this.#now() - this.#movedAt;
    const { done = 0, total } = this.#progress ?? {};
    if (total !== undefined && done >= total) return undefined;
    if (this.#why?.kind === 'inLine') return { idleMs, waitsFor: turnPlace(this.#why.turn) };
    if (idleMs < IDLE_MS || (this.#progress === undefined && this.#why === undefined)) return undefined;
    return { idleMs, ...(this.#why && { trouble: withoutUrlSecrets(this.#why.text) }) };
  }

  #begin(): void {
    this.#endWait();
    this.#movedAt = this.#now();
    this.#why = undefined;
  }

  #endWait(): void {
    this.#waitedMs = this.waitedMs();
    this.#waitsSince = undefined;
  }
}
