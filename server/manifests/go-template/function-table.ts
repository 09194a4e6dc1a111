import { BUILTIN_FUNCTIONS } from './functions-builtin.ts';
import { DICT_FUNCTIONS } from './functions-dicts.ts';
import { ENCODING_FUNCTIONS } from './functions-encoding.ts';
import { LIST_FUNCTIONS } from './functions-lists.ts';
import { MACHINE_FUNCTIONS } from './functions-machine.ts';
import { MATH_FUNCTIONS } from './functions-math.ts';
import { PATH_FUNCTIONS } from './functions-paths.ts';
import { REFUSING_FUNCTIONS } from './functions-refused.ts';
import { REGEXP_FUNCTIONS } from './functions-regexp.ts';
import { SEMVER_FUNCTIONS } from './functions-semver.ts';
import { STRING_FUNCTIONS } from './functions-strings.ts';
import { VALUE_FUNCTIONS } from './functions-values.ts';
import type { GoFunction } from './go-function.ts';

/** Every function that a template can call: Go's own, sprig's hermetic ones, Tinkerbell's. */
export const TEMPLATE_FUNCTIONS: ReadonlyMap<string, GoFunction> = new Map(
  Object.entries({
    ...BUILTIN_FUNCTIONS,
    ...REFUSING_FUNCTIONS,
    ...STRING_FUNCTIONS,
    ...MATH_FUNCTIONS,
    ...LIST_FUNCTIONS,
    ...DICT_FUNCTIONS,
    ...VALUE_FUNCTIONS,
    ...ENCODING_FUNCTIONS,
    ...PATH_FUNCTIONS,
    ...REGEXP_FUNCTIONS,
    ...SEMVER_FUNCTIONS,
    ...MACHINE_FUNCTIONS,
  }),
);
