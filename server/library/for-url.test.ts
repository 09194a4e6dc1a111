import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { pinnedUrl, urlKey } from './for-url.ts';

const keyOf = (text: string): string => urlKey(new URL(text));

describe('urlKey', () => {
  it('is the same for whoever asks, and another one for another file', () => {
    const plain = keyOf('https://a.example/d.raw?version=5');

    assert.equal(keyOf('https://user:hunter2@A.example:443/d.raw?version=5#part'), plain);
    assert.equal(keyOf('https://a.example/d.raw?X-Amz-Date=1&version=5&X-Amz-Signature=2&x-goog-signature=3'), plain);
    for (const other of [
      'http://a.example/d.raw?version=5',
      'https://a.example/d.raw',
      'https://a.example/d.raw?version=6',
    ]) {
      assert.notEqual(keyOf(other), plain);
    }
  });
});

describe('pinnedUrl', () => {
  it('keeps no secret, and refuses what no workflow can name', () => {
    assert.equal(pinnedUrl('https://u:hunter2@a.example/d.raw?sig=hunter2').shown, 'https://a.example/d.raw');
    assert.throws(() => pinnedUrl('library:debian'), { code: 'invalid_input', message: /name an http or https URL/ });
    assert.throws(
      () => pinnedUrl('ftp://u:hunter2@a/b'),
      (thrown) => !/hunter2/.test(String(thrown)),
    );
  });
});
