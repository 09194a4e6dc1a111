import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { describe, it } from 'node:test';
import { HashThreads } from './hash-threads.ts';
import { WriteMemory } from './write-memory.ts';

const LIMIT = { timeout: 60_000 };

describe('the memory of a write', () => {
  for (const processors of [1, 2, 8]) {
    it(`sums up right on ${processors} processor(s), also many at once and again and again`, LIMIT, async () => {
      await using memory = new WriteMemory(new HashThreads(processors));
      const aligned = memory.aligned(6, 1 << 20).map((piece, i) => piece.fill(i));
      const pieces = [...aligned, memory.plain(100_000).fill(7), Buffer.alloc(1000, 8)];
      const expected = pieces.map((piece) => createHash('sha256').update(piece).digest('hex'));

      for (let round = 0; round < 40; round++) {
        assert.deepEqual(await Promise.all(pieces.map((piece) => memory.sha256(piece))), expected);
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
    });
  }

  it('counts what it gives', async () => {
    await using memory = new WriteMemory();
    memory.aligned(2, 8192);
    memory.plain(1000);
    assert.equal(memory.peakBytes, 17_384);
  });
});
