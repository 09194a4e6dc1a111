const UNITS_MS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };

/** Milliseconds of a Go duration such as `1h30m` or `20m0s`; `undefined` if the text is none. */
export function goDurationMs(text: string): number | undefined {
  if (!/^(\d{1,6}(ms|s|m|h))+$/.test(text)) return undefined;
  let sum = 0;
  for (const [, amount, unit = ''] of text.matchAll(/(\d+)(ms|s|m|h)/g)) sum += Number(amount) * (UNITS_MS[unit] ?? 0);
  return sum;
}

/** Says what is wrong with a duration, and the fix. */
export function faultOfGoDuration(text: string): string | undefined {
  const ms = goDurationMs(text);
  if (ms === undefined) return 'is not a duration: write it like 20m0s, 5m or 1h30m';
  return ms === 0 ? 'is no time at all: write how long to wait' : undefined;
}
