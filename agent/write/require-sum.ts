import { TinsmithError } from '#proto/errors.ts';

/** Throws `checksum_mismatch` when `what` has another SHA-256 than `variable` says; nothing where it says none. */
export function requireSum(
  variable: string,
  what: string,
  expected: string | undefined,
  found: string | undefined,
): void {
  if (expected === undefined || expected === found) return;
  const sentence = `${what} has the SHA-256 ${found} and ${variable} says ${expected}: use the right image or the right sum`;
  throw new TinsmithError('checksum_mismatch', sentence);
}
