import { deepCopy } from './deep-equal.ts';
import { textOf } from './functions-strings.ts';
import { type Arguments, deep, type FunctionTable, shallow } from './go-function.ts';
import { GoList, GoMap, type GoValue, goKind, isTrue, stringList } from './go-value.ts';
import { functionFault } from './template-error.ts';

const merge = deep(['map[string]interface {}'], (given) => mergeAll(given, false), 'map[string]interface {}');
const mergeOverwrite = deep(['map[string]interface {}'], (given) => mergeAll(given, true), 'map[string]interface {}');
const copy = deep(['interface {}'], (given) => deepCopy(given.value(0)));

/** Sprig's functions on maps. Where Go's order is random (keys, values), ours is sorted. */
export const DICT_FUNCTIONS: FunctionTable = {
  dict: deep([], dict, 'interface {}'),
  get: shallow(['map[string]interface {}', 'string'], (given) => {
    const { entries } = given.map(0);
    return entries.has(given.string(1)) ? entries.get(given.string(1)) : '';
  }),
  set: deep(['map[string]interface {}', 'string', 'interface {}'], (given) => {
    if (given.value(0) === null) throw functionFault('assignment to entry in nil map');
    given.map(0).entries.set(given.string(1), given.value(2));
    return given.map(0);
  }),
  unset: shallow(['map[string]interface {}', 'string'], (given) => {
    given.map(0).entries.delete(given.string(1));
    return given.map(0);
  }),
  hasKey: shallow(['map[string]interface {}', 'string'], (given) => given.map(0).entries.has(given.string(1))),
  pluck: deep(
    ['string'],
    (given) => {
      const maps = given.rest(1).map((_, index) => given.map(index + 1));
      return new GoList(
        maps.flatMap(({ entries }) => (entries.has(given.string(0)) ? [entries.get(given.string(0))] : [])),
      );
    },
    'map[string]interface {}',
  ),
  keys: deep(
    [],
    (given) => stringList(given.all.flatMap((_, index) => given.map(index).sortedKeys())),
    'map[string]interface {}',
  ),
  values: deep(['map[string]interface {}'], (given) => {
    const map = given.map(0);
    return new GoList(map.sortedKeys().map((key) => map.entries.get(key)));
  }),
  pick: deep(['map[string]interface {}'], (given) => selected(given, true), 'string'),
  omit: deep(['map[string]interface {}'], (given) => selected(given, false), 'string'),
  merge,
  mustMerge: merge,
  mergeOverwrite,
  mustMergeOverwrite: mergeOverwrite,
  dig: deep([], dig, 'interface {}'),
  deepCopy: copy,
  mustDeepCopy: copy,
};

function dict(given: Arguments): GoMap {
  const entries: [string, GoValue][] = [];
  for (let at = 0; at < given.count; at += 2) {
    entries.push([textOf(given.value(at)), at + 1 < given.count ? given.value(at + 1) : '']);
  }
  return new GoMap(entries);
}

function selected(given: Arguments, isKept: boolean): GoMap {
  const names = new Set(given.rest(1));
  return new GoMap([...given.map(0).entries].filter(([key]) => names.has(key) === isKept));
}

/** Fills the first map from the others, in place as in Go. */
function mergeAll(given: Arguments, isOverwriting: boolean): GoMap {
  const target = given.map(0);
  for (let index = 1; index < given.count; index++) mergeInto(target, given.map(index), isOverwriting);
  return target;
}

function mergeInto(target: GoMap, source: GoMap, isOverwriting: boolean): void {
  for (const key of source.sortedKeys()) {
    const ours = target.entries.get(key);
    const theirs = source.entries.get(key);
    // Without overwriting, a nil of the source is as good as absent.
    if (theirs === null && !isOverwriting) continue;
    if (ours instanceof GoMap && theirs instanceof GoMap && ours.entries.size > 0) {
      if (ours !== theirs) mergeInto(ours, theirs, isOverwriting);
    } else if (isOverwriting || !isTrue(ours)) {
      target.entries.set(key, theirs);
    }
  }
}

/** `dig "a" "b" DEFAULT map`: the value below these keys, or the default where one is missing. */
function dig(given: Arguments): GoValue {
  if (given.count < 3) throw functionFault('dig needs at least three arguments');
  const keys = given.all.slice(0, -2).map((key) => {
    if (typeof key === 'string') return key;
    throw functionFault(`dig needs keys that are strings, not ${goKind(key)}`);
  });
  let value = given.all.at(-1);
  for (const key of keys) {
    if (!(value instanceof GoMap) || value.element === 'string') {
      throw functionFault(`dig finds a ${goKind(value)} instead of a map at key ${JSON.stringify(key)}`);
    }
    if (!value.entries.has(key)) return given.all.at(-2);
    value = value.entries.get(key);
  }
  return value;
}
