import { isMap, isScalar, isSeq, type Node, Scalar } from 'yaml';
import { didYouMean } from './did-you-mean.ts';
import { listed, shown } from './findings.ts';
import type { JsonObject, JsonValue } from './hardware-kind.ts';
import { type JsonSchema, schemaOf, type WithSchema, withSchema } from './json-schema.ts';
import { keyText, nodeOf, positionOf, resolved, type YamlScope } from './yaml-documents.ts';

/** A value of a document, on its way through a reader. */
export interface YamlValue {
  readonly node: Node;
  readonly scope: YamlScope;
  /** Path from the root of the document, for people: `spec.interfaces[0].dhcp.mac`. */
  readonly path: string;
}

/** Takes a value in; `undefined` after it has put at least one problem among the scope's findings. */
export interface Reader<T> extends WithSchema {
  (value: YamlValue): T | undefined;
}

export interface Field<T, IsRequired extends boolean> {
  readonly read: Reader<T>;
  readonly isRequired: IsRequired;
}

type Shape = Readonly<Record<string, Field<unknown, boolean>>>;
type RequiredKeys<S extends Shape> = { [K in keyof S]: S[K] extends Field<unknown, true> ? K : never }[keyof S];
type ReadBy<F> = F extends Field<infer T, boolean> ? T : never;
type Simplified<T> = { readonly [K in keyof T]: T[K] };

/** What `object(shape)` makes: required fields are there, optional ones may be missing. */
export type ObjectOf<S extends Shape> = Simplified<
  { [K in RequiredKeys<S>]: ReadBy<S[K]> } & { [K in Exclude<keyof S, RequiredKeys<S>>]?: ReadBy<S[K]> }
>;

export function required<T>(read: Reader<T>): Field<T, true> {
  return { read, isRequired: true };
}

export function optional<T>(read: Reader<T>): Field<T, false> {
  return { read, isRequired: false };
}

/** A map with exactly these fields; `null` counts as missing, an unknown field is a problem. */
export function object<S extends Shape>(shape: S): Reader<ObjectOf<S>> {
  return withSchema((value: YamlValue) => {
    const before = value.scope.findings.problemCount;
    const entries = entriesOf(value);
    if (entries === undefined) return undefined;
    const result: Record<string, unknown> = {};
    for (const [key, entry] of entries) {
      const field = Object.hasOwn(shape, key) ? shape[key] : undefined;
      if (field === undefined) refuseUnknownField(value, key, entry, Object.keys(shape));
      else if (!isNothing(entry.value.node)) result[key] = field.read(entry.value);
    }
    refuseMissing(value, shape, entries);
    if (value.scope.findings.problemCount > before) return undefined;
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- each field was read by its own reader, none refused
    return result as ObjectOf<S>;
  }, objectSchema(shape));
}

function objectSchema(shape: Shape): JsonSchema {
  const fields = Object.entries(shape);
  const needed = fields.filter(([, { isRequired }]) => isRequired).map(([key]) => key);
  return {
    type: 'object',
    properties: Object.fromEntries(fields.map(([key, { read }]) => [key, schemaOf(read)])),
    additionalProperties: false,
    ...(needed.length > 0 && { required: needed }),
  };
}

function refuseMissing(value: YamlValue, shape: Shape, entries: ReadonlyMap<string, Entry>): void {
  for (const [key, field] of Object.entries(shape)) {
    const entry = entries.get(key);
    const isThere = entry !== undefined && !isNothing(entry.value.node);
    if (field.isRequired && !isThere) refuse(entry?.value ?? value, `${pathTo(value.path, key)} is missing: add it`);
  }
}

/** A list. */
export function list<T>(readItem: Reader<T>): Reader<readonly T[]> {
  return withSchema(
    (value: YamlValue) => {
      const { node } = value;
      if (!isSeq(node)) return refuse(value, `${value.path} is ${kindOf(node)}: write a list`);
      const before = value.scope.findings.problemCount;
      const items: T[] = [];
      for (const [index, raw] of node.items.entries()) {
        const made = readItem(descend(value, nodeOf(raw), `${value.path}[${index}]`));
        if (made !== undefined) items.push(made);
      }
      return value.scope.findings.problemCount > before ? undefined : items;
    },
    { type: 'array', items: schemaOf(readItem) },
  );
}

/** A map from free keys to values of one type. `faultOfKey` says what is wrong with a key, if anything. */
export function record<T>(
  item: Reader<T>,
  faultOfKey: (key: string) => string | undefined = () => undefined,
): Reader<Readonly<Record<string, T>>> {
  return withSchema(
    (value: YamlValue) => {
      const before = value.scope.findings.problemCount;
      const entries = entriesOf(value);
      if (entries === undefined) return undefined;
      const made: [string, T][] = [];
      for (const [key, entry] of entries) {
        const fault = faultOfKey(key);
        if (fault !== undefined)
          refuse({ ...value, node: entry.key }, `${value.path}: the key ${shown(key)} ${fault}`, key);
        const result = item(entry.value);
        if (result !== undefined) made.push([key, result]);
      }
      return value.scope.findings.problemCount > before ? undefined : Object.fromEntries(made);
    },
    { type: 'object', additionalProperties: schemaOf(item) },
  );
}

/** A string; `check` says what is wrong with it, if anything. */
export function text(check: (text: string) => string | undefined = () => undefined): Reader<string> {
  return withSchema(
    (value: YamlValue) => {
      const { node } = value;
      if (!isScalar(node) || typeof node.value !== 'string') {
        if (MAYBE_SECRET.test(value.path)) return secretText()(value);
        const fix = isScalar(node) ? `write it in quotes, "${sourceOf(node)}"` : 'write a text';
        return refuse(value, `${value.path} is ${kindOf(node)}: ${fix}`);
      }
      const fault = check(node.value);
      if (fault !== undefined) return refuse(value, `${value.path} ${shown(node.value)} ${fault}`, node.value);
      return node.value;
    },
    { type: 'string' },
  );
}

/** Environments are free form: a variable of such a name is not quoted. */
const MAYBE_SECRET = /passw|secret|token|credential/i;

/** A string that may be a secret: it is in no message. */
export function secretText(): Reader<string> {
  return withSchema(
    (value: YamlValue) => {
      if (isScalar(value.node) && typeof value.node.value === 'string') return value.node.value;
      return refuse(value, `${value.path} is ${kindOf(value.node, true)}: write a text, in quotes`);
    },
    { type: 'string' },
  );
}

/** A string, or a number or boolean taken as it is written (`MODE: 0644`), as Go's YAML decoder does for strings. */
export function scalarText(check: (text: string) => string | undefined = () => undefined): Reader<string> {
  const strict = text(check);
  return withSchema(
    (value: YamlValue) => {
      const { node } = value;
      if (!isScalar(node) || typeof node.value === 'string') return strict(value);
      const written = node.value === null ? '' : writtenOf(node);
      const fault = check(written);
      if (fault !== undefined) return refuse(value, `${value.path} ${shown(written)} ${fault}`, written);
      return written;
    },
    { type: ['string', 'number', 'boolean'] },
  );
}

export function boolean(): Reader<boolean> {
  return withSchema(
    (value: YamlValue) => {
      const { node } = value;
      if (isScalar(node) && typeof node.value === 'boolean') return node.value;
      return refuse(value, `${value.path} is ${kindOf(node)}: write true or false, without quotes`);
    },
    { type: 'boolean' },
  );
}

export function integer(least: number, most: number): Reader<number> {
  return withSchema(
    (value: YamlValue) => {
      const { node } = value;
      if (!isScalar(node) || typeof node.value !== 'number') {
        return refuse(value, `${value.path} is ${kindOf(node)}: write a whole number, without quotes`);
      }
      if (Number.isSafeInteger(node.value) && node.value >= least && node.value <= most) return node.value;
      const written = sourceOf(node);
      return refuse(value, `${value.path} is ${written}: write a whole number from ${least} to ${most}`, written);
    },
    { type: 'integer', minimum: least, maximum: most },
  );
}

/** One of a closed set of words. */
export function word<const W extends string>(words: readonly W[]): Reader<W> {
  const check = (text: string) =>
    words.some((word) => word === text) ? undefined : `is not one of ${words.join(', ')}${didYouMean(text, words)}`;
  const read = text(check);
  return withSchema(
    (value: YamlValue) => {
      const made = read(value);
      return words.find((word) => word === made);
    },
    { enum: words },
  );
}

/** Any value that JSON can hold, as it is. */
export function json(): Reader<JsonValue> {
  return jsonOf;
}

/** Any map that JSON can hold, as it is. */
export function jsonObject(): Reader<JsonObject> {
  const read = record(jsonOf);
  return withSchema((value: YamlValue) => read(value), schemaOf(read));
}

/** What `base` reads, taken further by `then`, which may refuse it. */
export function refined<A, B>(base: Reader<A>, then: (made: A, value: YamlValue) => B | undefined): Reader<B> {
  return withSchema((value: YamlValue) => {
    const made = base(value);
    return made === undefined ? undefined : then(made, value);
  }, schemaOf(base));
}

/** For a field that is known and must not be given; `fix` says why, and what to do. */
export function refusedField(fix: string): Reader<undefined> {
  return withSchema((value: YamlValue) => refuse(value, `${value.path} ${fix}`), { not: {}, description: fix });
}

/** Accepts the first reader's values, and notes where the value stands under its path for later checks. */
export function noted<T>(read: Reader<T>): Reader<T> {
  return withSchema((value: YamlValue) => {
    value.scope.fields.set(value.path, positionOf(value.scope, value.node));
    return read(value);
  }, schemaOf(read));
}

/** Accepts the map's values, and notes where each key stands under the path of its value. */
export function notedKeys<T>(read: Reader<T>): Reader<T> {
  return refined(read, (made, value) => {
    for (const [key, { key: node }] of entriesOf(value) ?? []) {
      value.scope.fields.set(pathTo(value.path, key), positionOf(value.scope, node));
    }
    return made;
  });
}

/** Refuses a value at its place; made for `return refuse(…)`. */
export function refuse(value: YamlValue, message: string, written?: string): undefined {
  value.scope.findings.refuse(positionOf(value.scope, value.node), message, written);
  return undefined;
}

/** Refuses the entry of a map at its place, or the map where the entry is missing. */
export function refuseAt(value: YamlValue, key: string, message: string, written?: string): undefined {
  return refuse(entry(value, key) ?? value, message, written);
}

/** Notes something worth a look at the place of a map's entry. */
export function warnAt(value: YamlValue, key: string, message: string): void {
  const { scope, node } = entry(value, key) ?? value;
  scope.findings.warn(positionOf(scope, node), message);
}

/** The entry of a map by its key, aliases and merge keys (`<<`) resolved; `undefined` if there is none. */
export function entry(value: YamlValue, key: string): YamlValue | undefined {
  return isMap(value.node) ? entriesOf(value)?.get(key)?.value : undefined;
}

/** The item of a list by its index, aliases resolved; `undefined` if there is none. */
export function item(value: YamlValue, index: number): YamlValue | undefined {
  if (!isSeq(value.node) || index >= value.node.items.length) return undefined;
  return descend(value, nodeOf(value.node.items[index]), `${value.path}[${index}]`);
}

interface Entry {
  readonly key: Node;
  readonly value: YamlValue;
}

function entriesOf(value: YamlValue): ReadonlyMap<string, Entry> | undefined {
  const { node, scope } = value;
  if (!isMap(node)) return refuse(value, `${value.path || 'the document'} is ${kindOf(node)}: write a map of fields`);
  const own = new Map<string, Entry>();
  const merged = new Map<string, Entry>();
  for (const pair of node.items) {
    const key = keyText(pair.key);
    if (key === undefined || own.has(key)) continue;
    const keyNode = nodeOf(pair.key) ?? node;
    const child = nodeOf(pair.value);
    if (key === '<<') addMerged(value, child, merged);
    else
      own.set(key, {
        key: keyNode,
        value: descend({ ...value, node: keyNode, scope }, child, pathTo(value.path, key)),
      });
  }
  for (const [key, entry] of merged) if (!own.has(key)) own.set(key, entry);
  return own;
}

/** YAML 1.1's merge key: the fields of another map, or of several; the first one that has a field wins. */
function addMerged(value: YamlValue, child: Node | null, merged: Map<string, Entry>): void {
  const source = child === null ? child : resolved(value.scope, child);
  const parts = isSeq(source) ? source.items : [source];
  for (const part of parts) {
    const map = resolved(value.scope, nodeOf(part) ?? value.node);
    if (!isMap(map) || map === value.node) {
      refuse({ ...value, node: child ?? value.node }, 'the merge key "<<" needs a map, or a list of maps');
      continue;
    }
    for (const [key, entry] of entriesOf({ ...value, node: map }) ?? []) {
      if (!merged.has(key)) merged.set(key, entry);
    }
  }
}

/** A child of a value. Where nothing is written (`{a}`) it is null and stands where its parent or key stands. */
function descend(parent: YamlValue, child: Node | null, path: string): YamlValue {
  if (child !== null) return { node: resolved(parent.scope, child), scope: parent.scope, path };
  const nothing = new Scalar(null);
  nothing.range = parent.node.range ?? null;
  return { node: nothing, scope: parent.scope, path };
}

function isNothing(node: Node): boolean {
  return isScalar(node) && node.value === null;
}

function jsonOf(value: YamlValue): JsonValue | undefined {
  const { node } = value;
  if (isMap(node)) return jsonRecord(value);
  if (isSeq(node)) return jsonList(value);
  if (isScalar(node)) {
    const scalar = node.value;
    if (scalar === null || typeof scalar === 'string' || typeof scalar === 'boolean') return scalar;
    if (typeof scalar === 'number' && Number.isFinite(scalar)) return scalar;
  }
  return refuse(value, `${value.path} is ${kindOf(node)}: write a text, a number, true, false, a list or a map`);
}

const jsonRecord = record(jsonOf);
const jsonList = list(jsonOf);

function refuseUnknownField(value: YamlValue, key: string, entry: Entry, known: readonly string[]): void {
  const hint = didYouMean(key, known) || `: the fields are ${listed(known, 20)}`;
  refuse({ ...value, node: entry.key }, `${pathTo(value.path, key)} is not a known field${hint}`, key);
}

function pathTo(path: string, key: string): string {
  const step = /^[\w-]{1,80}$/.test(key) ? key : `[${shown(key)}]`;
  return path === '' || step !== key ? `${path}${step}` : `${path}.${step}`;
}

function kindOf(node: Node, isSecret = false): string {
  if (isMap(node)) return 'a map';
  if (isSeq(node)) return 'a list';
  if (!isScalar(node)) return 'an alias';
  if (node.value === null) return 'empty';
  if (isSecret) return `a ${typeof node.value}`;
  return typeof node.value === 'string'
    ? `the text ${shown(node.value)}`
    : `the ${typeof node.value} ${sourceOf(node)}`;
}

function sourceOf(node: Scalar): string {
  return writtenOf(node).slice(0, 80);
}

function writtenOf(node: Scalar): string {
  return node.source ?? JSON.stringify(node.value) ?? '';
}
