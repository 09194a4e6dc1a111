import type { Command } from '../command.ts';
import { findCommand } from '../command-line.ts';
import { commandHelp, overview } from '../help-text.ts';

export const helpCommand: Command = {
  name: 'help',
  arguments: '[COMMAND]',
  takes: [0, 2],
  summary: 'Show all commands, or one in detail.',
  options: {},
  examples: ['tinsmith help', 'tinsmith help apply', 'tinsmith help workflow cancel'],
  async run({ commands, out, parts }, input) {
    if (input.positionals.length === 0) out.line(overview(commands, parts.version));
    else out.line(commandHelp(findCommand(commands, input.positionals).command));
    return 0;
  },
};
