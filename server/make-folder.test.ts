import assert from 'node:assert/strict';
import { mkdtemp, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { makeFolder } from './make-folder.ts';

describe('makeFolder', () => {
  it('makes what is missing above it, and does nothing the second time', async (t) => {
    const base = await mkdtemp(join(tmpdir(), 'tinsmith-folder-'));
    t.after(() => rm(base, { recursive: true, force: true }));
    const path = join(base, 'a/b/c');

    await makeFolder(path, 0o700);
    await makeFolder(path, 0o700);

    assert.equal((await stat(path)).mode & 0o777, 0o700);
  });

  it('ends with an error below a file and where no folder can be made, as in /proc', { timeout: 60_000 }, async (t) => {
    const base = await mkdtemp(join(tmpdir(), 'tinsmith-folder-'));
    t.after(() => rm(base, { recursive: true, force: true }));
    await writeFile(join(base, 'file'), '');

    await assert.rejects(makeFolder(join(base, 'file/a')), { code: 'ENOTDIR' });
    await assert.rejects(makeFolder('/proc/tinsmith/data'), { code: 'ENOENT' });
  });
});
