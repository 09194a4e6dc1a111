import { evaluatePipe } from './expressions.ts';
import { GoInteger, GoList, GoMap, type GoValue, goType, integerOf, isTrue } from './go-value.ts';
import type { Control, Statement } from './nodes.ts';
import { formatValue } from './printf.ts';
import { quoteGo } from './quote.ts';
import { type Rendering, RenderState } from './render-state.ts';

/** Templates that call each other may nest this deep; Go allows 100000, which no stack of ours would hold. */
const MAX_TEMPLATE_DEPTH = 200;

/** Why a list of statements ended. */
type Flow = 'done' | 'break' | 'continue';

/** Renders a parsed template into `rendering.output`. Throws `invalid_template` with the place of the fault. */
export function evaluateTemplate(rendering: Rendering, data: GoValue): void {
  const { name, body } = rendering.template;
  walk(new RenderState(rendering, name, 0, data), data, body);
}

function walk(state: RenderState, dot: GoValue, statements: readonly Statement[]): Flow {
  return state.nested(() => {
    for (const statement of statements) {
      const flow = walkOne(state, dot, statement);
      if (flow !== 'done') return flow;
    }
    return 'done';
  });
}

function walkOne(state: RenderState, dot: GoValue, statement: Statement): Flow {
  if (statement.kind === 'break' || statement.kind === 'continue') return statement.kind;
  if (statement.kind === 'template') return walkTemplate(state, dot, statement);
  if (statement.kind === 'text') {
    state.atText(statement.at, () => quoteGo(statement.text.slice(0, 20)));
    state.guard(() => state.rendering.output.write(statement.text));
    return 'done';
  }
  if (statement.kind === 'action') {
    const value = evaluatePipe(state, dot, statement.pipe);
    if (statement.pipe.variables.length === 0) print(state, value);
    return 'done';
  }
  const mark = state.mark();
  const flow = statement.kind === 'range' ? walkRange(state, dot, statement) : walkIfOrWith(state, dot, statement);
  state.release(mark);
  return flow;
}

function walkIfOrWith(state: RenderState, dot: GoValue, statement: Control): Flow {
  const value = evaluatePipe(state, dot, statement.pipe);
  if (isTrue(value)) return walk(state, statement.kind === 'with' ? value : dot, statement.body);
  return walk(state, dot, statement.otherwise ?? []);
}

function walkRange(state: RenderState, dot: GoValue, statement: Control): Flow {
  const value = evaluatePipe(state, dot, statement.pipe);
  let isEmpty = true;
  const mark = state.mark();
  for (const [index, item] of iterate(state, value, statement)) {
    isEmpty = false;
    state.guard(() => state.budget.spend(1));
    setRangeVariables(state, statement, index, item);
    const flow = walk(state, item, statement.body);
    state.release(mark);
    if (flow === 'break') return 'done';
  }
  return isEmpty ? walk(state, dot, statement.otherwise ?? []) : 'done';
}

function setRangeVariables(state: RenderState, { pipe }: Control, index: GoValue, item: GoValue): void {
  const [first, second] = pipe.variables;
  if (first === undefined) return;
  if (pipe.isAssignment) {
    state.assign(first, second === undefined ? item : index);
    if (second !== undefined) state.assign(second, item);
    return;
  }
  state.setNewest(1, item);
  if (second !== undefined) state.setNewest(2, index);
}

function* iterate(state: RenderState, value: GoValue, { pipe }: Control): Iterable<[GoValue, GoValue]> {
  const count = integerOf(value);
  if (count !== undefined) {
    if (pipe.variables.length > 1) state.fail(`can't use ${count} to iterate over more than one variable`);
    for (let at = 0n; at < count; at++)
      yield [undefined, value instanceof GoInteger ? new GoInteger(value.type, at) : at];
  } else if (value instanceof GoList) {
    for (const [index, item] of value.items.entries()) yield [BigInt(index), item];
  } else if (value instanceof GoMap) {
    // The items are fixed before the first turn, because the body may change the map.
    const items = value.sortedKeys().map((key): [GoValue, GoValue] => [key, value.entries.get(key)]);
    yield* items;
  } else if (value !== undefined) {
    state.fail(`range can't iterate over ${formatValue(value)}: it is a ${goType(value)}, not a list, map or integer`);
  }
}

function walkTemplate(state: RenderState, dot: GoValue, statement: Statement & { kind: 'template' }): Flow {
  const { name, pipe } = statement;
  state.atText(statement.at, () => `{{template ${quoteGo(name)}}}`);
  const body = state.rendering.template.definitions.get(name);
  if (body === undefined) state.fail(`template ${quoteGo(name)} not defined`);
  if (state.depth >= MAX_TEMPLATE_DEPTH) state.fail(`exceeded maximum template depth (${MAX_TEMPLATE_DEPTH})`);
  const data = pipe === undefined ? undefined : evaluatePipe(state, dot, pipe);
  walk(new RenderState(state.rendering, name, state.depth + 1, data), data, body);
  return 'done';
}

function print(state: RenderState, value: GoValue): void {
  state.guard(() => {
    state.budget.spendValues([value]);
    state.rendering.output.write(value === undefined ? '<no value>' : formatValue(value));
  });
}
