import { castInteger } from './cast.ts';
import { deepEqual } from './deep-equal.ts';
import { textOf, textsOf } from './functions-strings.ts';
import { type Arguments, deep, type FunctionTable, type GoFunction, shallow } from './go-function.ts';
import { compareStrings, GoList, type GoValue, goKind, isTrue, stringList } from './go-value.ts';
import { functionFault } from './template-error.ts';

const append = onList('push on', ['interface {}'], (list, given) => new GoList([...list.items, given.value(1)]));
const prepend = onList('prepend on', ['interface {}'], (list, given) => new GoList([given.value(1), ...list.items]));
const first = top('find first on', (list) => list.items[0] ?? null);
const last = top('find last on', (list) => list.items.at(-1) ?? null);
const rest = onList('find rest on', [], (list) => part(list, 1, list.items.length));
const initial = onList('find initial on', [], (list) => part(list, 0, list.items.length - 1));
const reverse = onList('find reverse on', [], (list) => new GoList(list.items.toReversed()));
const compact = onList('compact on', [], (list) => new GoList(list.items.filter(isTrue)));
const uniq = onList('find uniq on', [], (list, _given, budget) => {
  const unique: GoValue[] = [];
  for (const item of list.items) {
    budget.spend(unique.length);
    if (!unique.some((known) => deepEqual(known, item))) unique.push(item);
  }
  return new GoList(unique);
});
const without: GoFunction = {
  ...onList('find without on', [], (list, given, budget) => {
    budget.spend(list.items.length * given.count);
    return new GoList(list.items.filter((item) => !given.rest(1).some((unwanted) => deepEqual(unwanted, item))));
  }),
  rest: 'interface {}',
};
const slice: GoFunction = { ...onList('slice', [], (list, given) => sliceList(list, given)), rest: 'interface {}' };
const has = deep(['interface {}', 'interface {}'], (given) => {
  if (given.value(1) === null) return false;
  return listAt(given, 1, 'find has on').items.some((item) => deepEqual(given.value(0), item));
});
const chunk = deep(['int', 'interface {}'], (given) => chunkList(listAt(given, 1, 'chunk'), given.int(0)));
const list = deep([], (given) => new GoList(given.all), 'interface {}');

/** Sprig's functions on lists. The `must` ones only report differently in Go; here all report errors the same way. */
export const LIST_FUNCTIONS: FunctionTable = {
  list,
  tuple: list,
  append,
  push: append,
  mustAppend: append,
  mustPush: append,
  prepend,
  mustPrepend: prepend,
  first,
  mustFirst: first,
  last,
  mustLast: last,
  rest,
  mustRest: rest,
  initial,
  mustInitial: initial,
  reverse,
  mustReverse: reverse,
  compact,
  mustCompact: compact,
  uniq,
  mustUniq: uniq,
  without,
  mustWithout: without,
  slice,
  mustSlice: slice,
  has,
  mustHas: has,
  chunk,
  mustChunk: chunk,
  concat: deep([], (given) => concat(given), 'interface {}'),
  sortAlpha: deep(['interface {}'], (given) => {
    const value = given.value(0);
    return stringList(value instanceof GoList ? textsOf(value).toSorted(compareStrings) : [textOf(value)]);
  }),
};

type ListCall = (list: GoList, given: Arguments, budget: Parameters<GoFunction['call']>[1]) => GoValue;

function onList(verb: string, others: readonly 'interface {}'[], call: ListCall): GoFunction {
  return deep(['interface {}', ...others], (given, budget) => call(listAt(given, 0, verb), given, budget));
}

function top(verb: string, call: (list: GoList) => GoValue): GoFunction {
  return shallow(['interface {}'], (given) => call(listAt(given, 0, verb)));
}

function listAt(given: Arguments, index: number, verb: string): GoList {
  const found = given.list(index);
  if (found !== undefined) return found;
  throw functionFault(`Cannot ${verb} type ${goKind(given.value(index))}: it is no list`);
}

/** Sprig answers a nil list for a part of an empty one. */
function part({ items }: GoList, start: number, end: number): GoList {
  return items.length === 0 ? new GoList([], 'interface {}', true) : new GoList(items.slice(start, end));
}

function sliceList(list: GoList, given: Arguments): GoValue {
  const { length } = list.items;
  if (length === 0) return null;
  const start = given.count > 1 ? Number(castInteger(given.value(1))) : 0;
  const end = given.count > 2 ? Number(castInteger(given.value(2))) : length;
  if (start < 0 || end < start || end > length) {
    throw functionFault(`slice bounds out of range [${start}:${end}] with length ${length}`);
  }
  return new GoList(list.items.slice(start, end), list.element);
}

function chunkList({ items }: GoList, size: number): GoList {
  if (size < 1) throw functionFault(`cannot cut a list into chunks of ${size}`);
  const chunks: GoList[] = [];
  for (let at = 0; at < items.length; at += size) chunks.push(new GoList(items.slice(at, at + size)));
  return new GoList(chunks, '[]interface {}');
}

function concat(given: Arguments): GoList {
  const items = given.all.flatMap((_, index) => listAt(given, index, 'concat').items);
  return new GoList(items, 'interface {}', items.length === 0);
}
