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

async function passed(image: AsyncIterable<ImagePiece>, warn: (text: string) => void = () => {}): Promise<number> {
  let bytes = 0;
  for await (const piece of requireWholeImage(image, warn)) bytes += 'zeros' in piece ? piece.zeros : piece.length;
  return bytes;
}

async function warningOf(image: Buffer): Promise<string> {
  const warnings: string[] = [];
  await passed(pieces(image), (text) => warnings.push(text));
  return warnings.join();
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

  it('passes with a warning that says how it begins when it looks like no disk', async () => {
    const page = 'Error 404: the image has moved\u0007\n'.padEnd(512);
    for (const [image, start] of [
      [Buffer.from(page), 'it begins with the text "Error 404: the image has"'],
      [Buffer.from(`\uFEFF${page}`.slice(0, 510)), 'it begins with the text "Error 404: the image has"'],
      [Buffer.concat([Buffer.from('0102030405', 'hex'), Buffer.alloc(2 * MIB - 5)]), 'the bytes 01020304050000'],
      [Buffer.alloc(2 * MIB), 'it begins with nothing but zeros'],
    ] as const) {
      assert.match(
        await warningOf(image),
        new RegExp(`^it looks like no disk: .* file system that is known, .*${start}`),
      );
    }
  });

  it('passes without a warning when something at its start is known', async () => {
    for (const [at, mark] of [
      [510, '\x55\xaa'],
      [1024 + 56, '\x53\xef'],
      [0, 'XFSB'],
      [0, 'hsqs'],
      [65_600, '_BHRfS_M'],
      [32_769, 'CD001'],
      [0, 'LUKS\xba\xbe'],
      [536, 'LVM2 001'],
      [1024, '\x10\x20\xf5\xf2'],
    ] as const) {
      const image = Buffer.alloc(2 * MIB);
      image.write(mark, at, 'latin1');
      assert.equal(await warningOf(image), '', mark);
    }
    assert.equal(await warningOf(diskImage()), '');
    assert.equal(await warningOf(diskImage({ blockBytes: 4096 })), '');
    assert.equal(await warningOf(mbrDisk(4 * MIB, 8191)), '');
  });

  it('is refused as cut short, or as none, when its length is none of a disk and nothing at its start is known', async () => {
    await assert.rejects(passed(pieces(Buffer.from('moved to another server'))), {
      code: 'corrupt_image',
      message: /cut short, or none at all: it has 23 bytes, no multiple of 512, and it begins with the text "moved/,
    });
    await assert.rejects(
      passed(pieces(diskImage().subarray(0, 5 * MIB - 3))),
      /is cut short: it has \d+ bytes, no multiple/,
    );
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
