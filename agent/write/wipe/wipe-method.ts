import type { WipeMethodName } from '#proto/actions/wipe.ts';
import { TinsmithError } from '#proto/errors.ts';
import type { PartitionTable } from '#transfer/partition-table.ts';
import type { EraseAbilities, Machine } from '../../machine/machine.ts';

/** One disk that is being wiped, and what goes on around it. */
export interface WipeTarget {
  readonly machine: Machine;
  readonly device: string;
  readonly abilities: EraseAbilities;
  readonly sizeBytes: number;
  readonly signal: AbortSignal;
  readonly log: (text: string) => void;
  /** 0 to 1. */
  readonly progress: (share: number) => void;
}

/** What was seen of a disk before anything of it was touched. */
export interface WipePlan {
  /** Its partitions, for what works on those. */
  readonly table: PartitionTable | undefined;
}

/** A way to erase. It says itself whether the disk has it; what it did is proven by reading, not by its word. */
export interface WipeMethod {
  readonly name: WipeMethodName;
  /** What has to be read afterwards: zeros, or anything but what was there (a new key makes noise of the old data). */
  readonly leaves: 'zeros' | 'noise' | 'data';
  /** Why it cannot be used on this disk; undefined: it can. */
  readonly fault: (target: WipeTarget) => Promise<string | undefined>;
  /** Nobody holds the disk open meanwhile. Throws TinsmithError when the disk or a program refuses. */
  readonly erase: (target: WipeTarget, plan: WipePlan) => Promise<void>;
}

/** What a program said, standard output and errors together. */
export interface Said {
  readonly exitCode: number;
  readonly text: string;
}

/** Runs a program and keeps all that it says; short programs only. */
export async function ask({ machine, signal }: WipeTarget, argv: readonly string[]): Promise<Said> {
  const lines: string[] = [];
  const { exitCode } = await machine.run({ argv, signal, onLine: (_stream, line) => lines.push(line) });
  return { exitCode, text: lines.join('\n') };
}

/** As `ask`, for what has to end well. */
export async function command(target: WipeTarget, argv: readonly string[]): Promise<string> {
  const { exitCode, text } = await ask(target, argv);
  if (exitCode === 0) return text;
  const said = text.trim() === '' ? 'it printed nothing' : text.trim().split('\n').slice(-5).join(' | ');
  throw new TinsmithError('command_failed', `${argv.slice(0, 2).join(' ')} ended with exit code ${exitCode}: ${said}`);
}
