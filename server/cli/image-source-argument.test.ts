import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { TinsmithError } from '#proto/errors.ts';
import { imageSource } from './image-source-argument.ts';

describe('the source of an image', () => {
  it('is read from standard input where it is -', async () => {
    for (const line of ['https://u:secret@h/d.raw?sig=1', '/srv/d.raw', 'oci://h/a:1']) {
      assert.equal(await imageSource('-', false, async () => `${line}\n`), line);
    }
  });

  it('is refused without being shown where that is no line with a word', async () => {
    for (const text of ['', '\n', 'https://u:secret@h/a https://h/b', 'https://u:secret@h/a\nhttps://h/b\n']) {
      await assert.rejects(
        imageSource('-', false, async () => text),
        ({ code, message }: TinsmithError) => {
          assert.match(message, /give it one line/);
          assert.doesNotMatch(message, /secret/);
          return code === 'usage';
        },
      );
    }
  });

  it('does not share standard input with a password', async () => {
    await assert.rejects(
      imageSource('-', true, async () => 'https://h/d.raw'),
      { code: 'usage', message: /--password-stdin/ },
    );
  });
});
