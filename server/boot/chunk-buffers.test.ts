import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ChunkBuffers } from './chunk-buffers.ts';

describe('chunk buffers', () => {
  it('gives what came back again, and never to two at once', () => {
    const buffers = new ChunkBuffers({ chunkBytes: 1000, most: 2 });
    const first = buffers.take(1000);
    assert.notEqual(buffers.take(1000), first);
    buffers.giveBack(first);

    assert.equal(buffers.take(900), first);
    assert.notEqual(buffers.take(900), first);
  });

  it('keeps no more than it may, and nothing of another length', () => {
    const buffers = new ChunkBuffers({ chunkBytes: 1000, most: 1 });
    const [one, two, long, short] = [1000, 1000, 5000, 10].map((size) => buffers.take(size));
    for (const buffer of [long, short, one, two]) buffers.giveBack(buffer ?? Buffer.alloc(0));

    assert.equal(buffers.take(1000), one);
    assert.notEqual(buffers.take(1000), two);
    assert.deepEqual([long?.length, short?.length], [5000, 10]);
  });
});
