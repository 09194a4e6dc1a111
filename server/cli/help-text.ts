import type { Command, OptionSpec } from './command.ts';
import { COMMON_OPTIONS } from './command-line.ts';
import { definitionList, HELP_WIDTH, wrapText } from './wrap-text.ts';

/** What `tinsmith COMMAND --help` prints. */
export function commandHelp(command: Command): string {
  const options = Object.entries({ ...command.options, ...COMMON_OPTIONS });
  return [
    wrapText(command.summary, HELP_WIDTH),
    '',
    'Usage:',
    `  tinsmith ${command.name}${command.arguments === '' ? '' : ` ${command.arguments}`} [options]`,
    '',
    'Options:',
    definitionList(options.map(([name, spec]) => [optionTerm(name, spec), optionMeaning(spec)])),
    '',
    'Examples:',
    ...command.examples.map((example) => `  ${example}`),
  ].join('\n');
}

/** What `tinsmith help` prints. */
export function overview(commands: readonly Command[], version: string): string {
  return [
    wrapText(
      `Tinsmith ${version} provisions bare-metal machines: from power-on to an installed operating system.`,
      HELP_WIDTH,
    ),
    '',
    'Usage:',
    '  tinsmith COMMAND [options]',
    '',
    'Commands:',
    definitionList(commands.map(({ name, summary }) => [name, summary])),
    '',
    wrapText(
      'Every command has --help with examples. Commands talk to the server at --server or TINSMITH_SERVER (default http://127.0.0.1:7180) with the token in --token-file or TINSMITH_TOKEN_FILE (default /var/lib/tinsmith/admin.token) or TINSMITH_TOKEN.',
      HELP_WIDTH,
    ),
  ].join('\n');
}

/** What `tinsmith image --help` prints: the commands that begin with that word. */
export function groupHelp(word: string, commands: readonly Command[]): string {
  return [
    'Usage:',
    `  tinsmith ${word} COMMAND [options]`,
    '',
    'Commands:',
    definitionList(commands.map(({ name, summary }) => [name, summary])),
    '',
    `Every command has --help with examples: tinsmith ${commands[0]?.name ?? word} --help`,
  ].join('\n');
}

/** Rows of the README's table of commands. */
export function commandReference(commands: readonly Command[]): string {
  return commands
    .map(({ name, arguments: given, summary }) => {
      const usage = `tinsmith ${name}${given === '' ? '' : ` ${given}`}`.replaceAll('|', '\\|');
      return `| \`${usage}\` | ${summary} |`;
    })
    .join('\n');
}

function optionTerm(name: string, spec: OptionSpec): string {
  const short = spec.short === undefined ? '' : `-${spec.short}, `;
  return `${short}--${name}${spec.type === 'boolean' ? '' : ` ${spec.value ?? 'VALUE'}`}`;
}

function optionMeaning({ summary, choices, multiple }: OptionSpec): string {
  const list = choices === undefined ? '' : ` One of ${choices.join(', ')}.`;
  return `${summary}${list}${multiple === true ? ' May be repeated.' : ''}`;
}
