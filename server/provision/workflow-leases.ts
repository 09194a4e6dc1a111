import type { AgentSession } from './engine.ts';
import type { AgentView } from './workflow-decisions.ts';

interface Lease {
  readonly session: string;
  readonly until: number;
  /** Undefined while the stream is cut. */
  readonly connectedAt: number | undefined;
}

/** Pauses that are remembered; older ones concern no run of today. */
const MAX_PAUSES = 64;

/**
 * Which agent speaks for each machine and until when its silence is no reason to worry. Held in memory: a server that has
 * just started grants every machine a fresh lease.
 */
export class Leases {
  readonly #byHardware = new Map<string, Lease>();
  readonly #leaseMs: number;
  readonly #pauses: { readonly until: number; readonly ms: number }[] = [];
  #freshUntil: number;
  #sweptAt: number;

  constructor(leaseMs: number, now: Date) {
    this.#leaseMs = leaseMs;
    this.#freshUntil = now.getTime() + leaseMs;
    this.#sweptAt = now.getTime();
  }

  /** A newer session takes the machine over from an older one. */
  connect({ hardware, session }: AgentSession, now: Date): void {
    this.#byHardware.set(hardware, { session, until: now.getTime() + this.#leaseMs, connectedAt: now.getTime() });
  }

  disconnect({ hardware, session }: AgentSession): void {
    const lease = this.#byHardware.get(hardware);
    // A stream that was replaced ends after its successor has begun.
    if (lease?.session === session) this.#byHardware.set(hardware, { ...lease, connectedAt: undefined });
  }

  /** A sign of life. True: the machine had been given up and is back. */
  renew({ hardware, session }: AgentSession, now: Date): boolean {
    const lease = this.#byHardware.get(hardware);
    if (lease?.session !== session) return false;
    const wasOver = lease.until <= now.getTime();
    this.#byHardware.set(hardware, { ...lease, until: now.getTime() + this.#leaseMs });
    return wasOver;
  }

  speaksFor({ hardware, session }: AgentSession): boolean {
    return this.#byHardware.get(hardware)?.session === session;
  }

  view(hardware: string, now: Date): AgentView {
    const lease = this.#byHardware.get(hardware);
    const time = now.getTime();
    return {
      elapsedMs: (since) => time - since.getTime() - this.#pausedMs(since),
      isLeaseOver: (lease?.until ?? this.#freshUntil) <= time,
      isSettled: lease?.connectedAt !== undefined && time - lease.connectedAt >= this.#leaseMs,
    };
  }

  /**
   * Sweeps come every second or so. After a long pause it was this server that stood still (or its clock was set), and signs
   * of life wait unread: every lease is moved by the pause, and it counts for no time-out. A clock that was set back makes
   * time-outs late, never early.
   */
  noteSweep(now: Date): void {
    const pauseMs = now.getTime() - this.#sweptAt;
    this.#sweptAt = now.getTime();
    if (Math.abs(pauseMs) < this.#leaseMs / 2) return;
    this.#freshUntil += pauseMs;
    if (pauseMs > 0) this.#pauses.push({ until: now.getTime(), ms: pauseMs });
    if (this.#pauses.length > MAX_PAUSES) this.#pauses.shift();
    for (const [hardware, lease] of this.#byHardware) {
      const connectedAt = lease.connectedAt === undefined ? undefined : lease.connectedAt + pauseMs;
      this.#byHardware.set(hardware, { ...lease, until: lease.until + pauseMs, connectedAt });
    }
  }

  #pausedMs(since: Date): number {
    let sum = 0;
    for (const { until, ms } of this.#pauses) sum += Math.min(ms, Math.max(0, until - since.getTime()));
    return sum;
  }
}
