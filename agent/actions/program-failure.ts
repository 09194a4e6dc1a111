import { TinsmithError } from '#proto/errors.ts';
import type { ProgramResult } from '../machine/machine.ts';

/** The cause of a `command_failed`: keeps the program's own exit code for the report. */
export class ProgramFailure extends Error {
  override readonly name = 'ProgramFailure';
  readonly exitCode: number;

  constructor(exitCode: number) {
    super(`exit code ${exitCode}`);
    this.exitCode = exitCode;
  }
}

/** Throws `command_failed` with the last lines of the program unless it ended with 0. `doing` starts the sentence. */
export function requireSuccess(doing: string, result: ProgramResult): void {
  if (result.exitCode === 0) return;
  const said = result.lastLines.length === 0 ? 'it printed nothing' : result.lastLines.join(' | ').slice(-1000);
  throw new TinsmithError('command_failed', `${doing} ended with exit code ${result.exitCode}: ${said}`, {
    cause: new ProgramFailure(result.exitCode),
  });
}
