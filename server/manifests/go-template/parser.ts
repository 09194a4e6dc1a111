import { fromBytes } from './go-value.ts';
import type { Token } from './lexer.ts';
import type { Command, Operand, Pipe, Statement } from './nodes.ts';
import { expressionText } from './nodes.ts';
import { characterConstant, numberConstant } from './number-constant.ts';
import { quoteGo, unquoteGo } from './quote.ts';
import { nearestName, templateError } from './template-error.ts';
import { TokenStream } from './token-stream.ts';

/** A template that parsed: its own statements and everything that it defines, by name. */
export interface ParsedTemplate {
  readonly name: string;
  readonly source: string;
  readonly body: readonly Statement[];
  readonly definitions: ReadonlyMap<string, readonly Statement[]>;
}

const KEYWORDS = new Set('block break continue define else end if range template with'.split(' '));
/** Operands that are values by themselves: they take no fields and no arguments. */
const LITERALS: ReadonlySet<string> = new Set(['bool', 'dot', 'nil', 'number', 'string']);
const MAX_NESTING = 200;

type Ending = { readonly kind: 'end' | 'else'; readonly at: number };

/** Parses by the grammar of Go 1.26's text/template. Throws `invalid_template`. */
export class Parser {
  readonly #name: string;
  readonly #source: string;
  readonly #isFunction: (name: string) => boolean;
  readonly #functionNames: () => Iterable<string>;
  readonly #tokens: TokenStream;
  readonly #definitions = new Map<string, readonly Statement[]>();
  #variables = ['$'];
  #rangeDepth = 0;
  #nesting = 0;

  constructor(name: string, source: string, functions: { has(name: string): boolean; keys(): Iterable<string> }) {
    this.#name = name;
    this.#source = source;
    this.#isFunction = (name) => functions.has(name);
    this.#functionNames = () => functions.keys();
    this.#tokens = new TokenStream(source);
  }

  parse(): ParsedTemplate {
    const body: Statement[] = [];
    while (this.#tokens.peek().kind !== 'end') {
      const open = this.#tokens.next();
      if (open.kind === 'open') {
        const word = this.#tokens.nextWord();
        if (isWord(word, 'define')) {
          this.#definition();
          continue;
        }
        this.#tokens.putBack(word);
      }
      this.#tokens.putBack(open);
      const statement = this.#statement();
      if (isEnding(statement)) throw this.#fault(statement.at, `unexpected {{${statement.kind}}}`);
      body.push(statement);
    }
    this.#define(this.#name, body, 0);
    const own = this.#definitions.get(this.#name) ?? body;
    return { name: this.#name, source: this.#source, body: own, definitions: this.#definitions };
  }

  #definition(): void {
    const context = 'define clause';
    const token = this.#tokens.nextWord();
    const name = this.#templateName(token, context);
    this.#expectClose(context);
    this.#define(name, this.#separateBody(context), token.at);
  }

  /** A body with variables of its own: a definition sees none of those around it. */
  #separateBody(context: string): readonly Statement[] {
    const saved = { variables: this.#variables, rangeDepth: this.#rangeDepth };
    this.#variables = ['$'];
    this.#rangeDepth = 0;
    const { body, ending } = this.#list();
    if (ending.kind !== 'end') throw this.#fault(ending.at, `unexpected {{else}} in ${context}`);
    this.#variables = saved.variables;
    this.#rangeDepth = saved.rangeDepth;
    return body;
  }

  #define(name: string, body: readonly Statement[], at: number): void {
    const known = this.#definitions.get(name);
    if (known === undefined || isEmptyBody(known)) this.#definitions.set(name, body);
    else if (!isEmptyBody(body)) throw this.#fault(at, `template: multiple definition of template ${quoteGo(name)}`);
  }

  #list(): { body: Statement[]; ending: Ending } {
    if (++this.#nesting > MAX_NESTING) {
      throw this.#fault(this.#tokens.peek().at, `actions are nested deeper than ${MAX_NESTING} levels`);
    }
    const body: Statement[] = [];
    while (this.#tokens.peek().kind !== 'end') {
      const statement = this.#statement();
      if (isEnding(statement)) {
        this.#nesting--;
        return { body, ending: statement };
      }
      body.push(statement);
    }
    throw this.#fault(
      this.#tokens.peek().at,
      'unexpected EOF: an {{if}}, {{range}}, {{with}}, {{define}} or {{block}} has no {{end}}',
    );
  }

  #statement(): Statement | Ending {
    const token = this.#tokens.nextWord();
    if (token.kind === 'text') return { kind: 'text', at: token.at, text: token.text };
    if (token.kind !== 'open') throw this.#unexpected(token, 'input');
    return this.#action();
  }

  #action(): Statement | Ending {
    const token = this.#tokens.nextWord();
    if (isWord(token, 'if')) return this.#control(token, 'if');
    if (isWord(token, 'range')) return this.#control(token, 'range');
    if (isWord(token, 'with')) return this.#control(token, 'with');
    switch (token.kind === 'word' ? token.text : '') {
      case 'block':
        return this.#block(token);
      case 'break':
        return this.#leaveRange(token, 'break');
      case 'continue':
        return this.#leaveRange(token, 'continue');
      case 'else':
        return this.#else(token);
      case 'end':
        this.#expectClose('end');
        return { kind: 'end', at: token.at };
      case 'template':
        return this.#template(token);
      default:
        this.#tokens.putBack(token);
        return { kind: 'action', at: token.at, pipe: this.#pipe('command', '}}') };
    }
  }

  #leaveRange(token: Token, kind: 'break' | 'continue'): Statement {
    const close = this.#tokens.nextWord();
    if (close.kind !== 'close') throw this.#unexpected(close, `{{${kind}}}`);
    if (this.#rangeDepth === 0) throw this.#fault(token.at, `{{${kind}}} outside {{range}}`);
    return { kind, at: token.at };
  }

  #else(token: Token): Ending {
    const next = this.#tokens.nextWord();
    if (isWord(next, 'if') || isWord(next, 'with')) this.#tokens.putBack(next);
    else if (next.kind !== 'close') throw this.#unexpected(next, 'else');
    return { kind: 'else', at: token.at };
  }

  #control(token: Token, kind: 'if' | 'with' | 'range'): Statement {
    const variableCount = this.#variables.length;
    const pipe = this.#pipe(kind, '}}');
    if (kind === 'range') this.#rangeDepth++;
    const { body, ending } = this.#list();
    if (kind === 'range') this.#rangeDepth--;
    let otherwise: readonly Statement[] | undefined;
    if (ending.kind === 'else') otherwise = this.#otherwise(kind);
    this.#variables.length = variableCount;
    return { kind, at: token.at, pipe, body, otherwise };
  }

  #otherwise(kind: 'if' | 'with' | 'range'): readonly Statement[] {
    const next = this.#tokens.peek();
    if (kind !== 'range' && isWord(next, kind)) {
      if (++this.#nesting > MAX_NESTING)
        throw this.#fault(next.at, `more than ${MAX_NESTING} {{else ${kind}}} in a row`);
      const nested = this.#control(this.#tokens.next(), kind);
      this.#nesting--;
      return [nested];
    }
    const { body, ending } = this.#list();
    if (ending.kind !== 'end') throw this.#fault(ending.at, 'expected end; found {{else}}');
    return body;
  }

  #block(token: Token): Statement {
    const context = 'block clause';
    const name = this.#templateName(this.#tokens.nextWord(), context);
    const pipe = this.#pipe(context, '}}');
    this.#define(name, this.#separateBody(context), token.at);
    return { kind: 'template', at: token.at, name, pipe };
  }

  #template(token: Token): Statement {
    const context = 'template clause';
    const name = this.#templateName(this.#tokens.nextWord(), context);
    const next = this.#tokens.nextWord();
    if (next.kind === 'close') return { kind: 'template', at: token.at, name, pipe: undefined };
    this.#tokens.putBack(next);
    return { kind: 'template', at: token.at, name, pipe: this.#pipe(context, '}}') };
  }

  #templateName(token: Token, context: string): string {
    if (token.kind !== 'string') throw this.#unexpected(token, context);
    return this.#unquote(token);
  }

  #pipe(context: string, close: '}}' | ')'): Pipe {
    const at = this.#tokens.peekWord().at;
    const { variables, isAssignment } = this.#declarations(context);
    const commands: Command[] = [];
    for (;;) {
      const token = this.#tokens.nextWord();
      if ((token.kind === 'close' || token.kind === 'paren') && token.text === close) break;
      if (!startsOperand(token)) throw this.#unexpected(token, context);
      this.#tokens.putBack(token);
      commands.push(this.#command());
    }
    if (commands.length === 0) throw this.#fault(at, `missing value for ${context}`);
    const literal = commands.findIndex((command, stage) => stage > 0 && LITERALS.has(command.words[0].kind));
    const stage = commands[literal];
    if (stage !== undefined) throw this.#fault(stage.at, `non executable command in pipeline stage ${literal + 1}`);
    return { kind: 'pipe', at, variables, isAssignment, commands };
  }

  #declarations(context: string): { variables: string[]; isAssignment: boolean } {
    const variables: string[] = [];
    for (;;) {
      const variable = this.#tokens.peekWord();
      if (variable.kind !== 'variable') return { variables, isAssignment: false };
      this.#tokens.nextWord();
      const space = this.#tokens.peek().kind === 'space' ? this.#tokens.next() : undefined;
      const next = this.#tokens.next();
      if (next.kind === 'declare' || next.kind === 'assign') {
        this.#declare(variable.text, variables);
        return { variables, isAssignment: next.kind === 'assign' };
      }
      if (next.kind !== 'symbol' || next.text !== ',') {
        this.#tokens.putBack(next);
        if (space !== undefined) this.#tokens.putBack(space);
        this.#tokens.putBack(variable);
        return { variables, isAssignment: false };
      }
      this.#declare(variable.text, variables);
      this.#expectAnotherVariable(next, context, variables.length);
    }
  }

  #expectAnotherVariable(comma: Token, context: string, count: number): void {
    if (context !== 'range' || count >= 2) throw this.#fault(comma.at, `too many declarations in ${context}`);
    const after = this.#tokens.peekWord();
    if (after.kind === 'variable' || after.kind === 'close' || after.text === ')') return;
    throw this.#fault(after.at, 'range can only initialize variables');
  }

  #declare(name: string, variables: string[]): void {
    variables.push(name);
    this.#variables.push(name);
  }

  #command(): Command {
    const words: Operand[] = [];
    const at = this.#tokens.peekWord().at;
    for (;;) {
      this.#tokens.peekWord();
      const operand = this.#operand();
      if (operand !== undefined) words.push(operand);
      const token = this.#tokens.next();
      if (token.kind === 'space') continue;
      if (token.kind === 'close' || (token.kind === 'paren' && token.text === ')')) this.#tokens.putBack(token);
      else if (token.kind !== 'pipe') throw this.#unexpected(token, 'operand');
      break;
    }
    const [first, ...others] = words;
    if (first === undefined) throw this.#fault(at, 'empty command');
    return { at, words: [first, ...others] };
  }

  #operand(): Operand | undefined {
    const node = this.#term();
    if (node === undefined || this.#tokens.peek().kind !== 'field') return node;
    const names: string[] = [];
    while (this.#tokens.peek().kind === 'field') names.push(this.#tokens.next().text.slice(1));
    if (node.kind === 'field' || node.kind === 'variable') return { ...node, names: [...node.names, ...names] };
    if (LITERALS.has(node.kind)) throw this.#fault(node.at, `unexpected . after term ${quoteGo(expressionText(node))}`);
    return { kind: 'chain', at: node.at, base: node, names };
  }

  #term(): Operand | undefined {
    const token = this.#tokens.nextWord();
    const { kind, at, text } = token;
    if (kind === 'dot') return { kind, at };
    if (kind === 'field') return { kind, at, names: [text.slice(1)] };
    if (kind === 'variable') return this.#variable(token);
    if (kind === 'word' && !KEYWORDS.has(text)) return this.#word(token);
    if (kind === 'paren' && text === '(') return this.#parenthesised(at);
    if (kind === 'string') return { kind, at, text: this.#unquote(token), quoted: text };
    if (kind === 'character') return characterConstant(text, at, this.#unquote(token).codePointAt(0) ?? 0);
    if (kind === 'number') return this.#number(token);
    this.#tokens.putBack(token);
    return undefined;
  }

  #word({ text, at }: Token): Operand {
    if (text === 'true' || text === 'false') return { kind: 'bool', at, value: text === 'true' };
    if (text === 'nil') return { kind: 'nil', at };
    if (this.#isFunction(text)) return { kind: 'function', at, name: text };
    const meant = nearestName(text, this.#functionNames());
    const fix =
      meant === undefined
        ? 'use a function that Tinsmith has, or "." before the name of a field'
        : `did you mean ${quoteGo(meant)}?`;
    throw this.#fault(at, `function ${quoteGo(text)} not defined: ${fix}`);
  }

  #variable({ text, at }: Token): Operand {
    if (!this.#variables.includes(text)) {
      const meant = nearestName(text, this.#variables);
      throw this.#fault(
        at,
        `undefined variable ${quoteGo(text)}${meant === undefined ? '' : `: did you mean ${meant}?`}`,
      );
    }
    return { kind: 'variable', at, name: text, names: [] };
  }

  #number({ text, at }: Token): Operand {
    const number = numberConstant(text, at);
    if (typeof number !== 'string') return number;
    if (number === 'complex') throw this.#fault(at, `complex numbers are not supported: ${text}`);
    throw this.#fault(at, `${number}: ${quoteGo(text)}`);
  }

  #parenthesised(at: number): Operand {
    if (++this.#nesting > MAX_NESTING) throw this.#fault(at, 'max expression depth exceeded');
    const pipe = this.#pipe('parenthesized pipeline', ')');
    this.#nesting--;
    return pipe;
  }

  #unquote(token: Token): string {
    const text = unquoteGo(token.text, fromBytes);
    if (text !== undefined) return text;
    if (token.kind === 'character') throw this.#fault(token.at, `malformed character constant: ${token.text}`);
    throw this.#fault(token.at, `invalid syntax: ${token.text} is no string as Go writes it; use backquotes for \\`);
  }

  #expectClose(context: string): void {
    const token = this.#tokens.nextWord();
    if (token.kind !== 'close') throw this.#unexpected(token, context);
  }

  #unexpected(token: Token, context: string): Error {
    if (token.kind === 'error') return this.#fault(token.at, token.text);
    return this.#fault(token.at, `unexpected ${tokenText(token)} in ${context}`);
  }

  #fault(offset: number, message: string): Error {
    return templateError({ name: this.#name, source: this.#source, offset }, message);
  }
}

function tokenText({ kind, text }: Token): string {
  if (kind === 'end') return 'EOF';
  if (kind === 'dot' || (kind === 'word' && text === 'nil')) return `<${text}>`;
  if (kind === 'word' && KEYWORDS.has(text)) return `<${text}>`;
  const characters = Array.from(text);
  return characters.length > 10 ? `${quoteGo(characters.slice(0, 10).join(''))}...` : quoteGo(text);
}

function startsOperand(token: Token): boolean {
  if (token.kind === 'word') return !KEYWORDS.has(token.text);
  if (token.kind === 'paren') return token.text === '(';
  return ['field', 'variable', 'dot', 'number', 'character', 'string'].includes(token.kind);
}

function isWord(token: Token, text: string): boolean {
  return token.kind === 'word' && token.text === text;
}

function isEnding(statement: Statement | Ending): statement is Ending {
  return statement.kind === 'end' || statement.kind === 'else';
}

/** A body of nothing but space may be defined again, as in Go. */
function isEmptyBody(body: readonly Statement[]): boolean {
  return body.every((statement) => statement.kind === 'text' && statement.text.trim() === '');
}
