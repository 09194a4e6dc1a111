import { TinsmithError } from '#proto/errors.ts';

const UNITS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };
/** A timer's limit: 2³¹ milliseconds. */
const LONGEST_MS = 2 ** 31 - 1;

/** `90`, `90s`, `30m`, `1h30m`, `500ms` → milliseconds. @throws TinsmithError `usage`. */
export function parseDuration(option: string, text: string): number {
  const pieces = /^\d+$/.test(text) ? [['', text, 's']] : [...text.matchAll(/(\d+)(ms|s|m|h)/g)];
  const isWhole = pieces.map(([piece]) => piece).join('') === text || pieces[0]?.[0] === '';
  const ms = pieces.reduce((sum, [, count, unit]) => sum + Number(count) * (UNITS[unit ?? 's'] ?? 0), 0);
  if (pieces.length === 0 || !isWhole || ms > LONGEST_MS) {
    throw new TinsmithError('usage', `${option} is "${text}": use a time like 90s, 30m or 2h, of at most 24 days`);
  }
  return ms;
}
