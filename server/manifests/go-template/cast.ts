import { type GoValue, integerOf } from './go-value.ts';
import { floatLiteral, integerLiteral } from './number-constant.ts';

const MIN_INT64 = -(1n << 63n);

/** Sprig's conversion of anything to an integer; what is no number is 0. */
export function castInteger(value: GoValue): bigint {
  const integer = integerOf(value);
  if (integer !== undefined) return BigInt.asIntN(64, integer);
  if (typeof value === 'boolean') return value ? 1n : 0n;
  if (typeof value === 'number') return truncate(value);
  if (typeof value !== 'string') return 0n;
  const parsed = integerLiteral(value.replace(/\.0+$/, ''));
  return parsed === undefined || BigInt.asIntN(64, parsed) !== parsed ? 0n : parsed;
}

/** Sprig's conversion of anything to a float; what is no number is 0. */
export function castFloat(value: GoValue): number {
  const integer = integerOf(value);
  if (integer !== undefined) return Number(integer);
  if (typeof value === 'boolean') return value ? 1 : 0;
  if (typeof value === 'number') return value;
  return typeof value === 'string' ? parseFloatText(value) : 0;
}

function truncate(value: number): bigint {
  if (!Number.isFinite(value) || Math.abs(value) >= 2 ** 63) return MIN_INT64;
  return BigInt(Math.trunc(value));
}

function parseFloatText(text: string): number {
  if (/^[+-]?inf(?:inity)?$/i.test(text)) return text.startsWith('-') ? -Infinity : Infinity;
  if (/^nan$/i.test(text)) return Number.NaN;
  if (text.includes('_')) return 0;
  return floatLiteral(text) ?? 0;
}
