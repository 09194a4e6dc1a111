import { pause } from '#transfer/pause.ts';

const LOOK_EVERY_MS = 50;

/** Looks every 50 ms until `look` gives something; undefined after `timeoutMs`. Rejects with the signal's reason. */
export async function waitUntil<T>(
  look: () => Promise<T | undefined>,
  { timeoutMs, signal }: { timeoutMs: number; signal: AbortSignal },
): Promise<T | undefined> {
  const endsAt = performance.now() + timeoutMs;
  for (;;) {
    signal.throwIfAborted();
    const found = await look();
    if (found !== undefined || performance.now() > endsAt) return found;
    await pause(LOOK_EVERY_MS, signal);
  }
}
