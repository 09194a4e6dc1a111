import type { Command } from '../command.ts';
import { commandsOf, findCommand } from '../command-line.ts';
import { commandHelp, groupHelp, overview } from '../help-text.ts';

export const helpCommand: Command = {
  name: 'help',
  arguments: '[COMMAND]',
  takes: [0, 2],
  summary: 'Show all commands, or one in detail.',
  options: {},
  examples: ['tinsmith help', 'tinsmith help apply', 'tinsmith help workflow cancel'],
  async run({ commands, out, parts }, input) {
    const [first] = input.positionals;
    const below = commandsOf(commands, input.positionals);
    if (first === undefined) out.line(overview(commands, parts.version));
    else if (below.length > 0) out.line(groupHelp(first, below));
    else out.line(commandHelp(findCommand(commands, input.positionals).command));
    return 0;
  },
};
