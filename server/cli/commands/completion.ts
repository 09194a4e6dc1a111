import { TinsmithError } from '#proto/errors.ts';
import type { Command } from '../command.ts';
import { bashCompletion, fishCompletion, zshCompletion } from '../completion-script.ts';
import { didYouMean } from '../suggest.ts';

export const completionCommand: Command = {
  name: 'completion',
  arguments: 'SHELL',
  takes: [1, 1],
  firstArgument: ['bash', 'zsh', 'fish'],
  summary: 'Print a completion script for bash, zsh or fish.',
  options: {},
  examples: [
    'source <(tinsmith completion bash)',
    'tinsmith completion zsh > ~/.zfunc/_tinsmith',
    'tinsmith completion fish > ~/.config/fish/completions/tinsmith.fish',
  ],
  async run({ commands, out }, input) {
    const [shell = ''] = input.positionals;
    out.raw(scriptFor(shell, commands));
    return 0;
  },
};

function scriptFor(shell: string, commands: readonly Command[]): string {
  if (shell === 'bash') return bashCompletion(commands);
  if (shell === 'zsh') return zshCompletion(commands);
  if (shell === 'fish') return fishCompletion(commands);
  throw new TinsmithError(
    'usage',
    `there is no completion for "${shell}"${didYouMean(shell, SHELLS)}: use one of ${SHELLS.join(', ')}`,
  );
}

const SHELLS = ['bash', 'zsh', 'fish'];
