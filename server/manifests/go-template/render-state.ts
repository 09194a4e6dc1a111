import { TinsmithError } from '#proto/errors.ts';
import type { Budget } from './budget.ts';
import type { GoFunction } from './go-function.ts';
import { byteLength, type GoValue } from './go-value.ts';
import type { Command, Operand } from './nodes.ts';
import { expressionText } from './nodes.ts';
import type { ParsedTemplate } from './parser.ts';
import { quoteGo } from './quote.ts';
import { functionFault, templateError } from './template-error.ts';

export type MissingKey = 'error' | 'zero' | 'default';

/** What stays the same while one template renders. */
export interface Rendering {
  readonly template: ParsedTemplate;
  readonly functions: ReadonlyMap<string, GoFunction>;
  readonly missingKey: MissingKey;
  readonly budget: Budget;
  readonly output: Output;
}

/** The state of one template body: its variables, and where it is, for the sentence of an error. */
export class RenderState {
  readonly rendering: Rendering;
  readonly name: string;
  readonly depth: number;
  readonly #variables: { readonly name: string; value: GoValue }[];
  #at: { readonly offset: number; readonly text: () => string } = { offset: 0, text: () => '' };

  constructor(rendering: Rendering, name: string, depth: number, dot: GoValue) {
    this.rendering = rendering;
    this.name = name;
    this.depth = depth;
    this.#variables = [{ name: '$', value: dot }];
  }

  get budget(): Budget {
    return this.rendering.budget;
  }

  /** Notes what is evaluated now, and pays one step for it. */
  at(node: Operand | Command): void {
    this.atText(node.at, () => expressionText(node));
  }

  atText(offset: number, text: () => string): void {
    this.#at = { offset, text };
    this.guard(() => this.budget.spend(1));
  }

  /** Refuses the template here. */
  fail(message: string, cause?: unknown): never {
    const { name, source } = this.rendering.template;
    const context = this.#at.text();
    const shown = context.length > 200 ? `${context.slice(0, 200)}…` : context;
    throw templateError(
      { name, source, offset: this.#at.offset },
      `executing ${quoteGo(this.name)} at <${shown}>: ${message}`,
      cause,
    );
  }

  /** Runs something that does not know its place in the template, and adds that to its faults. */
  guard<T>(run: () => T, prefix = ''): T {
    try {
      return run();
    } catch (thrown) {
      if (thrown instanceof TinsmithError && thrown.code === 'invalid_template' && thrown.problems.length === 0) {
        this.fail(prefix + thrown.message, thrown);
      }
      throw thrown;
    }
  }

  /** Runs one level deeper; the depth is bounded, so that no template can use up the stack. */
  nested<T>(run: () => T): T {
    this.guard(() => this.budget.enter());
    try {
      return run();
    } finally {
      this.budget.leave();
    }
  }

  mark(): number {
    return this.#variables.length;
  }

  /** Forgets the variables declared since `mark`. */
  release(mark: number): void {
    this.#variables.length = mark;
  }

  declare(name: string, value: GoValue): void {
    this.#variables.push({ name, value });
  }

  assign(name: string, value: GoValue): void {
    const variable = this.#variables.findLast((known) => known.name === name);
    if (variable === undefined) this.fail(`undefined variable: ${name}`);
    variable.value = value;
  }

  /** Sets the n-th newest variable, which is how `range` gives its variables a value. */
  setNewest(n: number, value: GoValue): void {
    const variable = this.#variables.at(-n);
    if (variable !== undefined) variable.value = value;
  }

  variable(name: string): GoValue {
    const variable = this.#variables.findLast((known) => known.name === name);
    if (variable === undefined) this.fail(`undefined variable: ${name}`);
    return variable.value;
  }
}

/** The text rendered so far. */
export class Output {
  readonly #maxBytes: number;
  readonly #parts: string[] = [];
  #bytes = 0;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  write(text: string): void {
    this.#bytes += byteLength(text);
    if (this.#bytes > this.#maxBytes) {
      throw functionFault(`the output is larger than ${this.#maxBytes} bytes: render less`);
    }
    this.#parts.push(text);
  }

  text(): string {
    return this.#parts.join('').toWellFormed();
  }
}
