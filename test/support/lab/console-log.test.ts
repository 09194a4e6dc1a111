import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { ConsoleLog } from './console-log.ts';

let directory = '';
let log: ConsoleLog;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'tinsmith-console-'));
  log = new ConsoleLog('vm', join(directory, 'console.log'));
});
afterEach(async () => {
  await log.close();
  await rm(directory, { recursive: true, force: true });
});

const say = (text: string): void => log.write(Buffer.from(text));
const soon = { timeoutMs: 5000 };

describe('ConsoleLog', () => {
  it('finds a line that was said before the wait began', async () => {
    say('boot\r\nINSTALLED-OS-UP hostname=a\r\n');

    assert.equal((await log.waitFor(/hostname=(\w+)/, soon))[1], 'a');
  });

  it('puts a line together that comes in pieces before it gives it away', async () => {
    const match = log.waitFor(/INSTALLED-OS-UP.*/, soon);
    say('INSTALLED-');
    say('OS-UP host');
    await new Promise(setImmediate);
    say('name=a\n');

    assert.equal((await match)[0], 'INSTALLED-OS-UP hostname=a');
  });

  it('finds a prompt, which has no line end', async () => {
    say('~ # ');

    assert.equal((await log.waitFor(/# $/, soon))[0], '# ');
  });

  it('waits for the same words again from a position', async () => {
    say('up 1\n');
    const from = log.position;
    const again = log.waitFor(/up (\d)/, { ...soon, from });
    say('up 2\n');

    assert.equal((await again)[1], '2');
  });

  it('takes escape sequences out of lines and leaves them in the file', async () => {
    say('\u001b[2J\u001b[01;01H\u001b[=3hWelcome\u001b[0m to \u001b[1;37mGRUB\r\n');
    await log.close();

    assert.deepEqual(log.lines, ['Welcome to GRUB']);
    assert.ok((await readFile(log.file, 'latin1')).includes('\u001b[2J'));
  });

  it('fails after the time limit and shows what the machine said last', async () => {
    say('kernel panic\n');

    await assert.rejects(
      log.waitFor(/UP/, { timeoutMs: 20 }),
      /did not say \/UP\/ within 0\.02 s[\s\S]*\| kernel panic/,
    );
  });

  it('fails at once when the machine stops', async () => {
    const wait = log.waitFor(/UP/, soon);
    say('bye\n');
    const [outcome] = await Promise.allSettled([wait, log.close()]);

    assert.equal(outcome.status, 'rejected');
    assert.match(String(outcome.reason), /stopped before its console said/);
  });

  it('ends a wait with the reason of its signal', async () => {
    const controller = new AbortController();
    const wait = log.waitFor(/UP/, { ...soon, signal: controller.signal });
    controller.abort(new Error('the test is over'));

    await assert.rejects(wait, /the test is over/);
  });

  it('gives every line once to whoever iterates, and ends when the machine stops', async () => {
    say('a\n');
    const seen: string[] = [];
    const reading = (async () => {
      for await (const line of log) seen.push(line);
    })();
    say('b\nc\n');
    await log.close();
    await reading;

    assert.deepEqual(seen, ['a', 'b', 'c']);
  });
});
