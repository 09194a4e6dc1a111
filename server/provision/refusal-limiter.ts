/** How many refused requests one address may make at once, and how soon it may make one more. */
const BURST = 20;
const REGAIN_MS = 3_000;
/** Addresses remembered; beyond it the one that was refused longest ago is forgotten. */
const MAX_ADDRESSES = 10_000;

/**
 * Slows down whoever guesses: an address whose requests were refused too often is not served until time has passed.
 * Requests that succeed cost nothing, so that a rack of machines behind one relay is never held up.
 */
export interface RefusalLimiter {
  /** Milliseconds until `address` is served again; 0: now. */
  waitMs(address: string): number;
  noteRefusal(address: string): void;
}

/** `now`: milliseconds of a clock that never goes back. */
export function createRefusalLimiter(now: () => number): RefusalLimiter {
  /** When each address will have all its tries again; in order of the last refusal. */
  const fullAt = new Map<string, number>();
  return {
    waitMs(address) {
      const debtMs = (fullAt.get(address) ?? 0) - now();
      return Math.max(0, debtMs - (BURST - 1) * REGAIN_MS);
    },
    noteRefusal(address) {
      const from = Math.max(fullAt.get(address) ?? 0, now());
      fullAt.delete(address);
      fullAt.set(address, from + REGAIN_MS);
      const [oldest] = fullAt.keys();
      if (fullAt.size > MAX_ADDRESSES && oldest !== undefined) fullAt.delete(oldest);
    },
  };
}
