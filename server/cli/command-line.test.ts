import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { TinsmithError } from '#proto/errors.ts';
import { findCommand, parseCommandLine } from './command-line.ts';
import { listCommands } from './commands.ts';

const commands = listCommands([]);

function parsed(...argv: string[]) {
  const { command, rest } = findCommand(commands, argv);
  return parseCommandLine(command, rest);
}

function refused(...argv: string[]): string {
  try {
    parsed(...argv);
  } catch (error) {
    assert.ok(error instanceof TinsmithError);
    assert.equal(error.code, 'usage');
    return error.message;
  }
  return assert.fail(`${argv.join(' ')} was taken`);
}

describe('command line', () => {
  it('takes options before, between and after arguments, long and short, with = and without', () => {
    const input = parsed('get', '-o', 'json', 'hw', '--selector=a=b', 'one', '-lc=d', 'two', '--tail', '5');

    assert.deepEqual(input.positionals, ['hw', 'one', 'two']);
    assert.equal(input.text('output'), 'json');
    assert.deepEqual(input.texts('selector'), ['a=b', 'c=d']);
    assert.equal(input.text('tail'), '5');
    assert.equal(input.has('help'), false);
  });

  it('takes the last of an option that counts once, and all of one that may be repeated', () => {
    assert.equal(parsed('get', 'hw', '-o', 'json', '-o', 'yaml').text('output'), 'yaml');
    assert.deepEqual(parsed('apply', '-f', 'a', '-f', '-', '-f', 'b').texts('filename'), ['a', '-', 'b']);
  });

  it('takes what follows -- for arguments', () => {
    assert.deepEqual(parsed('get', 'hw', '--', '-o').positionals, ['hw', '-o']);
  });

  it('finds commands of two words and tells them from arguments', () => {
    assert.equal(findCommand(commands, ['workflow', 'retry', 'a']).command.name, 'workflow retry');
    assert.deepEqual(findCommand(commands, ['get', 'workflow', 'retry']).rest, ['workflow', 'retry']);
    assert.match(refused('workflow'), /needs a second word: use one of cancel, retry/);
    assert.match(refused('initramfs', 'biuld'), /did you mean "build"/);
    assert.match(refused('--server', 'x', 'get', 'hw'), /the command comes first/);
  });

  it('refuses what it does not know, with the closest word when there is one', () => {
    assert.match(refused('get', 'hw', '--tokenfile', 'x'), /no option --tokenfile \(did you mean "token-file"\?\)/);
    assert.match(refused('get', 'hw', '--constructor'), /no option --constructor;/);
    assert.match(refused('get', 'hw', '-x'), /no option -x/);
    assert.match(refused('version', 'now'), /does not know what to do with "now"/);
    assert.match(refused('apply', '--dry-run=yes'), /--dry-run takes no value/);
    assert.match(refused('apply', '-f', '--dry-run'), /-f needs a value: -f FILE/);
    assert.match(refused('delete', 'hw'), /delete needs KIND NAME/);
    assert.match(
      refused('image', 'show', ''),
      /image show needs NAME, and NAME is empty; see tinsmith image show --help/,
    );
    assert.match(refused('image', 'add', 'x', ''), /image add needs NAME SOURCE, and SOURCE is empty/);
    assert.match(refused('image', 'remove', 'x', ''), /image remove needs NAME\.\.\., and NAME is empty/);
    assert.match(refused('apply', ''), /does not know what to do with ""/);
    assert.match(refused('get', 'hw', 'x', 'y', ''), /get needs KIND \[NAME\.\.\.\], and NAME is empty/);
    assert.doesNotMatch(refused('xyzzy'), /did you mean/);
  });

  it('does not insist on arguments when help is asked for', () => {
    assert.equal(parsed('delete', '--help').has('help'), true);
  });
});
