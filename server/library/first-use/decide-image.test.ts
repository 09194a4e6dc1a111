import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { LibraryImage } from '../image-library.ts';
import { chooseImage, decideImage, type ImageFacts } from './decide-image.ts';

const [SUM, RAW, OTHER] = ['a', 'b', 'c'].map((digit) => digit.repeat(64)) as [string, string, string];
const FAILURE = { code: 'download_failed', message: 'cannot fetch it' } as const;

function imageWith(changes: Partial<LibraryImage> = {}): LibraryImage {
  return {
    name: 'url-1',
    digest: 'd'.repeat(64),
    imageBytes: 512,
    imageSha256: RAW,
    fileBytes: 100,
    dataBytes: 512,
    source: 'https://a.example/d.raw',
    addedAt: new Date(0),
    sourceSha256: SUM,
    forUrl: { key: 'k', shown: 'https://a.example/d.raw', isPinned: false },
    ...changes,
  };
}

const image = imageWith();
const pinned = imageWith({ name: 'debian', forUrl: { key: 'k', shown: 'https://a.example/d.raw', isPinned: true } });
const from = (digest = image.digest) => ({ kind: 'library', digest }) as const;

function step(facts: Partial<ImageFacts>, sums: Partial<ImageFacts['wanted']> = {}) {
  return decideImage({ mode: 'on', isNew: false, wanted: { shown: 'https://a.example/d.raw', ...sums }, ...facts });
}

describe('decideImage', () => {
  it('imports what is not there, and asks about what is', () => {
    assert.deepEqual(step({}), { kind: 'import' });
    assert.deepEqual(step({ image }), { kind: 'ask' });
  });

  it('uses an image again without asking if a sum, an operator, this very import or an air gap says so', () => {
    for (const [facts, sums] of [
      [{ image }, { sha256: SUM }],
      [{ image }, { rawSha256: RAW }],
      [{ image: pinned }, {}],
      [{ image, isNew: true }, {}],
      [{ image, mode: 'only' }, {}],
    ] as const) {
      assert.deepEqual(step(facts, sums), from());
    }
  });

  it('follows what the upstream says', () => {
    assert.deepEqual(step({ image, upstream: { kind: 'same' } }), from());
    assert.deepEqual(step({ image, upstream: { kind: 'changed' } }), { kind: 'import' });
    assert.deepEqual(step({ image, upstream: { kind: 'refused', reason: 'it answers 403' } }), {
      kind: 'machine',
      note: 'it answers 403',
    });
    assert.deepEqual(step({ image, upstream: { kind: 'away', reason: 'it is away' } }), {
      ...from(),
      note: 'it is away: the image that was imported 1970-01-01T00:00:00.000Z is used',
    });
  });

  it('uses no image whose sums differ, whoever speaks for it', () => {
    for (const sums of [{ sha256: OTHER }, { rawSha256: OTHER }, { sha256: SUM, rawSha256: OTHER }]) {
      for (const facts of [{ image: pinned }, { image, isNew: true }, { image, mode: 'only' }] as const) {
        assert.deepEqual(step(facts, sums), { kind: 'import' });
      }
    }
    const { sourceSha256: _, ...unsummed } = pinned;
    assert.deepEqual(step({ image: unsummed }, { sha256: SUM }), { kind: 'import' });
    assert.deepEqual(step({ image: unsummed }, { sha256: SUM, rawSha256: RAW }), from());
  });

  it('leaves a failed import to the machine, or fails where machines may not fetch it', () => {
    assert.deepEqual(step({ failure: FAILURE }), { kind: 'machine', note: 'cannot fetch it' });
    const failed = step({ failure: FAILURE, mode: 'only' });
    assert.equal(failed.kind, 'failed');
    assert.match(
      JSON.stringify(failed),
      /d\.raw is not in the library, and cannot be imported: cannot fetch it; if you have its file, add it/,
    );
    assert.match(
      JSON.stringify(step({ failure: FAILURE, mode: 'only', image }, { sha256: OTHER })),
      /url-1 is not the/,
    );
  });
});

describe('chooseImage', () => {
  it('takes one that fits, then the operator’s, then the newest', () => {
    const newer = imageWith({ name: 'newer', addedAt: new Date(1), imageSha256: OTHER });
    const wanted = { shown: 'x' };

    assert.equal(chooseImage([image, newer], wanted)?.name, 'newer');
    assert.equal(chooseImage([newer, pinned], wanted)?.name, 'debian');
    assert.equal(chooseImage([newer, pinned], { ...wanted, rawSha256: OTHER })?.name, 'newer');
    assert.equal(chooseImage([], wanted), undefined);
  });
});
