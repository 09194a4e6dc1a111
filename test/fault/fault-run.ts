/** Rounds of faults: numbered, seeded, each with a time bound, counted by what they did. */
import { AssertionError } from 'node:assert/strict';

/** Numbers that one seed makes the same in every run. */
export interface Random {
  /** 0 ≤ x < 1. */
  fraction(): number;
  /** A whole number, `from` ≤ x < `end`. */
  between(from: number, end: number): number;
  pick<T>(from: readonly T[]): T;
  shuffled<T>(from: readonly T[]): T[];
  bytes(length: number): Buffer;
}

export interface RoundContext {
  readonly random: Random;
  /** Ends with the round's time. Whatever waits takes it. */
  readonly signal: AbortSignal;
}

/** What a round that passed has to tell. */
export interface RoundResult {
  /** Rounds with the same label are counted together. */
  readonly label: string;
  /** Numbers whose sum and largest the summary shows. */
  readonly figures?: Readonly<Record<string, number>>;
}

/** A part under way: its rounds come one after the other, and may build upon each other. */
export interface Rounds {
  /** How many there are to run; the number asked for may have been too many, or few. */
  readonly count: number;
  /** Throws what is wrong; `label` is told before, so that a failure has one, too. */
  run(round: number, context: RoundContext, label: (text: string) => void): Promise<RoundResult>;
}

export interface FaultPart {
  readonly name: string;
  readonly summary: string;
  /** Rounds of a full run. */
  readonly rounds: number;
  readonly roundMs: number;
  /** `cleanup` takes what must go at the end, also after a signal. */
  start(options: PartOptions, cleanup: AsyncDisposableStack): Promise<Rounds>;
}

export interface PartOptions {
  readonly rounds: number;
  readonly random: Random;
}

export interface PartCounts {
  readonly passed: number;
  readonly failed: number;
  /** One sentence a failed round. */
  readonly failures: readonly string[];
}

const PROGRESS_ROUNDS = 25;

/** Runs a part to its end; one failed round does not end it. */
export async function runPart(
  part: FaultPart,
  { rounds, seed, say }: { readonly rounds: number; readonly seed: number; readonly say: (line: string) => void },
): Promise<PartCounts> {
  await using cleanup = new AsyncDisposableStack();
  cleanUpOnSignals(cleanup);
  const random = randomOf(`${part.name} ${seed}`);
  const running = await part.start({ rounds, random }, cleanup);
  const table = new Table();
  const failures: string[] = [];
  for (let round = 1; round <= running.count; round++) {
    let label = '?';
    const context = { random, signal: AbortSignal.timeout(part.roundMs) };
    try {
      const named = (text: string): void => void (label = text);
      table.pass(await inTime(running.run(round, context, named), part.roundMs));
    } catch (thrown) {
      table.fail(label);
      failures.push(`${part.name} round ${round} of seed ${seed}, ${label}: ${sentenceOf(thrown)}`);
      say(`FAILED ${failures.at(-1)}`);
    }
    if (round % PROGRESS_ROUNDS === 0 && round < running.count) say(`  … ${round} of ${running.count}`);
  }
  for (const line of table.lines()) say(line);
  return { passed: running.count - failures.length, failed: failures.length, failures };
}

/** A round that ignores its signal is over all the same. */
async function inTime<T>(work: Promise<T>, roundMs: number): Promise<T> {
  const { promise, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => reject(new Error(`it did not finish within ${roundMs / 1000} s`)), roundMs + 5000);
  try {
    return await Promise.race([work, promise]);
  } finally {
    clearTimeout(timer);
  }
}

/** An interrupted run must not leave a loop device or a process behind. */
function cleanUpOnSignals(cleanup: AsyncDisposableStack): void {
  const stop = (): void => void cleanup.disposeAsync().finally(() => process.exit(130));
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, stop);
  cleanup.defer(() => {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.off(signal, stop);
  });
}

function sentenceOf(thrown: unknown): string {
  if (thrown instanceof AssertionError) return thrown.message;
  return thrown instanceof Error ? (thrown.stack ?? thrown.message) : String(thrown);
}

/** Rounds and figures by label. */
class Table {
  readonly #rows = new Map<string, { passed: number; failed: number; figures: Map<string, number[]> }>();

  pass({ label, figures = {} }: RoundResult): void {
    const row = this.#row(label);
    row.passed += 1;
    for (const [name, value] of Object.entries(figures)) {
      row.figures.set(name, [...(row.figures.get(name) ?? []), value]);
    }
  }

  fail(label: string): void {
    this.#row(label).failed += 1;
  }

  lines(): readonly string[] {
    const width = Math.max(0, ...[...this.#rows.keys()].map((label) => label.length));
    return [...this.#rows].map(([label, { passed, failed, figures }]) => {
      const shown = [...figures].map(([name, values]) => {
        const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
        return `; ${name}: mean ${mean.toFixed(1)}, most ${Math.max(...values).toFixed(1)}`;
      });
      const wrong = failed === 0 ? '' : `, ${failed} failed`;
      return `  ${label.padEnd(width)} ${String(passed).padStart(4)} passed${wrong}${shown.join('')}`;
    });
  }

  #row(label: string) {
    const row = this.#rows.get(label) ?? { passed: 0, failed: 0, figures: new Map<string, number[]>() };
    this.#rows.set(label, row);
    return row;
  }
}

/** Mulberry32: small, and good enough to choose faults by. */
export function randomOf(seed: string): Random {
  let state = 0x811c9dc5;
  for (const byte of Buffer.from(seed)) state = Math.imul(state ^ byte, 0x0100_0193) >>> 0;
  const fraction = (): number => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
  const between = (from: number, end: number): number => from + Math.floor(fraction() * (end - from));
  const shuffled = <T>(from: readonly T[]): T[] =>
    from
      .map((value) => ({ value, key: fraction() }))
      .toSorted((a, b) => a.key - b.key)
      .map(({ value }) => value);
  return {
    fraction,
    between,
    shuffled,
    pick: (from) => {
      const chosen = from[between(0, from.length)];
      if (chosen === undefined) throw new Error('there is nothing to pick from');
      return chosen;
    },
    bytes: (length) => Buffer.from(new Uint8Array(length).map(() => between(0, 256))),
  };
}
