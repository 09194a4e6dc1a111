import { TinsmithError } from '#proto/errors.ts';

/**
 * The values that a template works on, as close to Go's as a template can tell.
 *
 * | Go                       | here                                                                    |
 * |--------------------------|-------------------------------------------------------------------------|
 * | zero reflect.Value       | `undefined` (an absent value, prints `<no value>`)                      |
 * | nil interface            | `null` (an element of a list or map that is nil, prints `<nil>`)        |
 * | bool, float64            | `boolean`, `number`                                                     |
 * | int                      | `bigint`, wrapped to 64 bits                                            |
 * | int64, uint8, …          | `GoInteger`                                                             |
 * | string                   | `string`; a byte that is no UTF-8 is a lone surrogate U+DC80…U+DCFF     |
 * | slices, maps             | `GoList`, `GoMap`; they are references, as in Go                        |
 * | *semver.Version          | `GoObject`                                                              |
 *
 * Data that comes in from YAML or JSON: a number without a fraction is an int, any other is a float64.
 */
export type GoValue = undefined | null | boolean | string | bigint | number | GoInteger | GoList | GoMap | GoObject;

type IntegerType = 'int64' | 'uint8' | 'uint64';

/** An integer whose Go type is not plain `int`. */
export class GoInteger {
  readonly type: IntegerType;
  readonly value: bigint;

  constructor(type: IntegerType, value: bigint) {
    this.type = type;
    this.value = value;
  }
}

type ListElement = 'interface {}' | 'string' | 'int' | '[]interface {}';

/** A slice. `isNil` is a slice that was never made: it has no items, equals nil and is `null` in JSON. */
export class GoList {
  readonly element: ListElement;
  readonly items: readonly GoValue[];
  readonly isNil: boolean;

  constructor(items: readonly GoValue[], element: ListElement = 'interface {}', isNil = false) {
    this.items = items;
    this.element = element;
    this.isNil = isNil;
  }
}

/** A map with string keys. A JavaScript Map, so that `__proto__` and `constructor` are keys like any other. */
export class GoMap {
  readonly element: 'interface {}' | 'string';
  readonly entries: Map<string, GoValue>;

  constructor(entries: Iterable<readonly [string, GoValue]>, element: 'interface {}' | 'string' = 'interface {}') {
    this.entries = new Map(entries);
    this.element = element;
  }

  /** Keys in the order in which Go's template and fmt packages visit them: by bytes. */
  sortedKeys(): string[] {
    return [...this.entries.keys()].toSorted(compareStrings);
  }
}

/** A pointer to a struct of a library: it has fields (and methods without arguments) and a text. */
export class GoObject {
  readonly type: string;
  readonly text: string;
  readonly fields: ReadonlyMap<string, GoValue>;

  constructor(type: string, text: string, fields: Iterable<readonly [string, GoValue]>) {
    this.type = type;
    this.text = text;
    this.fields = new Map(fields);
  }
}

/** Go's name of the value's type, as `printf "%T"` prints it. */
export function goType(value: GoValue): string {
  if (value === undefined || value === null) return '<nil>';
  if (typeof value === 'boolean') return 'bool';
  if (typeof value === 'string') return 'string';
  if (typeof value === 'bigint') return 'int';
  if (typeof value === 'number') return 'float64';
  if (value instanceof GoList) return `[]${value.element}`;
  if (value instanceof GoMap) return `map[string]${value.element}`;
  return value.type;
}

/** Go's reflect kind of the value. */
export function goKind(value: GoValue): string {
  if (value === undefined || value === null) return 'invalid';
  if (value instanceof GoList) return 'slice';
  if (value instanceof GoMap) return 'map';
  if (value instanceof GoObject) return 'ptr';
  return goType(value);
}

/** What `if`, `with`, `and`, `or` and `not` take for true: everything but the zero value of a type. */
export function isTrue(value: GoValue): boolean {
  if (value === undefined || value === null) return false;
  if (typeof value === 'object') {
    if (value instanceof GoList) return value.items.length > 0;
    if (value instanceof GoMap) return value.entries.size > 0;
    return value instanceof GoInteger ? value.value !== 0n : true;
  }
  return typeof value === 'number' ? value !== 0 : Boolean(value);
}

/** The value of any Go integer, or undefined if it is none. */
export function integerOf(value: GoValue): bigint | undefined {
  if (typeof value === 'bigint') return value;
  return value instanceof GoInteger ? value.value : undefined;
}

export function int64(value: bigint): GoInteger {
  return new GoInteger('int64', BigInt.asIntN(64, value));
}

export function stringList(items: readonly string[], isNil = false): GoList {
  return new GoList(items, 'string', isNil);
}

const MAX_DATA_DEPTH = 64;

/** Takes over plain data (from YAML, JSON or our own types). Only own properties are read, so nothing is inherited. */
export function fromData(data: unknown, depth = 0): GoValue {
  if (depth > MAX_DATA_DEPTH) {
    throw new TinsmithError(
      'invalid_template',
      `cannot read the template's data: it is nested deeper than ${MAX_DATA_DEPTH} levels or contains itself`,
    );
  }
  if (data === undefined || data === null || typeof data === 'function' || typeof data === 'symbol') return null;
  if (typeof data === 'number') return Number.isSafeInteger(data) ? BigInt(data) : data;
  if (typeof data === 'bigint') return BigInt.asIntN(64, data);
  if (typeof data === 'string') return data.toWellFormed();
  if (typeof data === 'boolean') return data;
  return fromContainer(data, depth);
}

function fromContainer(data: object, depth: number): GoValue {
  if (data instanceof Date) return data.toISOString();
  if (Array.isArray(data)) return new GoList(data.map((item: unknown) => fromData(item, depth + 1)));
  if (data instanceof Map) {
    return new GoMap([...data].map(([key, value]) => [String(key), fromData(value, depth + 1)]));
  }
  return new GoMap(
    Object.entries(data)
      .filter(([, value]) => value !== undefined)
      .map(([key, value]) => [key, fromData(value, depth + 1)]),
  );
}

/** The bytes of a Go string. */
export function toBytes(text: string): Buffer {
  if (text.isWellFormed()) return Buffer.from(text, 'utf8');
  const parts: Buffer[] = [];
  for (const character of text) {
    const code = character.codePointAt(0) ?? 0;
    parts.push(isEscapedByte(code) ? Buffer.of(code - 0xdc00) : Buffer.from(character, 'utf8'));
  }
  return Buffer.concat(parts);
}

/** The Go string of these bytes; a byte that is not part of valid UTF-8 survives as a lone surrogate. */
export function fromBytes(bytes: Uint8Array): string {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  const text = buffer.toString('utf8');
  if (!text.includes('\ufffd')) return text;
  let result = '';
  for (let at = 0; at < buffer.length; ) {
    const size = sequenceLength(buffer, at);
    result += size === 0 ? String.fromCharCode(0xdc00 + (buffer[at] ?? 0)) : buffer.toString('utf8', at, at + size);
    at += Math.max(size, 1);
  }
  return result;
}

/** Length in bytes, which is what Go's `len` counts. */
export function byteLength(text: string): number {
  return text.isWellFormed() ? Buffer.byteLength(text) : toBytes(text).length;
}

/** Go orders strings by their bytes, which for valid UTF-8 is by code points, not by UTF-16 units. */
export function compareStrings(a: string, b: string): number {
  return Buffer.compare(toBytes(a), toBytes(b));
}

/** Bytes of the valid UTF-8 sequence that starts at `at`, 0 if there is none. */
function sequenceLength(buffer: Buffer, at: number): number {
  const lead = buffer[at] ?? 0;
  if (lead < 0x80) return 1;
  const size = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
  const piece = buffer.subarray(at, at + size);
  return Buffer.from(piece.toString('utf8'), 'utf8').equals(piece) && piece.length === size ? size : 0;
}

function isEscapedByte(code: number): boolean {
  return code >= 0xdc80 && code <= 0xdcff;
}
