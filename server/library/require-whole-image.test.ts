import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { writeMbr } from '#agent/write/partition-table.ts';
import { diskImage } from '#test/support/disk-image.ts';
import type { ImagePiece } from './image-piece.ts';
import { requireWholeImage } from './require-whole-image.ts';

const MIB = 1 << 20;

async function* pieces(image: Buffer): AsyncGenerator<ImagePiece> {
  for (let at = 0; at < image.length; at += 300_000) yield image.subarray(at, at + 300_000);
}

async function passed(image: AsyncIterable<ImagePiece>): Promise<number> {
  let bytes = 0;
  for await (const piece of requireWholeImage(image)) bytes += 'zeros' in piece ? piece.zeros : piece.length;
  return bytes;
}

function mbrDisk(sizeBytes: number, lastBlock: number): Buffer {
  const image = Buffer.alloc(sizeBytes);
  writeMbr(image, [{ type: 0x83, isActive: false, firstBlock: 2048, lastBlock }]);
  return image;
}

describe('an image that is imported', () => {
  for (const blockBytes of [512, 4096]) {
    // Its partitions end at 4.5 of 5 MiB.
    const image = diskImage({ blockBytes });

    it(`passes whole, also without the copy of its GPT for blocks of ${blockBytes} bytes, which machines make anew`, async () => {
      assert.equal(await passed(pieces(image)), image.length);
      assert.equal(await passed(pieces(image.subarray(0, 4.5 * MIB))), 4.5 * MIB);
    });

    it(`is refused when it is cut inside a partition of a GPT for blocks of ${blockBytes} bytes`, async () => {
      await assert.rejects(passed(pieces(image.subarray(0, 4.5 * MIB - 4096))), {
        code: 'corrupt_image',
        message: /cut short: its partition 2 ends at byte 4718592 and it has only 4714496/,
      });
      await assert.rejects(passed(pieces(image.subarray(0, MIB / 2))), /cut short: its partition 1/);
    });

    it(`is refused at its start when its GPT for blocks of ${blockBytes} bytes is damaged`, async () => {
      const damaged = Buffer.from(image);
      damaged[2 * blockBytes + 60] = 0x55;
      let isRead = false;
      async function* source(): AsyncGenerator<ImagePiece> {
        yield* pieces(damaged.subarray(0, 2 * MIB));
        isRead = true;
      }

      await assert.rejects(passed(source()), { code: 'corrupt_image', message: /checksums of its partition table/ });
      assert.equal(isRead, false);
    });
  }

  it('is refused when it is cut inside a partition of an MBR', async () => {
    assert.equal(await passed(pieces(mbrDisk(4 * MIB, 8191))), 4 * MIB);
    await assert.rejects(passed(pieces(mbrDisk(3 * MIB, 8191))), /cut short: its partition 1 ends at byte 4194304/);
  });

  it('passes without a partition table, and with an end that is a run of zeros', async () => {
    async function* sparse(): AsyncGenerator<ImagePiece> {
      yield mbrDisk(MIB, 8191);
      yield { zeros: 3 * MIB };
    }

    assert.equal(await passed(pieces(Buffer.alloc(2 * MIB, 'a file system'))), 2 * MIB);
    assert.equal(await passed(pieces(Buffer.alloc(512, 1))), 512);
    assert.equal(await passed(sparse()), 4 * MIB);
  });
});
