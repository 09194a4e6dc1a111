import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { diskImage } from '#test/support/disk-image.ts';
import { readPartitionTable } from '#transfer/partition-table.ts';
import { stretchGpt, writeMbr } from './partition-table.ts';

const MIB = 1 << 20;

describe('a partition table', () => {
  for (const blockBytes of [512, 4096]) {
    it(`with blocks of ${blockBytes} bytes is moved to the end of a larger disk, with both copies valid`, () => {
      const image = diskImage({ blockBytes });
      const head = Buffer.from(image.subarray(0, MIB));
      const tail = Buffer.alloc(MIB);
      const sizeBytes = 64 * MIB;

      assert.equal(stretchGpt(head, tail, { sizeBytes, blockBytes }), true);

      assert.deepEqual(
        readPartitionTable(head, blockBytes)?.partitions.map((p) => p.number),
        [1, 2],
      );
      // The copy reads as a primary one when it is put where that would be: only the places differ.
      const copy = tail.subarray(tail.length - blockBytes);
      assert.equal(copy.readBigUInt64LE(24), BigInt(sizeBytes / blockBytes - 1));
      assert.equal(copy.readBigUInt64LE(32), 1n);
      const entriesAt = Number(copy.readBigUInt64LE(72)) * blockBytes - (sizeBytes - MIB);
      assert.ok(
        tail.subarray(entriesAt, entriesAt + 16_384).equals(head.subarray(2 * blockBytes, 2 * blockBytes + 16_384)),
      );
      assert.ok(copy.readBigUInt64LE(48) < copy.readBigUInt64LE(72));
      assert.equal(head.readUInt32LE(446 + 12), sizeBytes / blockBytes - 1);
    });
  }

  it('with one wrong bit anywhere in header or entries is none', () => {
    for (const at of [512 + 20, 512 + 41, 512 + 88, 1024 + 33]) {
      const head = Buffer.from(diskImage().subarray(0, MIB));
      head.writeUInt8(head.readUInt8(at) ^ 1, at);

      assert.equal(readPartitionTable(head, 512), undefined);
      assert.equal(stretchGpt(head, Buffer.alloc(MIB), { sizeBytes: 64 * MIB, blockBytes: 512 }), false);
    }
  });

  it('that claims absurd sizes is none and reads nothing out of bounds', () => {
    const head = Buffer.from(diskImage().subarray(0, MIB));
    head.writeUInt32LE(0xffff_ffff, 512 + 12);
    assert.equal(readPartitionTable(head, 512), undefined);
    assert.equal(readPartitionTable(head.subarray(0, 600), 512), undefined);
    assert.equal(readPartitionTable(Buffer.alloc(0), 512), undefined);
  });

  it('is not seen in the boot sector of a FAT file system', () => {
    const head = Buffer.alloc(MIB);
    head.write('This is not a bootable disk. Please insert a bootable floppy and press any key to try again ...', 440);
    head.writeUInt16LE(0xaa55, 510);

    assert.equal(readPartitionTable(head, 512), undefined);
  });

  it('of the MBR kind lists primary partitions', () => {
    const head = Buffer.alloc(MIB);
    writeMbr(head, [
      { type: 0x83, isActive: true, firstBlock: 2048, lastBlock: 4095 },
      { type: 0x82, isActive: false, firstBlock: 4096, lastBlock: 6143 },
    ]);

    assert.deepEqual(readPartitionTable(head, 512), {
      kind: 'mbr',
      blockBytes: 512,
      partitions: [
        { number: 1, firstBlock: 2048, lastBlock: 4095 },
        { number: 2, firstBlock: 4096, lastBlock: 6143 },
      ],
    });
  });
});
