import { Arguments, type GoFunction, type ParameterType } from './go-function.ts';
import { GoList, GoMap, GoObject, type GoValue, goType, isTrue } from './go-value.ts';
import type { ChainNode, Command, NumberNode, Operand, Pipe } from './nodes.ts';
import { expressionText } from './nodes.ts';
import { quoteGo } from './quote.ts';
import type { RenderState } from './render-state.ts';
import { nearestName } from './template-error.ts';

/** The result of the stage before, or that there is none. */
type Piped = { readonly value: GoValue } | undefined;

/** Evaluates `$x := a | b c`. A nil inside the result becomes an absent value, as in Go. */
export function evaluatePipe(state: RenderState, dot: GoValue, pipe: Pipe): GoValue {
  state.at(pipe);
  let piped: Piped;
  state.nested(() => {
    for (const command of pipe.commands) piped = { value: evaluateCommand(state, dot, command, piped) ?? undefined };
  });
  const value = piped?.value;
  for (const name of pipe.variables) {
    if (pipe.isAssignment) state.assign(name, value);
    else state.declare(name, value);
  }
  return value;
}

interface Call {
  readonly command: Operand | Command;
  readonly given: readonly Operand[];
  readonly piped: Piped;
}

function evaluateCommand(state: RenderState, dot: GoValue, command: Command, piped: Piped): GoValue {
  const [first, ...given] = command.words;
  if (first.kind === 'function') return callByName(state, dot, first, { command, given, piped });
  state.at(first);
  if (given.length > 0 || piped !== undefined) refuseArguments(state, first);
  if (first.kind === 'nil') state.fail('nil is not a command: give it to a function, as in {{ eq .x nil }}');
  return evaluateOperand(state, dot, first);
}

function refuseArguments(state: RenderState, operand: Operand): never {
  if (
    operand.kind === 'field' ||
    operand.kind === 'chain' ||
    (operand.kind === 'variable' && operand.names.length > 0)
  ) {
    state.fail(`${operand.names.at(-1)} is not a method but has arguments`);
  }
  state.fail(`can't give argument to non-function ${expressionText(operand)}`);
}

/** Evaluates an operand where nothing says which type is wanted. */
function evaluateOperand(state: RenderState, dot: GoValue, operand: Operand): GoValue {
  state.at(operand);
  if (operand.kind === 'pipe') return evaluatePipe(state, dot, operand);
  if (operand.kind === 'dot') return dot;
  if (operand.kind === 'field') return fieldChain(state, dot, operand.names);
  if (operand.kind === 'variable') return fieldChain(state, state.variable(operand.name), operand.names);
  if (operand.kind === 'chain') return fieldChain(state, chainBase(state, dot, operand), operand.names, operand);
  if (operand.kind === 'function')
    return callByName(state, dot, operand, { command: operand, given: [], piped: undefined });
  return operand.kind === 'nil' ? null : literalValue(state, operand);
}

type Literal = Operand & { readonly kind: 'bool' | 'string' | 'number' };

function literalValue(state: RenderState, operand: Literal): GoValue {
  if (operand.kind === 'bool') return operand.value;
  return operand.kind === 'string' ? operand.text : untypedNumber(state, operand);
}

function untypedNumber(state: RenderState, number: NumberNode): GoValue {
  if (number.isFloatByShape) return number.float;
  if (number.integer === undefined || BigInt.asIntN(64, number.integer) !== number.integer) {
    state.fail(`${number.text} overflows int`);
  }
  return number.integer;
}

function fieldChain(state: RenderState, receiver: GoValue, names: readonly string[], node?: Operand): GoValue {
  if (node !== undefined) state.at(node);
  let value = receiver;
  for (const name of names) value = field(state, value, name);
  return value;
}

function field(state: RenderState, receiver: GoValue, name: string): GoValue {
  if (receiver === undefined) {
    if (state.rendering.missingKey === 'error') state.fail(`nil data; no entry for key ${quoteGo(name)}`);
    return undefined;
  }
  if (receiver === null) state.fail(`nil pointer evaluating interface {}.${name}`);
  if (receiver instanceof GoObject && receiver.fields.has(name)) return receiver.fields.get(name);
  if (!(receiver instanceof GoMap)) state.fail(`can't evaluate field ${name} in type ${goType(receiver)}`);
  if (receiver.entries.has(name)) return receiver.entries.get(name);
  return missingEntry(state, receiver, name);
}

function missingEntry(state: RenderState, receiver: GoMap, name: string): GoValue {
  const { missingKey } = state.rendering;
  if (missingKey === 'error') {
    const meant = nearestName(name, receiver.entries.keys());
    const fix = meant === undefined ? '' : `; did you mean ${quoteGo(meant)}?`;
    state.fail(`map has no entry for key ${quoteGo(name)}${fix}`);
  }
  if (missingKey === 'default') return undefined;
  return receiver.element === 'string' ? '' : null;
}

function callByName(state: RenderState, dot: GoValue, node: Operand & { kind: 'function' }, call: Call): GoValue {
  state.at(node);
  const { name } = node;
  const goFunction = state.rendering.functions.get(name);
  if (goFunction === undefined) state.fail(`${quoteGo(name)} is not a defined function`);
  checkCount(state, name, goFunction, call);
  if (name === 'and' || name === 'or') return shortCircuit(state, dot, name, call);
  const values = call.given.map((operand, index) => argument(state, dot, operand, parameterType(goFunction, index)));
  if (call.piped !== undefined) values.push(fit(state, call.piped.value, parameterType(goFunction, values.length)));
  state.at(call.command);
  const prefix = `error calling ${name}: `;
  if (goFunction.isShallow !== true) state.guard(() => state.budget.spendValues(values), prefix);
  return state.guard(() => goFunction.call(new Arguments(values), state.budget), prefix);
}

function checkCount(state: RenderState, name: string, { parameters, rest }: GoFunction, call: Call): void {
  const count = call.given.length + (call.piped === undefined ? 0 : 1);
  if (rest !== undefined && count < parameters.length) {
    state.fail(`wrong number of args for ${name}: want at least ${parameters.length} got ${call.given.length}`);
  }
  if (rest === undefined && count !== parameters.length) {
    state.fail(`wrong number of args for ${name}: want ${parameters.length} got ${count}`);
  }
}

function shortCircuit(state: RenderState, dot: GoValue, name: 'and' | 'or', call: Call): GoValue {
  let value: GoValue;
  for (const operand of call.given) {
    value = argument(state, dot, operand, 'value');
    if (isTrue(value) === (name === 'or')) return value;
  }
  return call.piped === undefined ? value : call.piped.value;
}

function parameterType({ parameters, rest }: GoFunction, index: number): ParameterType {
  return parameters[index] ?? rest ?? 'interface {}';
}

/** Evaluates an argument for a parameter of a type; a literal takes the parameter's type if it can. */
function argument(state: RenderState, dot: GoValue, operand: Operand, type: ParameterType): GoValue {
  state.at(operand);
  if (operand.kind === 'nil') {
    if (type === 'value') return undefined;
    return type === 'interface {}' || type.startsWith('map') ? null : state.fail(`cannot assign nil to ${type}`);
  }
  if (operand.kind === 'bool' || operand.kind === 'string' || operand.kind === 'number') {
    return type === 'interface {}' || type === 'value'
      ? literalValue(state, operand)
      : literalFor(state, operand, type);
  }
  return fit(state, evaluateOperand(state, dot, operand), type);
}

function literalFor(state: RenderState, operand: Literal, type: ParameterType): GoValue {
  const text = expressionText(operand);
  if (type.startsWith('map')) state.fail(`can't handle ${text} for arg of type ${type}`);
  const value = literalAs(operand, type);
  const wanted = type === 'int' ? 'integer' : type === 'float64' ? 'float' : type;
  return value ?? state.fail(`expected ${wanted}; found ${text}`);
}

function literalAs(operand: Literal, type: ParameterType): GoValue {
  if (operand.kind === 'bool') return type === 'bool' ? operand.value : undefined;
  if (operand.kind === 'string') return type === 'string' ? operand.text : undefined;
  if (type === 'float64') return operand.float;
  return type === 'int' && operand.integer !== undefined ? BigInt.asIntN(64, operand.integer) : undefined;
}

/** Checks that a value may be given to a parameter. Go converts nothing here: an int64 is no int. */
function fit(state: RenderState, value: GoValue, type: ParameterType): GoValue {
  if (type === 'value') return value;
  if (type === 'interface {}') return value ?? null;
  if (value === undefined) {
    if (type.startsWith('map')) return null;
    state.fail(`invalid value; expected ${type}`);
  }
  const found = value === null ? 'interface {}' : goType(value);
  if (found === type) return value;
  const fix = adviceFor(type, value);
  return state.fail(`wrong type for value; expected ${type}; got ${found}${fix}`);
}

function adviceFor(type: ParameterType, value: GoValue): string {
  if (type === 'int' && !(value instanceof GoList) && !(value instanceof GoMap)) return ': put (int …) around it';
  if (type === 'string' && value !== null) return ': put (toString …) around it';
  return '';
}

function chainBase(state: RenderState, dot: GoValue, chain: ChainNode): GoValue {
  if (chain.base.kind === 'nil') state.fail(`indirection through explicit nil in ${expressionText(chain)}`);
  return evaluateOperand(state, dot, chain.base);
}
