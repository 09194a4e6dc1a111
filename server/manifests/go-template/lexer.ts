/**
 * Cuts a template into tokens, by the rules of Go's text/template: text, comments, `{{`, `}}`, trim markers, and the
 * words inside an action. Spaces inside an action are tokens, because they separate arguments.
 */
type TokenKind =
  | 'text'
  | 'open'
  | 'close'
  | 'space'
  | 'word'
  | 'field'
  | 'variable'
  | 'dot'
  | 'number'
  | 'character'
  | 'string'
  | 'declare'
  | 'assign'
  | 'pipe'
  | 'paren'
  | 'symbol'
  | 'error'
  | 'end';

export interface Token {
  readonly kind: TokenKind;
  /** As written; for `error` the sentence that says what is wrong. */
  readonly text: string;
  readonly at: number;
}

const SPACES = /^[ \t\r\n]+/;
const WORD = /^[\p{L}\p{Nd}_]+/u;
/** What may follow a word; anything else is a typing mistake such as `.a/b`. */
const TERMINATOR = /^(?:[ \t\r\n.,|:)(]|-?\}\}|$)/;

export class Lexer {
  readonly #source: string;
  #at = 0;
  #isInAction = false;
  #parenthesesOpen = 0;

  constructor(source: string) {
    this.#source = source;
  }

  /** The next token. After `error` and `end` there is no other. */
  next(): Token {
    for (;;) {
      const token = this.#isInAction ? this.#insideAction() : this.#outsideAction();
      if (token !== undefined) return token;
    }
  }

  #outsideAction(): Token | undefined {
    const start = this.#at;
    if (start >= this.#source.length) return { kind: 'end', text: '', at: start };
    const open = this.#source.indexOf('{{', start);
    if (open < 0) {
      this.#at = this.#source.length;
      return { kind: 'text', text: this.#source.slice(start), at: start };
    }
    if (open > start) {
      const text = this.#source.slice(start, open);
      this.#at = open;
      const kept = /^\{\{-[ \t\r\n]/.test(this.#source.slice(open, open + 4)) ? text.replace(/[ \t\r\n]+$/, '') : text;
      return kept === '' ? undefined : { kind: 'text', text: kept, at: start };
    }
    return this.#openAction();
  }

  #openAction(): Token | undefined {
    const start = this.#at;
    this.#at += 2;
    const marker = /^-[ \t\r\n]/.test(this.#source.slice(this.#at, this.#at + 2)) ? 2 : 0;
    if (this.#source.startsWith('/*', this.#at + marker)) return this.#skipComment(this.#at + marker);
    this.#at += marker;
    this.#isInAction = true;
    this.#parenthesesOpen = 0;
    return { kind: 'open', text: '{{', at: start };
  }

  #skipComment(start: number): Token | undefined {
    const end = this.#source.indexOf('*/', start + 2);
    if (end < 0) return this.#fail(start, 'unclosed comment');
    this.#at = end + 2;
    const close = this.#closeHere();
    if (close === undefined) return this.#fail(this.#at, 'comment ends before closing delimiter');
    this.#at += close;
    return undefined;
  }

  /** Length of `}}` or ` -}}` here, with the space that the marker trims; undefined if none is here. */
  #closeHere(): number | undefined {
    const rest = this.#source.slice(this.#at, this.#at + 4);
    if (rest.startsWith('}}')) return 2;
    if (!/^[ \t\r\n]-\}\}/.test(rest)) return undefined;
    return 4 + (SPACES.exec(this.#source.slice(this.#at + 4))?.[0].length ?? 0);
  }

  #insideAction(): Token {
    const start = this.#at;
    const close = this.#closeHere();
    if (close !== undefined) {
      if (this.#parenthesesOpen > 0) return this.#fail(start, 'unclosed left paren');
      this.#at += close;
      this.#isInAction = false;
      return { kind: 'close', text: '}}', at: start };
    }
    const character = this.#source.slice(start, start + 2).at(0);
    if (character === undefined) return this.#fail(start, 'unclosed action');
    const rest = this.#source.slice(start);
    const spaces = SPACES.exec(rest);
    if (spaces !== null) return this.#spaces(spaces[0]);
    return this.#quoted(character) ?? this.#sign(character) ?? this.#wordLike(character, rest);
  }

  #spaces(spaces: string): Token {
    // The last space belongs to a ` -}}` that follows it.
    const last = this.#at + spaces.length - 1;
    const length = spaces.length > 1 && this.#source.startsWith('-}}', last + 1) ? spaces.length - 1 : spaces.length;
    return this.#take('space', length);
  }

  #sign(character: string): Token | undefined {
    switch (character) {
      case '=':
        return this.#take('assign', 1);
      case '|':
        return this.#take('pipe', 1);
      case ':':
        return this.#source[this.#at + 1] === '=' ? this.#take('declare', 2) : this.#fail(this.#at, 'expected :=');
      case '(':
        this.#parenthesesOpen++;
        return this.#take('paren', 1);
      case ')':
        this.#parenthesesOpen--;
        return this.#parenthesesOpen < 0 ? this.#fail(this.#at, 'unexpected right paren') : this.#take('paren', 1);
      default:
        return undefined;
    }
  }

  #quoted(character: string): Token | undefined {
    if (character === '`') {
      const end = this.#source.indexOf('`', this.#at + 1);
      if (end < 0) return this.#fail(this.#at, 'unterminated raw quoted string');
      return this.#take('string', end + 1 - this.#at);
    }
    if (character !== '"' && character !== "'") return undefined;
    for (let at = this.#at + 1; at < this.#source.length && this.#source[at] !== '\n'; at++) {
      if (this.#source[at] === character)
        return this.#take(character === '"' ? 'string' : 'character', at + 1 - this.#at);
      if (this.#source[at] === '\\') at++;
      if (this.#source[at] === '\n') break;
    }
    return this.#fail(this.#at, `unterminated ${character === '"' ? 'quoted string' : 'character constant'}`);
  }

  #wordLike(character: string, rest: string): Token {
    if (character === '$') return this.#name('variable', 1);
    if (character === '.' && !/^\.[0-9]/.test(rest)) return this.#name('field', 1);
    if (/^[0-9+\-.]/.test(character)) return this.#number(rest);
    if (WORD.test(rest)) return this.#name('word', 0);
    if (/^[\x20-\x7e]/.test(character)) return this.#take('symbol', 1);
    return this.#fail(this.#at, `unrecognized character in action: ${describeCharacter(rest)}`);
  }

  #name(kind: 'variable' | 'field' | 'word', prefix: number): Token {
    const word = WORD.exec(this.#source.slice(this.#at + prefix))?.[0] ?? '';
    const end = this.#at + prefix + word.length;
    const after = this.#source.slice(end, end + 3);
    if (!TERMINATOR.test(after) || after.startsWith('-')) {
      return this.#fail(end, `bad character ${describeCharacter(after)}`);
    }
    return this.#take(kind === 'field' && word === '' ? 'dot' : kind, prefix + word.length);
  }

  #number(rest: string): Token {
    const text = scanNumber(rest);
    const after = rest.slice(text.length);
    if (/^[\p{L}\p{Nd}_]/u.test(after)) {
      const bad = text + (after[0] ?? '');
      return this.#fail(this.#at, `bad number syntax: "${bad}"`);
    }
    if (/^[+-]/.test(after)) return this.#fail(this.#at, `bad number syntax: "${text}${scanNumber(after)}"`);
    return this.#take('number', text.length);
  }

  #take(kind: TokenKind, length: number): Token {
    const at = this.#at;
    this.#at += length;
    return { kind, text: this.#source.slice(at, this.#at), at };
  }

  #fail(at: number, text: string): Token {
    this.#at = this.#source.length;
    this.#isInAction = false;
    return { kind: 'error', text, at };
  }
}

/** The longest beginning that looks like a number; whether it is one is decided later. */
function scanNumber(text: string): string {
  const pattern =
    /^[+-]?(?:0[xX][0-9a-fA-F_]*\.?[0-9a-fA-F_]*(?:[pP][+-]?[0-9_]*)?|0[oO][0-7_]*\.?[0-7_]*|0[bB][01_]*\.?[01_]*|[0-9_]*\.?[0-9_]*(?:[eE][+-]?[0-9_]*)?)i?/;
  return pattern.exec(text)?.[0] ?? '';
}

function describeCharacter(text: string): string {
  const code = text.codePointAt(0);
  if (code === undefined) return 'U+FFFFFFFFFFFFFFFF';
  const shown = /^[\p{L}\p{M}\p{N}\p{P}\p{S} ]/u.test(text) ? ` '${String.fromCodePoint(code)}'` : '';
  return `U+${code.toString(16).toUpperCase().padStart(4, '0')}${shown}`;
}
