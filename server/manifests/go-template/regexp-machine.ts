/**
 * Matches regular expressions by stepping all possible threads through the text at once (Pike's machine), so that the
 * time is at most the text's length times the expression's size, whatever is thrown at it. Prefers what Go prefers: the
 * leftmost match, and of these the one that a backtracking matcher would find first.
 */
import type { Budget } from './budget.ts';
import type { CharacterSet } from './regexp-class.ts';
import { type Assertion, type Expression, parseExpression } from './regexp-parser.ts';
import { functionFault } from './template-error.ts';

type Instruction =
  | { readonly kind: 'set'; readonly has: CharacterSet }
  | { readonly kind: 'assertion'; readonly assertion: Assertion }
  | { readonly kind: 'save'; readonly slot: number }
  | { readonly kind: 'split'; first: number; second: number }
  | { readonly kind: 'jump'; target: number }
  | { readonly kind: 'match' };

/** Start and end of the match and of each group, -1 where a group took no part. */
export type Positions = readonly number[];

export interface CompiledExpression {
  readonly names: ReadonlyMap<string, number>;
  /** The first match that begins at `from` or later in this text of single characters. */
  readonly find: (characters: readonly string[], from: number, budget: Budget) => Positions | undefined;
}

const MAX_PROGRAM = 10_000;

/** Throws `invalid_template` for what is no RE2 expression. */
export function compileExpression(pattern: string): CompiledExpression {
  const { expression, groupCount, names } = parseExpression(pattern);
  const program: Instruction[] = [];
  emit(program, { kind: 'group', index: 0, inner: expression });
  program.push({ kind: 'match' });
  return { names, find: (characters, from, budget) => run({ program, groupCount, characters, budget }, from) };
}

function emit(program: Instruction[], expression: Expression): void {
  if (program.length > MAX_PROGRAM) throw functionFault('error parsing regexp: expression too large');
  switch (expression.kind) {
    case 'empty':
      break;
    case 'set':
    case 'assertion':
      program.push(expression);
      break;
    case 'sequence':
      for (const part of expression.parts) emit(program, part);
      break;
    case 'alternatives':
      emitAlternatives(program, expression.parts);
      break;
    case 'group':
      program.push({ kind: 'save', slot: expression.index * 2 });
      emit(program, expression.inner);
      program.push({ kind: 'save', slot: expression.index * 2 + 1 });
      break;
    case 'repeat':
      emitRepeat(program, expression);
      break;
  }
}

function emitAlternatives(program: Instruction[], parts: readonly Expression[]): void {
  const jumps: { target: number }[] = [];
  for (const [index, part] of parts.entries()) {
    if (index === parts.length - 1) {
      emit(program, part);
      break;
    }
    const split = { kind: 'split' as const, first: program.length + 1, second: 0 };
    program.push(split);
    emit(program, part);
    const jump = { kind: 'jump' as const, target: 0 };
    program.push(jump);
    jumps.push(jump);
    split.second = program.length;
  }
  for (const jump of jumps) jump.target = program.length;
}

function emitRepeat(program: Instruction[], { inner, min, max, isGreedy }: Expression & { kind: 'repeat' }): void {
  for (let count = 0; count < min; count++) emit(program, inner);
  if (max === Infinity) {
    const start = program.length;
    const leave = emitChoice(program, isGreedy);
    emit(program, inner);
    program.push({ kind: 'jump', target: start });
    leave(program.length);
    return;
  }
  const leaves: ((target: number) => void)[] = [];
  for (let count = min; count < max; count++) {
    leaves.push(emitChoice(program, isGreedy));
    emit(program, inner);
  }
  for (const leave of leaves) leave(program.length);
}

/** A choice between going on right here and leaving to a place that is told later. */
function emitChoice(program: Instruction[], isGreedy: boolean): (target: number) => void {
  const here = program.length + 1;
  const split = { kind: 'split' as const, first: here, second: here };
  program.push(split);
  return (target) => {
    if (isGreedy) split.second = target;
    else split.first = target;
  };
}

interface Run {
  readonly program: readonly Instruction[];
  readonly groupCount: number;
  readonly characters: readonly string[];
  readonly budget: Budget;
}

interface Thread {
  readonly at: number;
  readonly slots: Positions;
}

const THREADS_PER_STEP = 8;

function run(context: Run, from: number): Positions | undefined {
  const { characters, budget } = context;
  let threads: readonly Thread[] = [];
  let found: Positions | undefined;
  const none: Positions = Array.from({ length: (context.groupCount + 1) * 2 }, () => -1);
  for (let position = from; position <= characters.length; position++) {
    const step: Step = { position, seen: new Set<number>(), ready: [] };
    for (const thread of threads) follow(context, thread, step);
    if (found === undefined) follow(context, { at: 0, slots: none }, step);
    budget.spend(1 + Math.floor(step.seen.size / THREADS_PER_STEP));
    const moved = advance(context, step);
    threads = moved.threads;
    found = moved.found ?? found;
    if (found !== undefined && threads.length === 0) break;
  }
  return found;
}

/** Moves every thread over one character; one that matches ends all that are less preferred. */
function advance(
  { program, characters }: Run,
  { position, ready }: Step,
): { threads: Thread[]; found: Positions | undefined } {
  const threads: Thread[] = [];
  const character = characters[position];
  for (const { at, slots } of ready) {
    const instruction = program[at];
    if (instruction?.kind === 'match') return { threads, found: slots };
    if (character !== undefined && instruction?.kind === 'set' && instruction.has(character))
      threads.push({ at: at + 1, slots });
  }
  return { threads, found: undefined };
}

interface Step {
  readonly position: number;
  readonly seen: Set<number>;
  readonly ready: Thread[];
}

/** Follows everything that needs no character, in order of preference. */
function follow({ program, characters }: Run, start: Thread, { position, seen, ready }: Step): void {
  const waiting: Thread[] = [start];
  for (let thread = waiting.pop(); thread !== undefined; thread = waiting.pop()) {
    const { at, slots } = thread;
    const instruction = program[at];
    if (instruction === undefined || seen.has(at)) continue;
    seen.add(at);
    switch (instruction.kind) {
      case 'jump':
        waiting.push({ at: instruction.target, slots });
        break;
      case 'split':
        waiting.push({ at: instruction.second, slots }, { at: instruction.first, slots });
        break;
      case 'save':
        waiting.push({ at: at + 1, slots: slots.with(instruction.slot, position) });
        break;
      case 'assertion':
        if (holds(instruction.assertion, characters, position)) waiting.push({ at: at + 1, slots });
        break;
      case 'set':
      case 'match':
        ready.push(thread);
        break;
    }
  }
}

const ASSERTIONS: Readonly<Record<Assertion, (before: string | undefined, after: string | undefined) => boolean>> = {
  textStart: (before) => before === undefined,
  textEnd: (_before, after) => after === undefined,
  lineStart: (before) => before === undefined || before === '\n',
  lineEnd: (_before, after) => after === undefined || after === '\n',
  wordBoundary: (before, after) => isWord(before) !== isWord(after),
  noWordBoundary: (before, after) => isWord(before) === isWord(after),
};

function holds(assertion: Assertion, characters: readonly string[], position: number): boolean {
  return ASSERTIONS[assertion](characters[position - 1], characters[position]);
}

function isWord(character: string | undefined): boolean {
  return character !== undefined && /^[0-9A-Za-z_]$/.test(character);
}
