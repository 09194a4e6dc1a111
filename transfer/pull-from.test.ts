import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { putBytes } from './image-sink.ts';
import { pullFrom } from './pull-from.ts';

const PIECE = Buffer.alloc(1 << 20, 7);

describe('pulling from what writes into a sink', () => {
  it('ends a producer that does not ask whether anybody reads on', async () => {
    let made = 0;
    const pieces = pullFrom(async (sink) => {
      for (; made < 1000; made += 1) await putBytes(sink, PIECE);
    });

    for await (const _ of pieces) break;

    assert.ok(made < 4, `${made} pieces were made for nobody`);
  });
});
