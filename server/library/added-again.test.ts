import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { addedAgain } from './added-again.ts';
import type { VouchedBy } from './checks/vouched-by.ts';
import type { LibraryImage } from './image-library.ts';

const OLD: LibraryImage = {
  name: 'os',
  digest: 'd1',
  imageBytes: 512,
  imageSha256: 'content',
  fileBytes: 100,
  dataBytes: 512,
  source: '/disk.xz',
  addedAt: new Date(1000),
};
const NEW = { ...OLD, source: '/disk.zst', addedAt: new Date(2000) };
const SUM: VouchedBy = { kind: 'sum', of: 'source' };
const LIST: VouchedBy = { kind: 'checksums', from: '/SHA256SUMS', algorithm: 'sha256' };
const SIGNED: VouchedBy = { kind: 'signature', of: 'checksums', from: '/s', format: 'minisign', key: 'k' };
const PINNED = { key: 'k', shown: 'https://a.example/d', isPinned: true };

describe('an image that is added under a name that has one', () => {
  it('is told for what it is to the name', () => {
    assert.deepEqual(addedAgain(undefined, NEW), { image: NEW, outcome: 'created' });
    const other = { ...NEW, digest: 'd2', imageSha256: 'other' };
    assert.deepEqual(addedAgain({ ...OLD, vouchedBy: [SIGNED] }, other), { image: other, outcome: 'configured' });
  });

  it('takes nothing from what is known of the same content', () => {
    for (const vouchedBy of [undefined, [], [LIST], [SUM], [LIST, SIGNED], [SUM, LIST]]) {
      const old = { ...OLD, ...(vouchedBy && { vouchedBy }) };
      for (const less of [[], vouchedBy ?? []]) {
        assert.deepEqual(addedAgain(old, { ...NEW, vouchedBy: less }), { image: old, outcome: 'unchanged' });
      }
    }
  });

  it('brings its source and evidence where that says more', () => {
    const steps: readonly (readonly [readonly VouchedBy[] | undefined, readonly VouchedBy[]])[] = [
      [undefined, [LIST]],
      [[], [LIST]],
      [[LIST], [SUM]],
      [[SUM], [SUM, LIST]],
      [[SUM, LIST], [SIGNED]],
    ];
    for (const [less, more] of steps) {
      const made = { ...NEW, vouchedBy: more };
      const old = { ...OLD, ...(less && { vouchedBy: less }) };
      assert.deepEqual(addedAgain(old, made), { image: made, outcome: 'configured' });
      assert.equal(addedAgain(made, old).outcome, 'unchanged');
    }
  });

  it('packed in another way is the same content with another digest', () => {
    const packed = { ...NEW, digest: 'd2', fileBytes: 90, vouchedBy: [] };
    assert.deepEqual(addedAgain({ ...OLD, vouchedBy: [SUM] }, packed), {
      image: { ...OLD, vouchedBy: [SUM], digest: 'd2', fileBytes: 90 },
      outcome: 'configured',
    });
  });

  it('stays the image of its URL, as the file of that URL was', () => {
    const old = { ...OLD, forUrl: PINNED, sourceSha256: 'old', sourceBytes: 1, vouchedBy: [] };
    const made = { ...NEW, sourceBytes: 2, vouchedBy: [SUM] };
    assert.deepEqual(addedAgain(old, made).image, { ...made, forUrl: PINNED, sourceSha256: 'old', sourceBytes: 1 });
  });

  it('becomes the image of another URL', () => {
    const old = { ...OLD, sourceSha256: 'old', validator: 'v', vouchedBy: [SUM] };
    const made = { ...NEW, forUrl: PINNED, sourceSha256: 'new', vouchedBy: [] };
    assert.deepEqual(addedAgain(old, made), {
      image: { ...OLD, forUrl: PINNED, sourceSha256: 'new', vouchedBy: [SUM] },
      outcome: 'configured',
    });
  });

  it('has the date of its last import where the server chooses by it', () => {
    const forUrl = { ...PINNED, isPinned: false };
    const old = { ...OLD, forUrl, validator: '"1"', vouchedBy: [SUM] };
    const { image } = addedAgain(old, { ...NEW, source: OLD.source, forUrl, validator: '"2"', vouchedBy: [] });
    assert.deepEqual(image, { ...old, validator: '"2"', addedAt: NEW.addedAt });
  });
});
