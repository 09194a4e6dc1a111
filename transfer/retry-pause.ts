import { cannotFetch } from './download-errors.ts';
import { pause } from './pause.ts';
import type { TransferEvents } from './standstill.ts';

/** What came between, and since when nothing came any more. */
export interface Interruption {
  readonly thrown: unknown;
  /** `thrown` in words. */
  readonly fact: string;
  /** By performance.now(). */
  readonly lastByteAt: number;
  /** How long to wait now. */
  readonly pauseMs: number;
  /** How far the file had come, where it comes in order. */
  readonly atByte?: number;
}

/** How long somebody is ready to wait. */
export interface Patience extends TransferEvents {
  /** How long it may go on without one new byte; 0: until `signal`. */
  readonly retryForMs: number;
  readonly signal: AbortSignal;
}

/** Waits before the next request for a file. Throws `download_failed` instead when there was no byte for too long. */
export async function pauseBeforeRetry(
  url: URL,
  { thrown, fact, lastByteAt, pauseMs, atByte }: Interruption,
  { retryForMs, signal, log, standstill }: Patience,
): Promise<void> {
  const idleMs = performance.now() - lastByteAt;
  if (retryForMs > 0 && idleMs + pauseMs > retryForMs) {
    const minutes = Math.round(retryForMs / 6000) / 10;
    throw cannotFetch(url, `no new byte for ${minutes} minutes, at last: ${fact}`, thrown);
  }
  const place = atByte === undefined ? '' : ` at byte ${atByte}`;
  log(`download interrupted${place} (${fact}), again in ${pauseMs / 1000} s`);
  standstill?.({ kind: 'trouble', text: fact });
  await pause(pauseMs, signal);
}
