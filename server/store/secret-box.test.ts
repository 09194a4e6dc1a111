import assert from 'node:assert/strict';
import { chmod, mkdtempDisposable, readFile, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { readOrMakeKey, secretBox, temporaryKey } from './secret-box.ts';

describe('secret box', () => {
  it('opens what it sealed, for the same purpose only', () => {
    const box = secretBox(temporaryKey());
    const sealed = box.seal('password of a', 'geheim ✓');

    assert.equal(box.open('password of a', sealed), 'geheim ✓');
    assert.equal(box.open('empty', box.seal('empty', '')), '');
    assert.throws(() => box.open('password of b', sealed), { code: 'internal' });
  });

  it('never seals a text to the same bytes twice', () => {
    const box = secretBox(temporaryKey());

    assert.notEqual(box.seal('p', 'text'), box.seal('p', 'text'));
  });

  it('refuses every text that was changed in any byte, cut or replaced', () => {
    const box = secretBox(temporaryKey());
    const sealed = box.seal('p', 'some text');
    const bytes = Buffer.from(sealed.slice(3), 'base64');
    const changed = [...bytes.keys()].map((index) => {
      const copy = Buffer.from(bytes);
      copy[index] = (copy[index] ?? 0) ^ 1;
      return `v1:${copy.toString('base64')}`;
    });
    const cut = [...bytes.keys()].map((length) => `v1:${bytes.subarray(0, length).toString('base64')}`);

    for (const text of [...changed, ...cut, '', 'v1:', 'v2:AAAA', sealed.slice(3)]) {
      assert.throws(() => box.open('p', text), { code: 'internal' }, text);
    }
  });

  it('does not open what another key sealed, and keeps the text out of its error', () => {
    const sealed = secretBox(temporaryKey()).seal('p', 'top secret');

    assert.throws(
      () => secretBox(temporaryKey()).open('p', sealed),
      (thrown: Error) => !thrown.message.includes('top secret') && !thrown.message.includes(sealed),
    );
  });
});

describe('key file', () => {
  it('is made once, for its owner only, and read from then on', async () => {
    await using folder = await mkdtempDisposable(join(tmpdir(), 'key-'));
    const path = join(folder.path, 'secret.key');

    const made = readOrMakeKey(path);

    assert.equal((await stat(path)).mode & 0o777, 0o600);
    assert.deepEqual(readOrMakeKey(path), made);
    assert.equal((await readFile(path, 'utf8')).trim(), made.toString('hex'));
  });

  it('is refused when others can read it', async () => {
    await using folder = await mkdtempDisposable(join(tmpdir(), 'key-'));
    const path = join(folder.path, 'secret.key');
    readOrMakeKey(path);
    await chmod(path, 0o640);

    assert.throws(() => readOrMakeKey(path), { code: 'invalid_input', message: /chmod 600/ });
  });

  for (const content of ['', 'abcd', 'x'.repeat(64), `${'ab'.repeat(32)}ff`]) {
    it(`is refused when it holds ${content.length} characters that are no key`, async () => {
      await using folder = await mkdtempDisposable(join(tmpdir(), 'key-'));
      const path = join(folder.path, 'secret.key');
      await writeFile(path, content, { mode: 0o600 });

      assert.throws(() => readOrMakeKey(path), { code: 'invalid_input' });
    });
  }

  it('says which file could not be made', async () => {
    await using folder = await mkdtempDisposable(join(tmpdir(), 'key-'));

    assert.throws(() => readOrMakeKey(join(folder.path, 'missing', 'secret.key')), {
      code: 'unavailable',
      message: /missing\/secret\.key/,
    });
  });
});
