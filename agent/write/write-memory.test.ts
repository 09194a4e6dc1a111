import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { describe, it } from 'node:test';
import { WriteMemory } from './write-memory.ts';

describe('the memory of a library write', () => {
  for (const processors of [1, 8]) {
    it(`hashes right on ${processors} processor(s), also many at once`, async () => {
      const memory = new WriteMemory(processors);
      const pieces = Array.from({ length: 8 }, (_, i) => memory.plain(100_000).fill(i));

      const sums = await Promise.all(pieces.map((piece) => memory.sha256(piece)));

      const expected = pieces.map((piece) => createHash('sha256').update(piece).digest('hex'));
      assert.deepEqual(sums, expected);
    });
  }

  it('counts what it gives and, where hashes make copies, three of these at most', async () => {
    const [few, many] = [new WriteMemory(2), new WriteMemory(4)];
    for (const memory of [few, many]) {
      const pieces = Array.from({ length: 8 }, () => memory.plain(1000));
      await Promise.all(pieces.map((piece) => memory.sha256(piece)));
    }

    assert.deepEqual([few.peakBytes, many.peakBytes], [8000, 11_000]);
  });
});
