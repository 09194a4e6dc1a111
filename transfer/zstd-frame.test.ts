import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { constants, zstdCompressSync } from 'node:zlib';
import { hasOwnSum, zstdFrameBytes, zstdFrameHead } from './zstd-frame.ts';

const LENGTHS = [0, 1, 255, 256, 65_791, 65_792, 4 << 20];

/** Half of it is one run, half of it cannot be compressed: all kinds of blocks. */
function contents(length: number): Buffer {
  const bytes = Buffer.alloc(length);
  for (let at = length >> 1; at < length; at++) bytes[at] = (at * 2_654_435_761) >>> 24;
  return bytes;
}

function frame(raw: Buffer, { hasSum = true, saysLength = true } = {}): Buffer {
  const params = {
    [constants.ZSTD_c_checksumFlag]: Number(hasSum),
    [constants.ZSTD_c_contentSizeFlag]: Number(saysLength),
  };
  return zstdCompressSync(raw, { params, pledgedSrcSize: raw.length });
}

describe('a zstd frame', () => {
  for (const length of LENGTHS) {
    it(`of ${length} bytes tells its lengths, and whether it has a sum`, () => {
      for (const hasSum of [true, false]) {
        const bytes = frame(contents(length), { hasSum });
        const head = zstdFrameHead(bytes);
        assert.equal(head?.contentBytes, length);
        assert.equal(head.hasSum, hasSum);
        assert.equal(zstdFrameBytes(bytes), bytes.length);
        assert.equal(zstdFrameBytes(Buffer.concat([bytes, bytes])), bytes.length);
        assert.equal(hasOwnSum(bytes, length), hasSum);
      }
    });
  }

  it('need not say how much it holds', () => {
    const bytes = frame(contents(1000), { saysLength: false });
    assert.equal(zstdFrameHead(bytes)?.contentBytes, undefined);
    assert.equal(zstdFrameBytes(bytes), bytes.length);
    assert.equal(hasOwnSum(bytes, 1000), false);
  });

  it('proves its contents only if it is whole, alone and of the right length', () => {
    const bytes = frame(contents(70_000));
    assert.equal(hasOwnSum(bytes, 70_000), true);
    assert.equal(hasOwnSum(bytes, 69_999), false);
    for (const end of [0, 3, 5, 8, 11, bytes.length - 4, bytes.length - 1]) {
      assert.equal(hasOwnSum(bytes.subarray(0, end), 70_000), false, `cut after ${end} bytes`);
    }
    assert.equal(hasOwnSum(Buffer.concat([bytes, bytes]), 70_000), false);
    assert.equal(hasOwnSum(Buffer.concat([bytes, Buffer.alloc(4)]), 70_000), false);
    assert.equal(hasOwnSum(Buffer.concat([Buffer.from('x'), bytes]), 70_000), false);
  });
});
