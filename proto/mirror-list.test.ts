import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { formatMirrorList, MOST_MIRRORS, parseMirrorList, parseMirrorUrl } from './mirror-list.ts';

describe('mirror list', () => {
  it('reads what was written, and makes folders of URLs', () => {
    const { mirrors } = parseMirrorList(formatMirrorList(['http://rack1/library', 'https://m.example.org/a/']));

    assert.deepEqual(mirrors.map(String), ['http://rack1/library/', 'https://m.example.org/a/']);
  });

  it('knows no more mirrors than it will try', () => {
    const many = Array.from({ length: 1000 }, (_, at) => `http://m${at}/`);

    assert.equal(parseMirrorList(formatMirrorList(many)).mirrors.length, MOST_MIRRORS);
  });

  for (const text of ['', '[]', 'null', '{"mirrors":"http://a/"}', '{"mirrors":[7]}', '<html>']) {
    it(`refuses ${JSON.stringify(text)}`, () => {
      assert.throws(() => parseMirrorList(text), { code: 'invalid_input' });
    });
  }

  for (const text of [
    'file:///srv',
    'mirror/library',
    'ftp://a/',
    'http://a/?token=x',
    'http://a/#x',
    `http://${'a'.repeat(2000)}/`,
  ]) {
    it(`refuses ${text.slice(0, 30)} as a mirror`, () => {
      assert.throws(() => parseMirrorUrl(text), { code: 'invalid_input' });
    });
  }

  it('refuses a mirror with a password, and does not repeat it', () => {
    for (const text of [
      'http://user:hunter2@m/',
      'ftp://user:hunter2@m/',
      'http://user:hunter2@:x/',
      'http://user:hunter2%@m/',
    ]) {
      assert.throws(
        () => parseMirrorUrl(text),
        (thrown: Error) => !thrown.message.includes('hunter2') && /mirror/.test(thrown.message),
      );
    }
  });
});
