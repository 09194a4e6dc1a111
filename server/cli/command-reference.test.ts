import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { describe, it } from 'node:test';
import type { Command } from './command.ts';
import { COMMON_OPTIONS } from './command-line.ts';
import { listCommands } from './commands.ts';
import { commandHelp, commandReference, overview } from './help-text.ts';
import { HELP_WIDTH } from './wrap-text.ts';

const settings = [
  {
    flag: 'dhcp-mode',
    variable: 'TINSMITH_DHCP_MODE',
    type: 'string',
    fallback: 'off',
    summary: 'A `word`. '.repeat(20),
  },
];
const commands = listCommands(settings);

describe('command reference', () => {
  it('is what the README lists', () => {
    const readme = readFileSync(join(resolve(import.meta.dirname, '../..'), 'README.md'), 'utf8');
    const listed = readme.split('\n').filter((line) => line.startsWith('| `tinsmith '));

    assert.deepEqual(listed, commandReference(commands).split('\n'));
  });

  it('shows no help that is wider than 80 characters', () => {
    const texts = [overview(commands, '10.20.30-beta'), ...commands.map(commandHelp)];

    const wide = texts.flatMap((text) => text.split('\n')).filter((line) => line.length > HELP_WIDTH);

    assert.equal(HELP_WIDTH, 80);
    assert.deepEqual(wide, []);
  });

  it('gives every command a sentence, examples of itself, and options that do not clash', () => {
    for (const command of commands) {
      assert.match(command.summary, /^[A-Z].*\.$/, command.name);
      assert.ok(command.examples.length > 0, command.name);
      assert.ok(
        command.examples.some((example) => example.includes(`tinsmith ${command.name}`)),
        command.name,
      );
      const shorts = Object.values({ ...command.options, ...COMMON_OPTIONS }).flatMap(({ short }) => short ?? []);
      assert.equal(new Set(shorts).size, shorts.length, command.name);
      for (const { summary } of Object.values(command.options)) assert.match(summary.trim(), /[.)]$/, command.name);
    }
    assert.equal(new Set(commands.map(({ name }) => name)).size, commands.length);
  });

  it('has no option that takes a secret, because everybody sees the arguments of a process', () => {
    const secret = commands.flatMap((command: Command) =>
      Object.keys(command.options).filter((name) => /^(token|password|key|secret)$/.test(name)),
    );

    assert.deepEqual(secret, []);
  });
});
