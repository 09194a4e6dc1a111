import { TinsmithError } from '#proto/errors.ts';
import type { Budget } from './budget.ts';
import { GoList, GoMap, type GoValue, integerOf } from './go-value.ts';

/** Go types of parameters. `value` is Go's reflect.Value: it takes anything, also an absent value. */
export type ParameterType =
  | 'value'
  | 'interface {}'
  | 'string'
  | 'int'
  | 'float64'
  | 'bool'
  | 'map[string]interface {}';

/** A function of templates, with the signature that Go's has, because the signature decides which arguments fit. */
export interface GoFunction {
  readonly parameters: readonly ParameterType[];
  /** Type of any number of further arguments. */
  readonly rest?: ParameterType;
  /** Whether it only looks at the top of its arguments, so that it costs the same for small and large ones. */
  readonly isShallow?: boolean;
  readonly call: (given: Arguments, budget: Budget) => GoValue;
}

export type FunctionTable = Readonly<Record<string, GoFunction>>;

/** A function whose arguments are converted or copied as a whole. */
export function deep(parameters: readonly ParameterType[], call: GoFunction['call'], rest?: ParameterType): GoFunction {
  return { parameters, call, ...(rest === undefined ? {} : { rest }) };
}

/** A function that looks only at the top of its arguments. */
export function shallow(
  parameters: readonly ParameterType[],
  call: GoFunction['call'],
  rest?: ParameterType,
): GoFunction {
  return { ...deep(parameters, call, rest), isShallow: true };
}

/** The arguments of one call, checked against the signature before; a mismatch here is a bug of ours. */
export class Arguments {
  readonly all: readonly GoValue[];

  constructor(all: readonly GoValue[]) {
    this.all = all;
  }

  get count(): number {
    return this.all.length;
  }

  value(index: number): GoValue {
    return this.all[index];
  }

  rest(from: number): readonly GoValue[] {
    return this.all.slice(from);
  }

  string(index: number): string {
    const value = this.all[index];
    return typeof value === 'string' ? value : mismatch(index, 'string');
  }

  /** An int as a number: exact up to 2^53, enough for every count, width and position. */
  int(index: number): number {
    const value = integerOf(this.all[index]);
    return value === undefined ? mismatch(index, 'int') : Number(value);
  }

  float(index: number): number {
    const value = this.all[index];
    return typeof value === 'number' ? value : mismatch(index, 'float64');
  }

  bool(index: number): boolean {
    const value = this.all[index];
    return typeof value === 'boolean' ? value : mismatch(index, 'bool');
  }

  /** A nil map reads like an empty one. */
  map(index: number): GoMap {
    const value = this.all[index];
    if (value === null) return new GoMap([]);
    return value instanceof GoMap ? value : mismatch(index, 'map');
  }

  list(index: number): GoList | undefined {
    const value = this.all[index];
    return value instanceof GoList ? value : undefined;
  }
}

function mismatch(index: number, wanted: string): never {
  throw new TinsmithError('internal', `argument ${index} of a template function passed its check and is no ${wanted}`);
}
