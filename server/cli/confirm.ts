import { TinsmithError } from '#proto/errors.ts';
import type { CommandContext, CommandInput } from './command.ts';

/**
 * Asks before something is lost, unless `--yes` was given. @throws TinsmithError `cancelled` for any other answer than yes,
 * `usage` where nobody can be asked.
 */
export async function confirmed(
  { ask }: Pick<CommandContext, 'ask'>,
  input: CommandInput,
  question: string,
): Promise<void> {
  if (input.has('yes')) return;
  if (ask === undefined) {
    throw new TinsmithError('usage', `nobody can be asked here: add --yes to answer yes to "${question}"`);
  }
  const answer = (await ask(`${question} [y/N] `)).trim().toLowerCase();
  if (answer !== 'y' && answer !== 'yes') throw new TinsmithError('cancelled', 'nothing was changed');
}
