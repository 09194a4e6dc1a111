import { setImmediate } from 'node:timers/promises';

/** A DHCP client, a heartbeat or a request waits no longer than this for a decoder to pause. */
const LONGEST_MS = 20;
let yieldedAt = performance.now();

/**
 * Lets timers and sockets have the thread if it was not yielded for 20 ms. To be called in loops that compute and whose awaits may all be
 * met at once: those never leave the queue of microtasks, and 3 GiB of zeros in an xz file of 1 MB kept a server silent for half a minute.
 */
export async function yieldThread(): Promise<void> {
  if (performance.now() - yieldedAt < LONGEST_MS) return;
  await setImmediate();
  yieldedAt = performance.now();
}
