import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { describe, it } from 'node:test';

const MODULE = join(import.meta.dirname, 'clean-at-exit.ts');

/** Runs `how` in a process of its own where two things are to be cleaned, and says what was. */
function run(how: string) {
  const program = `import { cleanAtExit } from ${JSON.stringify(MODULE)};
    const first = cleanAtExit(() => console.log('first'));
    cleanAtExit(() => console.log('second'));
    ${how}`;
  const argv = ['--input-type=module', '--eval', program];
  const { stdout, status, signal } = spawnSync(process.execPath, argv, { encoding: 'utf8' });
  return { cleaned: stdout.trim().split('\n'), end: signal ?? status };
}

describe('cleanAtExit', () => {
  it('cleans when the process ends by itself', () => {
    assert.deepEqual(run(''), { cleaned: ['first', 'second'], end: 0 });
  });

  it('cleans once what was cleaned before', () => {
    assert.deepEqual(run('first();'), { cleaned: ['first', 'second'], end: 0 });
  });

  it('cleans everything when a signal ends the process, which ends by that signal', () => {
    for (const name of ['SIGINT', 'SIGTERM']) {
      const ended = run(`setInterval(() => {}, 1000); process.kill(process.pid, '${name}');`);
      assert.deepEqual(ended, { cleaned: ['first', 'second'], end: name });
    }
  });
});
