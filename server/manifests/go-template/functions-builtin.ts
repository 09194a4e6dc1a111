import { deep, type FunctionTable, shallow } from './go-function.ts';
import {
  byteLength,
  compareStrings,
  GoInteger,
  GoList,
  GoMap,
  GoObject,
  type GoValue,
  goType,
  integerOf,
  isTrue,
  toBytes,
} from './go-value.ts';
import { formatValue, sprint, sprintf, sprintln } from './printf.ts';
import { functionFault } from './template-error.ts';

/** The functions that Go's text/template brings itself. `and` and `or` are in expressions.ts: they stop early. */
export const BUILTIN_FUNCTIONS: FunctionTable = {
  and: shallow(['value'], (given) => given.value(0), 'value'),
  or: shallow(['value'], (given) => given.value(0), 'value'),
  not: shallow(['value'], (given) => !isTrue(given.value(0))),
  eq: shallow(['value'], (given) => isEqualToAny(given.value(0), given.rest(1)), 'value'),
  ne: shallow(['value', 'value'], (given) => !isEqualToAny(given.value(0), given.rest(1))),
  lt: shallow(['value', 'value'], (given) => isLess(given.value(0), given.value(1))),
  le: shallow(['value', 'value'], (given) => isLessOrEqual(given.value(0), given.value(1))),
  gt: shallow(['value', 'value'], (given) => !isLessOrEqual(given.value(0), given.value(1))),
  ge: shallow(['value', 'value'], (given) => !isLess(given.value(0), given.value(1))),
  len: shallow(['value'], (given) => length(given.value(0))),
  index: shallow(['value'], (given) => indexAll(given.value(0), given.rest(1)), 'value'),
  print: deep([], (given) => sprint(given.all), 'interface {}'),
  println: deep([], (given) => sprintln(given.all), 'interface {}'),
  printf: deep(['string'], (given) => sprintf(given.string(0), given.rest(1)), 'interface {}'),
  html: deep([], (given) => escapeHtml(plainText(given.all)), 'interface {}'),
  js: deep([], (given) => escapeJs(plainText(given.all)), 'interface {}'),
  urlquery: deep([], (given) => escapeQuery(plainText(given.all)), 'interface {}'),
  call: shallow(['value'], (given) => refuseCall(given.value(0)), 'value'),
};

type Kind = 'bool' | 'integer' | 'float64' | 'string' | 'other';

function comparisonKind(value: GoValue): Kind {
  if (typeof value === 'boolean') return 'bool';
  if (typeof value === 'number') return 'float64';
  if (typeof value === 'string') return 'string';
  return integerOf(value) === undefined ? 'other' : 'integer';
}

function isEqualToAny(first: GoValue, others: readonly GoValue[]): boolean {
  if (others.length === 0) throw functionFault('missing argument for comparison');
  return others.some((other) => isEqual(first, other));
}

function isEqual(a: GoValue, b: GoValue): boolean {
  if (comparisonKind(a) !== comparisonKind(b)) {
    if (a === undefined || a === null || b === undefined || b === null) return false;
    throw incompatible(a, b);
  }
  const integer = integerOf(a);
  if (integer !== undefined) return integer === integerOf(b);
  return comparisonKind(a) === 'other' ? isSameReference(a, b) : a === b;
}

/** Lists and maps can only be compared with nil. */
function isSameReference(a: GoValue, b: GoValue): boolean {
  if (isNil(a) || isNil(b)) return isNil(a) === isNil(b);
  if (a instanceof GoObject && b instanceof GoObject) return a === b;
  if (a instanceof GoList !== b instanceof GoList) {
    throw functionFault(`non-comparable types ${formatValue(a)}: ${goType(a)}, ${goType(b)}: ${formatValue(b)}`);
  }
  throw functionFault(`non-comparable type ${formatValue(b)}: ${goType(b)}`);
}

function isNil(value: GoValue): boolean {
  return value === undefined || value === null || (value instanceof GoList && value.isNil);
}

function incompatible(a: GoValue, b: GoValue): Error {
  return functionFault(`incompatible types for comparison: ${goType(a)} and ${goType(b)}`);
}

function isLess(a: GoValue, b: GoValue): boolean {
  const kind = comparisonKind(a);
  if (kind === 'other' || comparisonKind(b) === 'other') throw functionFault('invalid type for comparison');
  if (kind !== comparisonKind(b)) throw incompatible(a, b);
  if (kind === 'bool') throw functionFault('invalid type for comparison');
  if (typeof a === 'string' && typeof b === 'string') return compareStrings(a, b) < 0;
  if (typeof a === 'number' && typeof b === 'number') return a < b;
  return (integerOf(a) ?? 0n) < (integerOf(b) ?? 0n);
}

function isLessOrEqual(a: GoValue, b: GoValue): boolean {
  return isLess(a, b) || isEqual(a, b);
}

function length(value: GoValue): bigint {
  if (typeof value === 'string') return BigInt(byteLength(value));
  if (value instanceof GoList) return BigInt(value.items.length);
  if (value instanceof GoMap) return BigInt(value.entries.size);
  if (value === undefined || value === null) throw functionFault('len of nil pointer');
  throw functionFault(`len of type ${goType(value)}`);
}

function indexAll(item: GoValue, keys: readonly GoValue[]): GoValue {
  if (item === undefined || item === null) throw functionFault('index of untyped nil');
  let value: GoValue = item;
  for (const key of keys) value = indexOne(value, key);
  return value;
}

function indexOne(item: GoValue, key: GoValue): GoValue {
  if (item instanceof GoMap) {
    if (key === undefined || key === null) throw functionFault('value is nil; should be of type string');
    if (typeof key !== 'string') throw functionFault(`value has type ${goType(key)}; should be string`);
    return item.entries.has(key) ? item.entries.get(key) : item.element === 'string' ? '' : null;
  }
  if (item instanceof GoList) return item.items[position(key, item.items.length)];
  if (typeof item === 'string') {
    const bytes = toBytes(item);
    return new GoInteger('uint8', BigInt(bytes[position(key, bytes.length)] ?? 0));
  }
  if (item === undefined || item === null) throw functionFault('index of nil pointer');
  throw functionFault(`can't index item of type ${goType(item)}`);
}

function position(key: GoValue, count: number): number {
  const at = integerOf(key);
  if (key === undefined || key === null) throw functionFault('cannot index slice/array with nil');
  if (at === undefined) throw functionFault(`cannot index slice/array with type ${goType(key)}`);
  if (at < 0n || at >= BigInt(count)) {
    throw functionFault(`index out of range: ${at}: there ${count === 1 ? 'is 1 element' : `are ${count} elements`}`);
  }
  return Number(at);
}

function plainText(values: readonly GoValue[]): string {
  const [only] = values;
  return values.length === 1 && typeof only === 'string' ? only : sprint(values.map((value) => value ?? '<no value>'));
}

const HTML_ESCAPES: Readonly<Record<string, string>> = {
  '"': '&#34;',
  "'": '&#39;',
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '\0': '\ufffd',
};

function escapeHtml(text: string): string {
  return text.replace(/["'&<>\0]/g, (character) => HTML_ESCAPES[character] ?? character);
}

const JS_ESCAPES: Readonly<Record<string, string>> = {
  '\\': '\\\\',
  "'": "\\'",
  '"': '\\"',
  '<': '\\u003C',
  '>': '\\u003E',
  '&': '\\u0026',
  '=': '\\u003D',
};

function escapeJs(text: string): string {
  return text.replace(/[\\'"<>&=]|[^\p{L}\p{M}\p{N}\p{P}\p{S} ]/gu, (character) => {
    const code = character.codePointAt(0) ?? 0;
    return JS_ESCAPES[character] ?? `\\u${code.toString(16).toUpperCase().padStart(4, '0')}`;
  });
}

function escapeQuery(text: string): string {
  let result = '';
  for (const byte of toBytes(text)) {
    const character = String.fromCharCode(byte);
    if (/[A-Za-z0-9_.~-]/.test(character)) result += character;
    else result += character === ' ' ? '+' : `%${byte.toString(16).toUpperCase().padStart(2, '0')}`;
  }
  return result;
}

function refuseCall(value: GoValue): never {
  if (value === undefined || value === null) throw functionFault('call of nil');
  throw functionFault(`non-function of type ${goType(value)}: a template's data holds no functions`);
}
