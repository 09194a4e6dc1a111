import { GoList, GoMap, GoObject, type GoValue } from './go-value.ts';
import { functionFault } from './template-error.ts';

interface Limits {
  /** Units of work: one for every node that is evaluated and for every 64 characters that a function handles. */
  readonly maxSteps: number;
  /** Milliseconds of wall time for one rendering. */
  readonly timeoutMs: number;
  /** Milliseconds from any fixed point; only differences count. */
  readonly clock: () => number;
}

export const MAX_VALUE_SIZE = 4 * 1024 * 1024;
const MAX_VALUE_DEPTH = 200;
const MAX_NESTING = 500;
const CHARACTERS_PER_STEP = 64;
const STEPS_BETWEEN_CLOCK_READS = 4096;
/** What one item of a list or map costs beside its own text. */
const ITEM_SIZE = 16;

/** What one rendering may still use. The steps make the limit the same on every machine; the clock is the second net. */
export class Budget {
  readonly #limits: Limits;
  readonly #startedAt: number;
  #steps = 0;
  #depth = 0;
  #nextClockRead = STEPS_BETWEEN_CLOCK_READS;

  constructor(limits: Limits) {
    this.#limits = limits;
    this.#startedAt = limits.clock();
  }

  /** Throws `invalid_template` when the work is used up. */
  spend(steps: number): void {
    this.#steps += steps;
    if (this.#steps > this.#limits.maxSteps) {
      throw functionFault(`the template needs more than ${this.#limits.maxSteps} steps: shorten its loops or its data`);
    }
    if (this.#steps < this.#nextClockRead) return;
    this.#nextClockRead = this.#steps + STEPS_BETWEEN_CLOCK_READS;
    if (this.#limits.clock() - this.#startedAt > this.#limits.timeoutMs) {
      throw functionFault(
        `the template renders for longer than ${this.#limits.timeoutMs} ms: shorten its loops or its data`,
      );
    }
  }

  /** Goes one level deeper into actions, templates and parentheses. */
  enter(): void {
    if (++this.#depth > MAX_NESTING) throw functionFault(`actions are nested deeper than ${MAX_NESTING} levels`);
  }

  leave(): void {
    this.#depth--;
  }

  /** Pays for making or reading text of this many characters, before it is made. */
  spendText(characters: number): void {
    if (characters > MAX_VALUE_SIZE) {
      throw functionFault(`a value would be larger than ${MAX_VALUE_SIZE} characters`);
    }
    this.spend(1 + Math.floor(characters / CHARACTERS_PER_STEP));
  }

  /** Pays for looking at the whole of these values. A value that contains itself is too large by definition. */
  spendValues(values: readonly GoValue[]): void {
    let size = 0;
    for (const value of values) size += valueSize(value, MAX_VALUE_SIZE - size, 0);
    this.spendText(size);
  }
}

function valueSize(value: GoValue, limit: number, depth: number): number {
  if (typeof value === 'string') return value.length;
  if (typeof value !== 'object' || value === null) return ITEM_SIZE;
  if (depth > MAX_VALUE_DEPTH) {
    throw functionFault(`a value is nested deeper than ${MAX_VALUE_DEPTH} levels or contains itself`);
  }
  let size = ITEM_SIZE;
  for (const item of innerValues(value)) {
    size += ITEM_SIZE + valueSize(item, limit - size, depth + 1);
    if (size > limit) throw functionFault(`a value is larger than ${MAX_VALUE_SIZE} characters`);
  }
  return size;
}

function* innerValues(value: object): Iterable<GoValue> {
  if (value instanceof GoList) yield* value.items;
  if (value instanceof GoObject) yield value.text;
  if (!(value instanceof GoMap)) return;
  for (const [key, item] of value.entries) {
    yield key;
    yield item;
  }
}
