import { execFileSync } from 'node:child_process';
import { messageOf } from '#proto/errors.ts';

const LIMIT_MS = 5_000;

/**
 * Sets the clock of the running system, not that of the hardware; nothing else runs meanwhile that would read it. One that cannot be set
 * stays as it is, and the console says so.
 */
export function setSystemClock(date: Date, say: (line: string) => void): void {
  const was = new Date();
  try {
    const argv = ['-u', '-s', `@${Math.round(date.getTime() / 1000)}`];
    execFileSync('date', argv, { stdio: 'ignore', timeout: LIMIT_MS });
  } catch (thrown) {
    return say(`cannot set the clock, which says ${was.toISOString()}: ${messageOf(thrown)}`);
  }
  // busybox's date ends with 0 also when the kernel refused.
  const isSet = Math.abs(Date.now() - date.getTime()) < 2 * LIMIT_MS;
  say(isSet ? `the clock said ${was.toISOString()}: set to the server's` : `the clock stays at ${was.toISOString()}`);
}
