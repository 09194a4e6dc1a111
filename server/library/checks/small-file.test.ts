import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempDisposable, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { readSmallFile } from './small-file.ts';

const OPTIONS = { what: 'the checksums', signal: new AbortController().signal };

describe('a list, signature or key on this host', () => {
  it('is read', { timeout: 30_000 }, async () => {
    await using folder = await mkdtempDisposable(join(tmpdir(), 'tinsmith-small-'));
    const path = join(folder.path, 'SHA256SUMS');
    await writeFile(path, 'sums');

    assert.equal((await readSmallFile(path, OPTIONS)).toString(), 'sums');
    assert.ok((await readSmallFile('/proc/self/status', OPTIONS)).toString().includes('Pid:'));
  });

  it('is refused when it is no regular file, and nobody waits for it', { timeout: 30_000 }, async () => {
    await using folder = await mkdtempDisposable(join(tmpdir(), 'tinsmith-small-'));
    const fifo = join(folder.path, 'fifo');
    execFileSync('mkfifo', [fifo]);

    for (const [path, message] of [
      [fifo, /it is a pipe, .* to a file/],
      [folder.path, /it is a directory: name the file in it/],
      ['/dev/zero', /it is a character device, .*: name a file/],
    ] as const) {
      await assert.rejects(readSmallFile(path, OPTIONS), { code: 'invalid_input', message }, path);
    }
  });

  it('is refused when it is longer than any list, and is not read on when nobody wants it', async () => {
    await using folder = await mkdtempDisposable(join(tmpdir(), 'tinsmith-small-'));
    const [long, short] = [join(folder.path, 'long'), join(folder.path, 'short')];
    await writeFile(long, Buffer.alloc((4 << 20) + 1));
    await writeFile(short, Buffer.alloc(4 << 20));

    await assert.rejects(readSmallFile(long, OPTIONS), { code: 'invalid_input', message: /more than/ });
    assert.equal((await readSmallFile(short, OPTIONS)).length, 4 << 20);
    const reason = new Error('nobody wants it');
    await assert.rejects(readSmallFile(short, { ...OPTIONS, signal: AbortSignal.abort(reason) }), reason);
  });
});
