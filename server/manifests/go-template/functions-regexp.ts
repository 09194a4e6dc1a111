import type { Budget } from './budget.ts';
import { type Arguments, deep, type FunctionTable, type ParameterType } from './go-function.ts';
import { type GoValue, stringList } from './go-value.ts';
import { type CompiledExpression, compileExpression, type Positions } from './regexp-machine.ts';

const ONE: readonly ParameterType[] = ['string', 'string'];
const COUNTED: readonly ParameterType[] = ['string', 'string', 'int'];
const REPLACING: readonly ParameterType[] = ['string', 'string', 'string'];

const find = regexp(ONE, (search) => {
  const found = search.find(0);
  return found === undefined ? '' : search.text(found[0], found[1]);
});
const findAll = regexp(COUNTED, (search, given) => {
  const found = search.findAll(given.int(2)).map((match) => search.text(match[0], match[1]));
  return stringList(found, found.length === 0);
});
const matches = regexp(ONE, (search) => search.find(0) !== undefined);
const replaceAll = regexp(REPLACING, (search, given) =>
  search.replace((match) => search.expand(given.string(2), match)),
);
const replaceLiteral = regexp(REPLACING, (search, given) => search.replace(() => given.string(2)));
const split = regexp(COUNTED, (search, given) => search.split(given.int(2)));

/** Sprig's functions with regular expressions, in RE2's syntax. */
export const REGEXP_FUNCTIONS: FunctionTable = {
  regexMatch: deep(ONE, (given, budget) => {
    try {
      compileExpression(given.string(0));
    } catch {
      // Sprig answers false for an expression that does not parse; mustRegexMatch reports it.
      return false;
    }
    return matches.call(given, budget);
  }),
  mustRegexMatch: matches,
  regexFind: find,
  mustRegexFind: find,
  regexFindAll: findAll,
  mustRegexFindAll: findAll,
  regexReplaceAll: replaceAll,
  mustRegexReplaceAll: replaceAll,
  regexReplaceAllLiteral: replaceLiteral,
  mustRegexReplaceAllLiteral: replaceLiteral,
  regexSplit: split,
  mustRegexSplit: split,
  regexQuoteMeta: deep(['string'], (given) => given.string(0).replace(/[\\.+*?()|[\]{}^$]/g, String.raw`\$&`)),
};

function regexp(parameters: readonly ParameterType[], call: (search: Search, given: Arguments) => GoValue) {
  return deep(parameters, (given, budget) => call(new Search(given.string(0), given.string(1), budget), given));
}

/** One expression applied to one text. */
class Search {
  readonly #expression: CompiledExpression;
  readonly #isEmptyPattern: boolean;
  readonly #characters: readonly string[];
  readonly #budget: Budget;

  constructor(pattern: string, text: string, budget: Budget) {
    this.#expression = compileExpression(pattern);
    this.#isEmptyPattern = pattern === '';
    this.#characters = Array.from(text);
    this.#budget = budget;
  }

  find(from: number): Positions | undefined {
    return this.#expression.find(this.#characters, from, this.#budget);
  }

  text(start = -1, end = -1): string {
    return start < 0 ? '' : this.#characters.slice(start, end).join('');
  }

  /** Matches that do not overlap; an empty one right after another match does not count. A negative limit is none. */
  findAll(limit: number): Positions[] {
    const all: Positions[] = [];
    let before = -1;
    for (let at = 0; at <= this.#characters.length; ) {
      if (limit >= 0 && all.length >= limit) break;
      const match = this.find(at);
      if (match === undefined) break;
      const [start = 0, end = 0] = match;
      if (end !== at || start !== before) all.push(match);
      at = end === at ? at + 1 : end;
      before = end;
    }
    return all;
  }

  replace(replacement: (match: Positions) => string): string {
    let result = '';
    let last = 0;
    for (let at = 0; at <= this.#characters.length; ) {
      const match = this.find(at);
      if (match === undefined) break;
      const [start = 0, end = 0] = match;
      result += this.text(last, start);
      if (end > last || start === 0) result += replacement(match);
      this.#budget.spendText(result.length);
      last = end;
      at = Math.max(at + 1, end);
    }
    return result + this.text(last, this.#characters.length);
  }

  /** Puts groups in the place of `$1`, `${1}`, `$name`, `${name}`; `$$` is a dollar sign. */
  expand(template: string, match: Positions): string {
    return template.replace(
      /\$(?:\$|\{([\p{L}\p{Nd}_]+)\}|([\p{L}\p{Nd}_]+))/gu,
      (all, braced?: string, bare?: string) => {
        if (all === '$$') return '$';
        const name = braced ?? bare ?? '';
        const index = /^[0-9]+$/.test(name) ? Number(name) : (this.#expression.names.get(name) ?? -1);
        return index < 0 ? '' : this.text(match[index * 2], match[index * 2 + 1]);
      },
    );
  }

  split(limit: number): GoValue {
    if (limit === 0) return stringList([], true);
    if (!this.#isEmptyPattern && this.#characters.length === 0) return stringList(['']);
    const parts: string[] = [];
    let [begin, end] = [0, 0];
    for (const [matchStart = 0, matchEnd = 0] of this.findAll(limit)) {
      if (limit > 0 && parts.length === limit - 1) break;
      end = matchStart;
      if (matchEnd !== 0) parts.push(this.text(begin, end));
      begin = matchEnd;
    }
    if (end !== this.#characters.length) parts.push(this.text(begin, this.#characters.length));
    return stringList(parts);
  }
}
