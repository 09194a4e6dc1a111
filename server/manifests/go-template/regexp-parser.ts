/**
 * Parses regular expressions in the syntax of RE2 (https://github.com/google/re2/wiki/Syntax), which Go uses. There are
 * no back references and no looking around, which is why matching takes linear time (regexp-machine.ts).
 */
import { type CharacterSet, foldCase, parseClass, parseEscapedClass, singleCharacter } from './regexp-class.ts';
import { functionFault } from './template-error.ts';

export type Assertion = 'textStart' | 'textEnd' | 'lineStart' | 'lineEnd' | 'wordBoundary' | 'noWordBoundary';

export type Expression =
  | { readonly kind: 'empty' }
  | { readonly kind: 'set'; readonly has: CharacterSet }
  | { readonly kind: 'assertion'; readonly assertion: Assertion }
  | { readonly kind: 'sequence' | 'alternatives'; readonly parts: readonly Expression[] }
  | { readonly kind: 'group'; readonly index: number; readonly inner: Expression }
  | {
      readonly kind: 'repeat';
      readonly inner: Expression;
      readonly min: number;
      readonly max: number;
      readonly isGreedy: boolean;
    };

interface ParsedExpression {
  readonly expression: Expression;
  readonly groupCount: number;
  /** Index of each named group. */
  readonly names: ReadonlyMap<string, number>;
}

interface Flags {
  readonly isFolding: boolean;
  readonly isMultiline: boolean;
  readonly isDotAll: boolean;
  readonly isLazy: boolean;
}

const MAX_PATTERN = 10_000;
const MAX_DEPTH = 100;
const MAX_REPEAT = 1000;

export function parseExpression(pattern: string): ParsedExpression {
  if (pattern.length > MAX_PATTERN)
    throw functionFault(`a regular expression is longer than ${MAX_PATTERN} characters`);
  return new ExpressionParser(pattern).parse();
}

function patternFault(reason: string, fragment: string): Error {
  return functionFault(`error parsing regexp: ${reason}: \`${fragment}\``);
}

class ExpressionParser {
  readonly #pattern: string;
  readonly #names = new Map<string, number>();
  #at = 0;
  #groups = 0;
  #depth = 0;
  #flags: Flags = { isFolding: false, isMultiline: false, isDotAll: false, isLazy: false };

  constructor(pattern: string) {
    this.#pattern = pattern;
  }

  parse(): ParsedExpression {
    const expression = this.#alternatives();
    if (this.#at < this.#pattern.length) throw patternFault('unexpected )', this.#pattern);
    return { expression, groupCount: this.#groups, names: this.#names };
  }

  #alternatives(): Expression {
    if (++this.#depth > MAX_DEPTH) throw patternFault('expression nests too deeply', this.#pattern.slice(0, 40));
    const flags = this.#flags;
    const parts = [this.#sequence()];
    while (this.#take('|')) parts.push(this.#sequence());
    this.#flags = flags;
    this.#depth--;
    return parts.length === 1 && parts[0] !== undefined ? parts[0] : { kind: 'alternatives', parts };
  }

  #sequence(): Expression {
    const parts: Expression[] = [];
    while (this.#at < this.#pattern.length && !this.#sees('|') && !this.#sees(')')) {
      if (this.#take('\\Q')) {
        parts.push(...this.#quoted());
        continue;
      }
      const atom = this.#atom();
      if (atom !== undefined) parts.push(this.#repeated(atom));
    }
    return { kind: 'sequence', parts };
  }

  #quoted(): Expression[] {
    const end = this.#pattern.indexOf('\\E', this.#at);
    const text = this.#pattern.slice(this.#at, end < 0 ? undefined : end);
    this.#at = end < 0 ? this.#pattern.length : end + 2;
    return Array.from(text, (character) => this.#literal(character));
  }

  #atom(): Expression | undefined {
    const start = this.#at;
    const character = String.fromCodePoint(this.#pattern.codePointAt(start) ?? 0);
    switch (character) {
      case '(':
        return this.#group();
      case '[': {
        const { set, end } = parseClass(this.#pattern, start);
        this.#at = end;
        return this.#set(set);
      }
      case '\\':
        return this.#escape();
      case '*':
      case '+':
      case '?':
        throw patternFault('missing argument to repetition operator', character);
      default:
        this.#at += character.length;
        return this.#plain(character);
    }
  }

  #plain(character: string): Expression {
    const { isMultiline, isDotAll } = this.#flags;
    if (character === '.') return { kind: 'set', has: isDotAll ? () => true : (one) => one !== '\n' };
    if (character === '^') return { kind: 'assertion', assertion: isMultiline ? 'lineStart' : 'textStart' };
    if (character === '$') return { kind: 'assertion', assertion: isMultiline ? 'lineEnd' : 'textEnd' };
    return this.#literal(character);
  }

  #escape(): Expression {
    const rest = this.#pattern.slice(this.#at, this.#at + 2);
    const assertions: Readonly<Record<string, Assertion>> = {
      '\\A': 'textStart',
      '\\z': 'textEnd',
      '\\b': 'wordBoundary',
      '\\B': 'noWordBoundary',
    };
    const assertion = assertions[rest];
    if (assertion !== undefined) {
      this.#at += 2;
      return { kind: 'assertion', assertion };
    }
    const { set, end } = parseEscapedClass(this.#pattern, this.#at) ?? singleCharacter(this.#pattern, this.#at);
    this.#at = end;
    return this.#set(set);
  }

  /** A group, or nothing for flags that hold from here on. */
  #group(): Expression | undefined {
    const start = this.#at;
    this.#at++;
    if (!this.#sees('?')) return this.#captured();
    const named = /^\?P?<([A-Za-z0-9_]+)>/.exec(this.#pattern.slice(this.#at));
    if (named !== null) {
      const name = named[1] ?? '';
      if (this.#names.has(name)) throw patternFault('duplicate capture group name', name);
      this.#names.set(name, this.#groups + 1);
      this.#at += named[0].length;
      return this.#captured();
    }
    const flags = /^\?([imsU]*)(?:-([imsU]+))?([:)])/.exec(this.#pattern.slice(this.#at));
    if (flags === null) throw patternFault('invalid or unsupported Perl syntax', this.#pattern.slice(start, start + 3));
    this.#at += flags[0].length;
    const changed = changeFlags(this.#flags, flags[1] ?? '', flags[2] ?? '');
    if (flags[3] === ')') {
      this.#flags = changed;
      return undefined;
    }
    const saved = this.#flags;
    this.#flags = changed;
    const inner = this.#alternatives();
    this.#flags = saved;
    this.#closeGroup();
    return inner;
  }

  #captured(): Expression {
    const index = ++this.#groups;
    const inner = this.#alternatives();
    this.#closeGroup();
    return { kind: 'group', index, inner };
  }

  #closeGroup(): void {
    if (!this.#take(')')) throw patternFault('missing closing )', this.#pattern);
  }

  #repeated(atom: Expression): Expression {
    let result = atom;
    let before = '';
    for (;;) {
      const operator = /^(?:[*+?]|\{([0-9]{1,5})(,?)([0-9]{0,5})\})(\??)/.exec(
        this.#pattern.slice(this.#at, this.#at + 16),
      );
      if (operator === null || (operator[2] === '' && operator[3] !== '')) return result;
      if (before !== '') throw patternFault('invalid nested repetition operator', before + operator[0]);
      before = operator[0];
      this.#at += operator[0].length;
      const { min, max } = repeatBounds(operator);
      if (min > MAX_REPEAT || (max !== Infinity && max > MAX_REPEAT) || max < min) {
        throw patternFault('invalid repeat count', operator[0]);
      }
      result = { kind: 'repeat', inner: result, min, max, isGreedy: (operator[4] === '') !== this.#flags.isLazy };
    }
  }

  #literal(character: string): Expression {
    return this.#set((one) => one === character);
  }

  #set(set: CharacterSet): Expression {
    return { kind: 'set', has: this.#flags.isFolding ? foldCase(set) : set };
  }

  #sees(text: string): boolean {
    return this.#pattern.startsWith(text, this.#at);
  }

  #take(text: string): boolean {
    if (!this.#sees(text)) return false;
    this.#at += text.length;
    return true;
  }
}

function changeFlags(flags: Flags, on: string, off: string): Flags {
  const chosen = (letter: string, now: boolean): boolean => (now || on.includes(letter)) && !off.includes(letter);
  return {
    isFolding: chosen('i', flags.isFolding),
    isMultiline: chosen('m', flags.isMultiline),
    isDotAll: chosen('s', flags.isDotAll),
    isLazy: chosen('U', flags.isLazy),
  };
}

function repeatBounds([all, low, comma, high]: RegExpExecArray): { min: number; max: number } {
  if (all.startsWith('?')) return { min: 0, max: 1 };
  if (low === undefined) return { min: all.startsWith('+') ? 1 : 0, max: Infinity };
  if (comma === '') return { min: Number(low), max: Number(low) };
  return { min: Number(low), max: high === '' ? Infinity : Number(high) };
}
