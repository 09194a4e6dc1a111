import type { Terminal } from './terminal.ts';

/** Lines at the bottom of a terminal that are drawn again and again, while other lines scroll away above them. */
export class LiveBlock {
  readonly #out: Terminal;
  #drawn: readonly string[] = [];

  constructor(out: Terminal) {
    this.#out = out;
  }

  /** Replaces the block. Lines must fit into the terminal's width. */
  draw(lines: readonly string[]): void {
    if (lines.length === this.#drawn.length && lines.every((line, index) => line === this.#drawn[index])) return;
    this.#out.raw(this.#erased() + lines.map((line) => `${line}\n`).join(''));
    this.#drawn = lines;
  }

  /** Prints a line above the block. */
  print(line: string): void {
    this.#out.raw(`${this.#erased()}${line}\n${this.#drawn.map((below) => `${below}\n`).join('')}`);
  }

  /** Cursor up to the block's first line, then erase to the end of the screen (ECMA-48 CUU, ED). */
  #erased(): string {
    return this.#drawn.length === 0 ? '' : `\u001b[${this.#drawn.length}A\u001b[0J`;
  }
}
