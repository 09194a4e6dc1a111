import { setTimeout as delay } from 'node:timers/promises';

/** Waits. Rejects with the signal's own reason, where Node's timer would give an AbortError of its own. */
export async function pause(ms: number, signal: AbortSignal): Promise<void> {
  try {
    await delay(ms, undefined, { signal });
  } catch (thrown) {
    signal.throwIfAborted();
    throw thrown;
  }
}
