import type { Budget } from './budget.ts';
import { castFloat, castInteger } from './cast.ts';
import { type Arguments, deep, type FunctionTable, shallow } from './go-function.ts';
import { GoList, type GoValue, int64 } from './go-value.ts';
import { formatValue } from './printf.ts';
import { functionFault } from './template-error.ts';

/** Sprig's arithmetic: integers are int64 and wrap around, floats go through decimal numbers. */
export const MATH_FUNCTIONS: FunctionTable = {
  int: shallow(['interface {}'], (given) => castInteger(given.value(0))),
  int64: shallow(['interface {}'], (given) => int64(castInteger(given.value(0)))),
  float64: shallow(['interface {}'], (given) => castFloat(given.value(0))),
  atoi: shallow(['string'], (given) =>
    /^[+-]?[0-9]+$/.test(given.string(0)) ? clampInt(BigInt(given.string(0).replace(/^\+/, ''))) : 0n,
  ),
  toDecimal: deep(['interface {}'], (given) => int64(octal(formatValue(given.value(0))))),
  add1: shallow(['interface {}'], (given) => int64(castInteger(given.value(0)) + 1n)),
  add: shallow(
    [],
    (given) => int64(given.all.reduce<bigint>((sum, value) => sum + castInteger(value), 0n)),
    'interface {}',
  ),
  sub: shallow(['interface {}', 'interface {}'], (given) => int64(first(given) - second(given))),
  div: shallow(['interface {}', 'interface {}'], (given) => int64(first(given) / divisor(given))),
  mod: shallow(['interface {}', 'interface {}'], (given) => int64(first(given) % divisor(given))),
  mul: shallow(
    ['interface {}'],
    (given) => int64(given.all.reduce<bigint>((product, value) => BigInt.asIntN(64, product * castInteger(value)), 1n)),
    'interface {}',
  ),
  add1f: shallow(['interface {}'], (given) => decimalSum([castFloat(given.value(0)), 1])),
  addf: shallow([], (given) => decimalSum(given.all.map(castFloat)), 'interface {}'),
  subf: shallow(
    ['interface {}'],
    (given) => decimalSum(floats(given).map((x, at) => (at === 0 ? x : -x))),
    'interface {}',
  ),
  mulf: shallow(['interface {}'], (given) => floats(given).reduce(decimalProduct), 'interface {}'),
  divf: shallow(['interface {}'], (given) => floats(given).reduce(decimalQuotient), 'interface {}'),
  max: shallow(['interface {}'], (given) => int64(extreme(given, 1n)), 'interface {}'),
  biggest: shallow(['interface {}'], (given) => int64(extreme(given, 1n)), 'interface {}'),
  min: shallow(['interface {}'], (given) => int64(extreme(given, -1n)), 'interface {}'),
  maxf: shallow(['interface {}'], (given) => Math.max(...floats(given)), 'interface {}'),
  minf: shallow(['interface {}'], (given) => Math.min(...floats(given)), 'interface {}'),
  ceil: shallow(['interface {}'], (given) => Math.ceil(castFloat(given.value(0)))),
  floor: shallow(['interface {}'], (given) => Math.floor(castFloat(given.value(0)))),
  round: shallow(['interface {}', 'int'], (given) => round(given), 'float64'),
  until: shallow(['int'], (given, budget) => intList(sequence(0, given.int(0), given.int(0) < 0 ? -1 : 1, budget))),
  untilStep: shallow(['int', 'int', 'int'], (given, budget) => {
    return intList(sequence(given.int(0), given.int(1), given.int(2), budget));
  }),
  seq: shallow([], (given, budget) => seq(given, budget).join(' '), 'int'),
};

function first(given: Arguments): bigint {
  return castInteger(given.value(0));
}

function second(given: Arguments): bigint {
  return castInteger(given.value(1));
}

function divisor(given: Arguments): bigint {
  const value = second(given);
  if (value === 0n) throw functionFault('runtime error: integer divide by zero');
  return value;
}

function floats(given: Arguments): number[] {
  return given.all.map(castFloat);
}

function extreme(given: Arguments, sign: 1n | -1n): bigint {
  return given.all.map(castInteger).reduce((best, value) => ((value - best) * sign > 0n ? value : best));
}

function clampInt(value: bigint): bigint {
  if (BigInt.asIntN(64, value) === value) return value;
  return value > 0n ? (1n << 63n) - 1n : -(1n << 63n);
}

/** A number written with octal digits, 0 if it is none; this is what sprig's toDecimal does. */
function octal(text: string): bigint {
  const match = /^([+-]?)([0-7]+)$/.exec(text);
  if (match === null) return 0n;
  const value = BigInt(`0o${match[2] ?? '0'}`);
  return BigInt.asIntN(64, value) === value ? (match[1] === '-' ? -value : value) : 0n;
}

interface Decimal {
  readonly digits: bigint;
  /** value = digits × 10^-places */
  readonly places: number;
}

function decimal(value: number): Decimal {
  if (!Number.isFinite(value)) throw functionFault(`cannot calculate with ${formatValue(value)}`);
  const [mantissa = '0', exponent = '0'] = value.toExponential().split('e');
  const places = (mantissa.split('.')[1]?.length ?? 0) - Number(exponent);
  const digits = BigInt(mantissa.replace('.', ''));
  return places < 0 ? { digits: digits * 10n ** BigInt(-places), places: 0 } : { digits, places };
}

function toFloat({ digits, places }: Decimal): number {
  return Number(`${digits}e${-places}`);
}

function decimalSum(values: readonly number[]): number {
  let sum: Decimal = { digits: 0n, places: 0 };
  for (const value of values.map(decimal)) {
    const places = Math.max(sum.places, value.places);
    sum = { digits: scaled(sum, places) + scaled(value, places), places };
  }
  return toFloat(sum);
}

function scaled({ digits, places }: Decimal, wanted: number): bigint {
  return digits * 10n ** BigInt(wanted - places);
}

function decimalProduct(a: number, b: number): number {
  const [x, y] = [decimal(a), decimal(b)];
  return toFloat({ digits: x.digits * y.digits, places: x.places + y.places });
}

/** Sixteen places after the point, halves away from zero. */
function decimalQuotient(a: number, b: number): number {
  const [x, y] = [decimal(a), decimal(b)];
  if (y.digits === 0n) throw functionFault('decimal division by 0');
  const numerator = x.digits * 10n ** BigInt(16 + y.places);
  const denominator = y.digits * 10n ** BigInt(x.places);
  const doubled = (numerator * 2n) / denominator;
  const digits = (doubled + (doubled < 0n ? -1n : 1n)) / 2n;
  return toFloat({ digits, places: 16 });
}

function round(given: Arguments): number {
  const value = castFloat(given.value(0));
  const places = given.int(1);
  const threshold = given.count > 2 ? given.float(2) : 0.5;
  const power = 10 ** places;
  const moved = power * value;
  const rounded = moved - Math.trunc(moved) >= threshold ? Math.ceil(moved) : Math.floor(moved);
  return rounded / power;
}

function intList(numbers: readonly number[]): GoList {
  return new GoList(
    numbers.map((number): GoValue => BigInt(number)),
    'int',
  );
}

function sequence(start: number, stop: number, step: number, budget: Budget): number[] {
  const count = step === 0 || (stop - start) * step <= 0 ? 0 : Math.ceil((stop - start) / step);
  budget.spendText(count * 16);
  return Array.from({ length: count }, (_, index) => start + index * step);
}

/** Like the program seq: last, first last, or first step last; ends are included. */
function seq(given: Arguments, budget: Budget): number[] {
  const numbers = given.all.map((_, index) => given.int(index));
  if (numbers.length === 0 || numbers.length > 3) return [];
  const start = numbers.length === 1 ? 1 : (numbers[0] ?? 0);
  const end = numbers.at(-1) ?? 0;
  const direction = end < start ? -1 : 1;
  const step = numbers.length === 3 ? (numbers[1] ?? 0) : direction;
  if (numbers.length === 3 && end < start && step > 0) return [];
  return sequence(start, end + direction, step, budget);
}
