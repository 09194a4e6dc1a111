import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempDisposable, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { lockLibrary } from './library-lock.ts';

const HOLDER = `import { lockLibrary } from ${JSON.stringify(import.meta.resolve('./library-lock.ts'))};
  globalThis.lock = await lockLibrary(process.argv[1]);
  process.stdout.write('locked\\n');
  setInterval(() => {}, 1_000_000);`;

describe('the lock of a library', () => {
  it('is held by one server, and names it to the next', async () => {
    await using folder = await mkdtempDisposable(join(tmpdir(), 'tinsmith-lock-'));
    const server = spawn(process.execPath, ['--input-type=module', '--eval', HOLDER, folder.path], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    try {
      await once(server.stdout, 'data');

      await assert.rejects(lockLibrary(folder.path, 10), {
        code: 'conflict',
        message: `cannot use the image library in ${folder.path}: another tinsmith serve (process ${server.pid}) has it: stop that one, or give this one a folder of its own with --library-dir`,
      });
    } finally {
      server.kill('SIGKILL');
      if (server.signalCode === null) await once(server, 'exit');
    }

    // Nothing is left of it, however its holder ended.
    using lock = await lockLibrary(folder.path, 10);
    assert.equal(lock.whyOpen, undefined);
  });

  it('is free again when its holder lets go of it', async () => {
    await using folder = await mkdtempDisposable(join(tmpdir(), 'tinsmith-lock-'));
    {
      using first = await lockLibrary(folder.path, 10);
      assert.equal(first.whyOpen, undefined);
      await assert.rejects(lockLibrary(folder.path, 10), { code: 'conflict' });
    }
    using second = await lockLibrary(folder.path, 10);
    assert.equal(second.whyOpen, undefined);
  });

  it('keeps nobody from a library that takes none', async () => {
    await using folder = await mkdtempDisposable(join(tmpdir(), 'tinsmith-lock-'));
    await writeFile(
      join(folder.path, 'library.lock'),
      'this is not the lock that the library makes for itself. '.repeat(99),
    );
    using lock = await lockLibrary(folder.path, 10);
    assert.match(lock.whyOpen ?? '', /not a database/);
  });
});
