import type { Problem } from '#proto/errors.ts';
import { withoutUrlSecrets } from '#proto/url-secrets.ts';

/** A place in an input, 1-based; line 0 is the whole file. */
export interface Position {
  readonly file: string;
  readonly line: number;
  readonly column: number;
}

/** More faults than this in one input are counted, not listed: nobody reads them, and hostile input makes millions. */
const MOST_LISTED = 500;
const LONGEST_SHOWN = 80;

/** What was found wrong (`problems`) and worth a look (`warnings`) while an input was read. */
export class Findings {
  readonly #problems: Problem[] = [];
  readonly #warnings: Problem[] = [];
  readonly #listed = new Set<string>();
  #problemCount = 0;
  #unlisted = 0;

  /** Grows with every refusal: a reader that sees it unchanged has refused nothing. */
  get problemCount(): number {
    return this.#problemCount;
  }

  get problems(): readonly Problem[] {
    const last = this.#problems.at(-1);
    if (last === undefined || this.#unlisted === 0) return this.#problems;
    const message = `and ${this.#unlisted} more problems: fix these first`;
    const more = { file: last.file, line: 0, column: 0, message };
    return [...this.#problems, more];
  }

  get warnings(): readonly Problem[] {
    return this.#warnings;
  }

  /** `value` is the offending text as written; leave it out where it may be a secret. The same fault is listed once. */
  refuse(at: Position, message: string, value?: string): void {
    this.#problemCount++;
    const key = `${at.file}:${at.line}:${at.column}:${message}`;
    if (this.#listed.has(key)) return;
    if (this.#problems.length >= MOST_LISTED) this.#unlisted++;
    else {
      this.#listed.add(key);
      this.#problems.push(toProblem(at, message, value));
    }
  }

  warn(at: Position, message: string, value?: string): void {
    if (this.#warnings.length < MOST_LISTED) this.#warnings.push(toProblem(at, message, value));
  }
}

/** A value as it may stand in a sentence: quoted, on one line, cut short. */
export function shown(value: string): string {
  return JSON.stringify(cut(value));
}

/** A list as it may stand in a sentence: `a, b, c and 12 more`. */
export function listed(items: readonly string[], most = 10): string {
  if (items.length <= most) return items.join(', ');
  return `${items.slice(0, most).join(', ')} and ${items.length - most} more`;
}

function toProblem(at: Position, message: string, value: string | undefined): Problem {
  const { file, line, column } = at;
  return { file, line, column, message, ...(value === undefined ? {} : { value: cut(value) }) };
}

/** A text cut short for a sentence, without the secret parts of URLs. */
export function cut(text: string): string {
  const value = withoutUrlSecrets(text);
  return value.length <= LONGEST_SHOWN ? value : `${value.slice(0, LONGEST_SHOWN)}…`;
}
