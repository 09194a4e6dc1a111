import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { noDisk } from './no-disk.ts';
import { isOtherFormat } from './other-formats.ts';

const KIB = 1024;

/** Superblocks as mkfs.minix and mkfs.nilfs2 wrote them. */
const MINIX_1 = '60050010010001002f000000001c08108f130100000000000000000000000000';
const MINIX_2 = '60050000010001005a000000ffffff7f68240100001000000000000000000000';
const MINIX_3 = '600500000000010001005a0000000000ffffff7f001000005a4d000000040000';
const NILFS_2 =
  '0200000000003434180100002ccc6ef9cd208a030200000011000000000000000000c00800000000' +
  '01000000000000000008000005000000010000000000000001000000000000000000000000000000' +
  '0080000000000000907c096b000000000000000000000000907c096b000000000000320001000100' +
  '907c096b00000000004eed0000000000000000000b00000080002000c000100062b1ddb59099456d' +
  '8410c27382696ae2';

function imageWith(at: number, hex: string): Buffer {
  const image = Buffer.alloc(KIB * KIB);
  image.write(hex, at, 'hex');
  return image;
}

/** A superblock of minix of the other byte order; `wide`: where fields of four bytes are. */
function swapped(hex: string, wide: readonly number[]): string {
  const block = Buffer.from(hex, 'hex').swap16();
  for (const at of wide)
    block
      .subarray(at, at + 4)
      .swap16()
      .swap32();
  return block.toString('hex');
}

describe('an image of a format that agents know nothing of', () => {
  for (const [name, at, hex] of [
    ['minix 1', KIB, MINIX_1],
    ['minix 2', KIB, MINIX_2],
    ['minix 3', KIB, MINIX_3],
    ['minix 2 of the other byte order', KIB, swapped(MINIX_2, [12, 20])],
    ['minix 3 of the other byte order', KIB, swapped(MINIX_3, [0, 16, 20])],
    ['nilfs2', KIB, NILFS_2],
    ['UFS1', 8 * KIB + 1372, '54190100'],
    ['UFS1 of the other byte order', 8 * KIB + 1372, '00011954'],
    ['UFS2', 64 * KIB + 1372, '19015419'],
    ['UFS2 in the last place', 256 * KIB + 1372, '19540119'],
    ['ZFS', (128 + 4) * KIB, '0cb1ba0000000000'],
    ['ZFS of the other byte order, by its second label', (512 - 1) * KIB, '0000000000bab10c'],
  ] as const) {
    it(`is known: ${name}`, () => {
      assert.ok(isOtherFormat(imageWith(at, hex)));
      assert.equal(noDisk(imageWith(at, hex)), undefined);
    });
  }

  for (const [what, at, hex] of [
    ['minix whose map of inodes is too short', KIB, MINIX_1.replace(/^6005/, '6065')],
    ['minix 2 whose map of zones is too short', KIB, MINIX_2.replace(/00100000(?=0{16}$)/, '00100100')],
    ['minix 3 without inodes', KIB, MINIX_3.replace(/^6005/, '0000')],
    ['nilfs2 with another checksum', KIB, NILFS_2.replace('cd208a03', 'cd208a04')],
    ['nilfs2 that is shorter than its checksum', KIB, NILFS_2.replace('34341801', '34340100')],
    ['an uberblock beside its place', 132 * KIB + 8, '0cb1ba0000000000'],
  ] as const) {
    it(`is not taken for one by its mark alone: ${what}`, () => {
      assert.ok(!isOtherFormat(imageWith(at, hex)));
    });
  }

  it('is no text, wherever the letters of a mark may fall in it', () => {
    for (const letters of ['h$', 'x$', '$h', 'ZM', 'MZ', '44']) {
      const page = Buffer.alloc(KIB * KIB, letters);
      assert.ok(!isOtherFormat(page), letters);
      assert.ok(!isOtherFormat(Buffer.concat([Buffer.from(' '), page])), letters);
    }
  });

  it('is looked for in no more than there is', () => {
    for (const bytes of [0, 512, 1500, 2048, 9567, 132 * KIB + 3, 132 * KIB + 7]) {
      assert.ok(!isOtherFormat(Buffer.alloc(bytes)), String(bytes));
    }
  });
});
