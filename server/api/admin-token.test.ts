import assert from 'node:assert/strict';
import { chmod, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { ensureAdminToken, showsToken } from './admin-token.ts';

describe('ensureAdminToken', () => {
  it('makes one token that only the owner can read, and keeps it', async () => {
    await using folder = await temporaryFolder();
    const dataDir = join(folder.path, 'not/there/yet');

    const first = await ensureAdminToken(dataDir);
    const second = await ensureAdminToken(dataDir);

    assert.match(first, /^[\w-]{43}$/);
    assert.equal(second, first);
    assert.equal((await stat(join(dataDir, 'admin.token'))).mode & 0o777, 0o600);
    assert.equal(await readFile(join(dataDir, 'admin.token'), 'utf8'), `${first}\n`);
  });

  it('gives all servers that start at once the same token, and leaves no drafts', async () => {
    await using folder = await temporaryFolder();

    const tokens = await Promise.all(Array.from({ length: 20 }, () => ensureAdminToken(folder.path)));

    assert.equal(new Set(tokens).size, 1);
    assert.deepEqual(await readdir(folder.path), ['admin.token']);
  });

  it('refuses a file that holds no token rather than accept an empty one', async () => {
    await using folder = await temporaryFolder();
    const path = join(folder.path, 'admin.token');

    for (const text of ['', '\n', 'short']) {
      await writeFile(path, text);
      await assert.rejects(ensureAdminToken(folder.path), { code: 'invalid_input', message: /at least 32/ });
    }
  });

  it('leaves the rights of a file that the operator opened to a group', async () => {
    await using folder = await temporaryFolder();
    const token = await ensureAdminToken(folder.path);
    const path = join(folder.path, 'admin.token');
    await chmod(path, 0o640);

    assert.equal(await ensureAdminToken(folder.path), token);
    assert.equal((await stat(path)).mode & 0o777, 0o640);
  });
});

describe('showsToken', () => {
  const token = 'a-token-of-more-than-thirty-two-characters';

  it('takes the token and nothing that is like it', () => {
    const wrong = [
      undefined,
      '',
      'Bearer',
      'Bearer ',
      token,
      `Bearer ${token}2`,
      `Bearer ${token.slice(1)}`,
      `Bearer ${token.toUpperCase()}`,
      `Bearer ${token} ${token}`,
      `Basic ${token}`,
      `Bearer ${token}\u0000`,
    ];

    assert.equal(showsToken(`Bearer ${token}`, token), true);
    assert.equal(showsToken(`bearer  ${token} `, token), true);
    for (const header of wrong) assert.equal(showsToken(header, token), false, header);
  });
});

async function temporaryFolder() {
  const path = await mkdtemp(join(tmpdir(), 'tinsmith-token-'));
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true }) };
}
