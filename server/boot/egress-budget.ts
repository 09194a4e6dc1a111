interface Ask {
  readonly bytes: number;
  /** Start tag of start-time fair queueing. */
  readonly start: number;
  readonly grant: () => void;
}

/** What may go at once after a pause. */
const BURST_MS = 100;

/**
 * Bytes a second, shared equally between those who ask: start-time fair queueing (Goyal, Vin, Cheng 1996) in front of a token bucket,
 * so that a machine with five connections gets as much as one with a single connection, and what one leaves is the others'. Pure: the
 * time comes in.
 */
export class EgressBudget {
  readonly #rate: number;
  readonly #asks = new Set<Ask>();
  /** Where the next ask of somebody starts at the earliest, in bytes of virtual time. */
  readonly #ends = new WeakMap<object, number>();
  #virtual = 0;
  #tokens: number;
  #filledAt: number | undefined;

  constructor(bytesPerSecond: number) {
    this.#rate = bytesPerSecond;
    this.#tokens = this.#burst;
  }

  /** `grant` is called by `run`. The function that comes back withdraws the ask. */
  ask(who: object, bytes: number, grant: () => void): () => void {
    const start = Math.max(this.#virtual, this.#ends.get(who) ?? 0);
    this.#ends.set(who, start + bytes);
    const ask = { bytes, start, grant };
    this.#asks.add(ask);
    return () => void this.#asks.delete(ask);
  }

  /** Grants what may go now. Returns the milliseconds until more may; undefined: nobody asks. */
  run(now: number): number | undefined {
    const elapsedMs = now - (this.#filledAt ?? now);
    this.#filledAt = now;
    this.#tokens = Math.min(this.#burst, this.#tokens + (elapsedMs * this.#rate) / 1000);
    for (let ask = this.#first(); ask !== undefined; ask = this.#first()) {
      // It may go below zero by one ask: what is larger than the burst would else never go.
      if (this.#tokens <= 0) return Math.max(1, Math.ceil((-this.#tokens * 1000) / this.#rate));
      this.#tokens -= ask.bytes;
      this.#virtual = ask.start;
      this.#asks.delete(ask);
      ask.grant();
    }
    return undefined;
  }

  /** Nobody asks. */
  get isIdle(): boolean {
    return this.#asks.size === 0;
  }

  get #burst(): number {
    return (this.#rate * BURST_MS) / 1000;
  }

  #first(): Ask | undefined {
    let first: Ask | undefined;
    for (const ask of this.#asks) if (first === undefined || ask.start < first.start) first = ask;
    return first;
  }
}
