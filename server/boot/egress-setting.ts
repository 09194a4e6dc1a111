import { TinsmithError } from '#proto/errors.ts';

const UNITS: Readonly<Record<string, number>> = { k: 1e3, M: 1e6, G: 1e9 };

/** Bytes a second of `1Gbit`, `500Mbit` or `110MB`; 0: no limit. Throws `invalid_input`. */
export function egressSetting(text: string): number {
  if (text === '' || text === '0') return 0;
  const [, number = '', prefix = '', unit = ''] = /^(\d{1,6}(?:\.\d{1,3})?) ?([kMG])(bit|B)(?:\/s)?$/.exec(text) ?? [];
  const rate = (Number(number) * (UNITS[prefix] ?? 0)) / (unit === 'bit' ? 8 : 1);
  if (rate >= SMALLEST) return rate;
  throw new TinsmithError(
    'invalid_input',
    `--http-egress is "${text}": use a rate such as 1Gbit, 500Mbit or 110MB (each second), at least 1Mbit, or 0 for no limit`,
  );
}

const SMALLEST = 1e6 / 8;
