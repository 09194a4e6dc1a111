import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { chooseResponse } from './http-range.ts';

const FILE = { sizeBytes: 1000, etag: '"abc"', modifiedAt: new Date('2026-11-22T10:00:00Z') };

function range(header: string, sizeBytes = 1000): readonly [number, number | undefined, number | undefined] {
  const { status, range } = chooseResponse({ range: header }, { ...FILE, sizeBytes });
  return [status, range?.from, range?.lengthBytes];
}

describe('http range', () => {
  for (const [header, expected] of [
    ['bytes=0-0', [206, 0, 1]],
    ['bytes=0-', [206, 0, 1000]],
    ['bytes=999-', [206, 999, 1]],
    ['bytes=10-19', [206, 10, 10]],
    ['bytes=10-99999999999999999999', [206, 10, 990]],
    ['bytes=-1', [206, 999, 1]],
    ['bytes=-5000', [206, 0, 1000]],
    ['BYTES=5-6', [206, 5, 2]],
    ['bytes=1000-', [416, undefined, undefined]],
    ['bytes=-0', [416, undefined, undefined]],
    ['bytes=99999999999999999999-', [416, undefined, undefined]],
    ['bytes=5-4', [200, 0, 1000]],
    ['bytes=-', [200, 0, 1000]],
    ['bytes=0-1,5-6', [200, 0, 1000]],
    ['lines=0-1', [200, 0, 1000]],
    ['bytes=0x1-5', [200, 0, 1000]],
  ] as const) {
    it(`answers "${header}" with ${expected[0]}`, () => {
      assert.deepEqual(range(header), expected);
    });
  }

  it('has nothing to give of an empty file but the whole', () => {
    assert.deepEqual(range('bytes=0-', 0), [416, undefined, undefined]);
    assert.deepEqual(range('none', 0), [200, 0, 0]);
  });

  it('says where the range lies in the whole', () => {
    const { headers } = chooseResponse({ range: 'bytes=10-19' }, FILE);

    assert.deepEqual(
      [headers['content-range'], headers['content-length'], headers['etag']],
      ['bytes 10-19/1000', 10, '"abc"'],
    );
    assert.equal(chooseResponse({ range: 'bytes=1000-' }, FILE).headers['content-range'], 'bytes */1000');
  });

  it('honours a range only while If-Range names exactly this file', () => {
    const status = (ifRange: string): number => chooseResponse({ range: 'bytes=1-', 'if-range': ifRange }, FILE).status;

    assert.deepEqual(['"abc"', 'W/"abc"', '"old"', FILE.modifiedAt.toUTCString()].map(status), [206, 200, 200, 200]);
  });

  it('answers conditions by tag', () => {
    assert.equal(chooseResponse({ 'if-none-match': '"x", W/"abc"' }, FILE).status, 304);
    assert.equal(chooseResponse({ 'if-none-match': '*' }, FILE).status, 304);
    assert.equal(chooseResponse({ 'if-none-match': '"x"' }, FILE).status, 200);
    assert.equal(chooseResponse({ 'if-match': '"x"' }, FILE).status, 412);
    assert.equal(chooseResponse({ 'if-match': 'W/"abc"' }, FILE).status, 412);
    assert.equal(chooseResponse({ 'if-match': '"abc"', range: 'bytes=1-' }, FILE).status, 206);
  });
});
