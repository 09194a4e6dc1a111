import { deepEqual } from './deep-equal.ts';
import { deep, type FunctionTable, shallow } from './go-function.ts';
import { goKind, goType, isTrue } from './go-value.ts';
import { functionFault } from './template-error.ts';

/** Sprig's functions on any value: defaults, choices, types. */
export const VALUE_FUNCTIONS: FunctionTable = {
  default: shallow(
    ['interface {}'],
    (given) => (isTrue(given.value(1)) ? given.value(1) : given.value(0)),
    'interface {}',
  ),
  empty: shallow(['interface {}'], (given) => !isTrue(given.value(0))),
  coalesce: shallow([], (given) => given.all.find(isTrue) ?? null, 'interface {}'),
  all: shallow([], (given) => given.all.every(isTrue), 'interface {}'),
  any: shallow([], (given) => given.all.some(isTrue), 'interface {}'),
  ternary: shallow(['interface {}', 'interface {}', 'bool'], (given) => given.value(given.bool(2) ? 0 : 1)),
  typeOf: shallow(['interface {}'], (given) => goType(given.value(0))),
  typeIs: shallow(['string', 'interface {}'], (given) => given.string(0) === goType(given.value(1))),
  typeIsLike: shallow(['string', 'interface {}'], (given) => {
    const type = goType(given.value(1));
    return given.string(0) === type || `*${given.string(0)}` === type;
  }),
  kindOf: shallow(['interface {}'], (given) => goKind(given.value(0))),
  kindIs: shallow(['string', 'interface {}'], (given) => given.string(0) === goKind(given.value(1))),
  deepEqual: deep(['interface {}', 'interface {}'], (given) => deepEqual(given.value(0), given.value(1))),
  fail: deep(['string'], (given) => {
    throw functionFault(given.string(0));
  }),
};
