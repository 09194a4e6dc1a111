import { Lexer, type Token } from './lexer.ts';

/** The tokens of a template in their order; the parser looks ahead by putting back what it took, the last one first. */
export class TokenStream {
  readonly #lexer: Lexer;
  readonly #waiting: Token[] = [];

  constructor(source: string) {
    this.#lexer = new Lexer(source);
  }

  next(): Token {
    return this.#waiting.pop() ?? this.#lexer.next();
  }

  putBack(token: Token): void {
    this.#waiting.push(token);
  }

  /** The next one, which stays. */
  peek(): Token {
    const token = this.next();
    this.putBack(token);
    return token;
  }

  /** The next one that is no space. */
  nextWord(): Token {
    let token = this.next();
    while (token.kind === 'space') token = this.next();
    return token;
  }

  /** The next one that is no space, which stays; the space before it is gone. */
  peekWord(): Token {
    const token = this.nextWord();
    this.putBack(token);
    return token;
  }
}
