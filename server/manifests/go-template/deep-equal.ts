import { GoInteger, GoList, GoMap, type GoValue, goType } from './go-value.ts';

/** Go's reflect.DeepEqual: types must be the same too, so the int 1 is not the int64 1. */
export function deepEqual(a: GoValue, b: GoValue): boolean {
  if (a === b) return true;
  if (goType(a) !== goType(b)) return false;
  if (a === undefined || a === null) return true;
  if (a instanceof GoInteger && b instanceof GoInteger) return a.value === b.value;
  return (
    (a instanceof GoList && b instanceof GoList && listsEqual(a, b)) ||
    (a instanceof GoMap && b instanceof GoMap && mapsEqual(a, b))
  );
}

function listsEqual(a: GoList, b: GoList): boolean {
  if (a.isNil !== b.isNil || a.items.length !== b.items.length) return false;
  return a.items.every((item, index) => deepEqual(item, b.items[index]));
}

function mapsEqual(a: GoMap, b: GoMap): boolean {
  if (a.entries.size !== b.entries.size) return false;
  return [...a.entries].every(([key, value]) => b.entries.has(key) && deepEqual(value, b.entries.get(key)));
}

/** A copy that shares nothing that can be changed. */
export function deepCopy(value: GoValue): GoValue {
  if (value instanceof GoList) return new GoList(value.items.map(deepCopy), value.element, value.isNil);
  if (!(value instanceof GoMap)) return value;
  return new GoMap(
    [...value.entries].map(([key, item]) => [key, deepCopy(item)]),
    value.element,
  );
}
