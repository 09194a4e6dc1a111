import { parseArgs } from 'node:util';
import { TinsmithError } from '#proto/errors.ts';
import type { Command, CommandInput, OptionSpec } from './command.ts';
import { didYouMean } from './suggest.ts';

/** Options that every command knows. */
export const COMMON_OPTIONS: Readonly<Record<string, OptionSpec>> = {
  help: { type: 'boolean', short: 'h', summary: 'Show this help.' },
};

/**
 * Splits arguments into the command and the rest.
 * @throws TinsmithError `usage` that names the closest command.
 */
export function findCommand(
  commands: readonly Command[],
  argv: readonly string[],
): { readonly command: Command; readonly rest: readonly string[] } {
  const words = argv.slice(0, leadingWords(argv));
  for (let length = Math.min(2, words.length); length > 0; length -= 1) {
    const name = words.slice(0, length).join(' ');
    const command = commands.find((candidate) => candidate.name === name);
    if (command !== undefined) return { command, rest: argv.slice(length) };
  }
  throw unknownCommand(commands, argv, words);
}

/** The commands of two words that begin with the first of `argv`, when nothing but `--help` follows it. */
export function commandsOf(commands: readonly Command[], argv: readonly string[]): readonly Command[] {
  const [first = '', ...rest] = argv;
  if (!rest.every((word) => word === '--help' || word === '-h')) return [];
  return commands.filter(({ name }) => name.startsWith(`${first} `));
}

function unknownCommand(
  commands: readonly Command[],
  argv: readonly string[],
  words: readonly string[],
): TinsmithError {
  const [first, second] = words;
  if (first === undefined) {
    return new TinsmithError('usage', `the command comes first, then its options: "${argv[0] ?? ''}" is no command`);
  }
  const below = commands
    .filter(({ name }) => name.startsWith(`${first} `))
    .map(({ name }) => name.slice(first.length + 1));
  if (below.length > 0) {
    const fact = second === undefined ? 'needs a second word' : `knows no "${second}"${didYouMean(second, below)}`;
    return new TinsmithError('usage', `the command "${first}" ${fact}: use one of ${below.join(', ')}`);
  }
  const known = [...new Set(commands.map(({ name }) => name.split(' ', 1)[0] ?? ''))];
  return new TinsmithError('usage', `there is no command "${first}"${didYouMean(first, known)}; see tinsmith help`);
}

function leadingWords(argv: readonly string[]): number {
  const firstOption = argv.findIndex((argument) => argument.startsWith('-'));
  return firstOption === -1 ? argv.length : firstOption;
}

/**
 * Checks what follows the command's words against its options.
 * @throws TinsmithError `usage` for an unknown option, a missing value, a wrong choice or the wrong number of arguments.
 */
export function parseCommandLine(command: Command, rest: readonly string[]): CommandInput {
  const specs: Readonly<Record<string, OptionSpec>> = { ...command.options, ...COMMON_OPTIONS };
  const { tokens, positionals } = parseArgs({
    args: [...rest],
    options: parserOptions(specs),
    strict: false,
    allowPositionals: true,
    tokens: true,
  });
  const given = new Map<string, string[]>();
  for (const token of tokens) {
    if (token.kind !== 'option') continue;
    const spec = Object.hasOwn(specs, token.name) ? specs[token.name] : undefined;
    if (spec === undefined) {
      const hint = didYouMean(token.name, Object.keys(specs));
      throw usage(command, `${command.name} has no option ${token.rawName}${hint}`);
    }
    given.set(token.name, [...(given.get(token.name) ?? []), optionValue(command, spec, token)]);
  }
  if (!given.has('help')) checkCount(command, positionals);
  return {
    positionals,
    text: (option) => given.get(option)?.at(-1),
    texts: (option) => given.get(option) ?? [],
    has: (option) => given.has(option),
  };
}

function parserOptions(specs: Readonly<Record<string, OptionSpec>>) {
  return Object.fromEntries(
    Object.entries(specs).map(([name, { type, short }]) => [
      name,
      { type, multiple: true, ...(short !== undefined && { short }) },
    ]),
  );
}

interface OptionToken {
  readonly rawName: string;
  readonly value?: string | undefined;
  /** Written as one argument: `--name=value`, `-nvalue`. */
  readonly inlineValue?: boolean | undefined;
}

function optionValue(command: Command, spec: OptionSpec, token: OptionToken): string {
  const { rawName, value, inlineValue = false } = token;
  if (spec.type === 'boolean') {
    if (value !== undefined) throw usage(command, `${rawName} takes no value, but was given "${value}"`);
    return 'true';
  }
  // The parser takes `--dry-run` of `-f --dry-run` for the value; who means it writes `-f=--dry-run`.
  const isNextOption = !inlineValue && value !== undefined && value.length > 1 && value.startsWith('-');
  if (value === undefined || isNextOption) {
    throw usage(command, `${rawName} needs a value: ${rawName} ${spec.value ?? 'VALUE'}`);
  }
  if (spec.choices !== undefined && !spec.choices.includes(value)) {
    const hint = didYouMean(value, spec.choices);
    throw usage(command, `${rawName} is "${value}"${hint}: use one of ${spec.choices.join(', ')}`);
  }
  return value;
}

function checkCount(command: Command, positionals: readonly string[]): void {
  const [fewest, most] = command.takes;
  if (positionals.length < fewest) {
    const kinds = command.firstArgument ? ` (one of ${command.firstArgument.join(', ')})` : '';
    throw usage(command, `${command.name} needs ${command.arguments}${positionals.length === 0 ? kinds : ''}`);
  }
  if (positionals.length > most) {
    throw usage(command, `${command.name} does not know what to do with "${positionals[most] ?? ''}"`);
  }
  const empty = positionals.indexOf('');
  if (empty !== -1) {
    const words = command.arguments.replaceAll(/[[\].]/g, '').split(' ');
    throw usage(command, `${command.name} needs ${command.arguments}, and ${words[empty] ?? words.at(-1)} is empty`);
  }
}

function usage(command: Command, sentence: string): TinsmithError {
  return new TinsmithError('usage', `${sentence}; see tinsmith ${command.name} --help`);
}
