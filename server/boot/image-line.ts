export interface LineRules {
  /** How many machines are served at once; 0: all. */
  readonly streams: number;
  /** Bytes a second of all together, where that is limited; 0: it is not. */
  readonly egress: number;
}

/** A machine that fetches images, from its first request until it has been away for a minute. */
export interface Visit {
  readonly address: string;
  /** Its first request: the line is in this order. */
  readonly since: number;
  state: 'waiting' | 'served' | 'away';
  /** Since when it waits, or did before it was served. */
  waitingSince: number;
  /** Under way or held. */
  requests: number;
  lastAt: number;
  /** Its agent said so, and no request came since. */
  hasFinished: boolean;
  /** Since when it is served. */
  servedAt: number | undefined;
  /** Since it is served. */
  sentBytes: number;
  /** It takes so little that its place is given to somebody else, too. */
  isSlow: boolean;
  /** Bytes a second in the last window. */
  rate: number;
  windowAt: number;
  windowBytes: number;
}

/** An agent asks for more before its last answer ends; between two actions, and while its disk is busy, it may take longer. */
const QUIET_MS = 3000;
/** Who waits asks again after a second. */
const QUIET_IN_LINE_MS = 15_000;
/** In which somebody who was away goes on where he was in the line. */
const FORGET_MS = 60_000;
const WINDOW_MS = 5000;
/** Bytes a second below which a machine does not keep a place from others. */
const ALWAYS_SLOW = 64 * 1024;
/** … and below which it does not if the others get far more. */
const SLOW = 1024 * 1024;
const FAR_MORE = 8;
/** More visits are not remembered: connections are limited, so that only somebody with many addresses gets there. */
const MOST_VISITS = 8192;

/**
 * Who is served images now, and who waits: first come, first finished. A machine, not a request, holds a place, since an agent has
 * several requests under way and none for a moment. A reader that is stuck or slow does not keep its place from others: it shares.
 * Pure: the time comes in; nothing is stored, so that after a restart the first to ask again are the first in line.
 */
export class ImageLine {
  readonly #rules: LineRules;
  readonly #visits = new Map<string, Visit>();

  constructor(rules: LineRules) {
    this.#rules = rules;
  }

  /** A request begins. Whether it is served, the state says, after `admit`. Undefined: there is no room even to remember it. */
  begin(address: string, now: number): Visit | undefined {
    const visit = this.#visits.get(address) ?? this.#newVisit(address, now);
    if (visit === undefined) return undefined;
    if (visit.state === 'away') Object.assign(visit, { state: 'waiting', waitingSince: now });
    visit.requests += 1;
    visit.lastAt = now;
    visit.hasFinished = false;
    return visit;
  }

  /** The visit of a machine that is served. */
  servedAt(address: string): Visit | undefined {
    const visit = this.#visits.get(address);
    return visit?.state === 'served' ? visit : undefined;
  }

  end(visit: Visit, now: number): void {
    visit.requests -= 1;
    visit.lastAt = now;
  }

  /** It will not ask for more: its place is free as soon as no request is under way. Wrong or twice: it asks again and is in line as before. */
  finish(address: string): void {
    const visit = this.#visits.get(address);
    if (visit !== undefined) visit.hasFinished = true;
  }

  sent(visit: Visit, bytes: number): void {
    visit.sentBytes += bytes;
    visit.windowBytes += bytes;
  }

  /** Takes places from those that are gone, gives them to those that wait, and says who got one and who left. */
  admit(now: number): { readonly served: readonly Visit[]; readonly left: readonly Visit[] } {
    const left = this.#leave(now);
    this.#measure(now);
    const waiting = this.waiting().filter(({ requests }) => requests > 0);
    const { streams } = this.#rules;
    const taken = this.served().filter(({ isSlow }) => !isSlow).length;
    const free = streams === 0 ? waiting.length : Math.max(0, streams - taken);
    const served = waiting.slice(0, free);
    for (const visit of served) {
      Object.assign(visit, { state: 'served', servedAt: now, sentBytes: 0, isSlow: false });
      Object.assign(visit, { rate: 0, windowAt: now, windowBytes: 0 });
    }
    return { served, left };
  }

  /** In the order in which they came. */
  served(): readonly Visit[] {
    return this.#inState('served');
  }

  /** The first one is next. */
  waiting(): readonly Visit[] {
    return this.#inState('waiting');
  }

  /** 1 is next. */
  placeOf(visit: Visit): number {
    return this.waiting().indexOf(visit) + 1;
  }

  get isEmpty(): boolean {
    return this.#visits.size === 0;
  }

  #newVisit(address: string, now: number): Visit | undefined {
    if (this.#visits.size >= MOST_VISITS) {
      const away = [...this.#visits.values()].find(({ state }) => state === 'away');
      if (away === undefined) return undefined;
      this.#visits.delete(away.address);
    }
    const visit: Visit = {
      address,
      since: now,
      state: 'waiting',
      waitingSince: now,
      requests: 0,
      lastAt: now,
      hasFinished: false,
      servedAt: undefined,
      sentBytes: 0,
      isSlow: false,
      rate: 0,
      windowAt: now,
      windowBytes: 0,
    };
    this.#visits.set(address, visit);
    return visit;
  }

  #leave(now: number): readonly Visit[] {
    const left: Visit[] = [];
    for (const visit of this.#visits.values()) {
      const quietMs = visit.requests > 0 ? 0 : now - visit.lastAt;
      const isGone = quietMs >= QUIET_MS || (visit.hasFinished && visit.requests === 0);
      if (visit.state === 'served' && isGone) left.push(visit);
      if (visit.state === 'waiting' ? quietMs >= QUIET_IN_LINE_MS : isGone) visit.state = 'away';
      if (quietMs >= FORGET_MS) this.#visits.delete(visit.address);
    }
    return left;
  }

  #measure(now: number): void {
    const served = this.served();
    const due = served.filter(({ windowAt }) => now - windowAt >= WINDOW_MS);
    for (const visit of due) {
      visit.rate = (visit.windowBytes * 1000) / (now - visit.windowAt);
      Object.assign(visit, { windowAt: now, windowBytes: 0 });
    }
    if (due.length === 0) return;
    const average = served.reduce((sum, { rate }) => sum + rate, 0) / served.length;
    // With a small budget everybody is slow, and nobody is to blame.
    const { egress, streams } = this.#rules;
    const share = egress === 0 ? Number.POSITIVE_INFINITY : egress / Math.max(streams, 1) / 2;
    for (const visit of due) {
      const { rate } = visit;
      visit.isSlow = rate === 0 || rate < Math.min(ALWAYS_SLOW, share) || rate < Math.min(SLOW, average / FAR_MORE);
    }
  }

  #inState(state: Visit['state']): readonly Visit[] {
    return [...this.#visits.values()].filter((visit) => visit.state === state).toSorted((a, b) => a.since - b.since);
  }
}
