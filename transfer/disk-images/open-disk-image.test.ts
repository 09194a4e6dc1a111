import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { TinsmithError } from '#proto/errors.ts';
import { imageFixture } from '#test/support/disk-image-fixtures.ts';
import type { DiskImage, Extent, SeekableFile } from './disk-image.ts';
import { decodeExtent } from './extent-decoder.ts';
import { openDiskImage } from './open-disk-image.ts';

const DISK_BYTES = 16 << 20;
const ROUNDS = 150;

/** Where the structures of each fixture lie: what is hit elsewhere is data. */
const STRUCTURES: Readonly<Record<string, readonly (readonly [from: number, to: number])[]>> = {
  'v3.qcow2': [
    [0, 112],
    [196_608, 196_624],
    [262_144, 263_800],
  ],
  'zlib.qcow2': [
    [0, 112],
    [196_608, 196_624],
    [262_144, 263_800],
  ],
  'zstd.qcow2': [
    [0, 112],
    [196_608, 196_624],
    [262_144, 263_800],
  ],
  'sparse.vmdk': [
    [0, 80],
    [512, 900],
    [0x3400, 0x3410],
    [10_240, 16_384],
  ],
  'stream.vmdk': [
    [0, 80],
    [512, 900],
    [0x3400, 0x3410],
    [0x2600, 0x2700],
  ],
  'dynamic.vhdx': [
    [65_536, 65_630],
    [196_608, 196_700],
    [1 << 21, (1 << 21) + 200],
    [(1 << 21) + 65_536, (1 << 21) + 65_600],
    [3 << 20, (3 << 20) + 120],
  ],
  'dynamic.vhd': [
    [0, 1536],
    [1536, 1600],
  ],
  'dynamic.vdi': [
    [0, 512],
    [512, 600],
  ],
};

function memorySource(file: Buffer): SeekableFile {
  return {
    sizeBytes: file.length,
    read: async (offset, bytes) => {
      assert.ok(offset >= 0 && bytes > 0 && offset + bytes <= file.length, `read ${bytes} bytes at ${offset}`);
      return file.subarray(offset, offset + bytes);
    },
  };
}

async function open(file: Buffer): Promise<DiskImage | undefined> {
  return openDiskImage(memorySource(file), file.subarray(0, 65_536), { requireFits });
}

function requireFits(virtualBytes: number): void {
  if (virtualBytes > DISK_BYTES) throw new TinsmithError('device_unfit', 'too large');
}

/** Always the same numbers, from 0 to 2^32 - 1. */
function* numbers(seed: number): Generator<number, never> {
  for (let state = seed; ; ) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    yield state;
  }
}

function requireInBounds({ extents, virtualBytes }: DiskImage, file: Buffer): void {
  let end = 0;
  for (const { diskOffset, diskBytes, fileOffset, fileBytes, coding } of extents.toSorted(
    (a, b) => a.diskOffset - b.diskOffset,
  )) {
    assert.ok(diskOffset >= end, `byte ${diskOffset} of the disk is written twice`);
    end = diskOffset + diskBytes;
    assert.ok(diskOffset < virtualBytes && (coding !== 'plain' || end <= virtualBytes));
    assert.ok(fileOffset >= 0 && fileBytes > 0 && fileOffset + fileBytes <= file.length);
  }
}

async function decodes(extent: Extent, file: Buffer): Promise<void> {
  const coded = file.subarray(extent.fileOffset, extent.fileOffset + extent.fileBytes);
  assert.equal((await decodeExtent(extent, coded)).length, extent.diskBytes);
}

describe('a hostile image', () => {
  for (const [name, structures] of Object.entries(STRUCTURES)) {
    it(`made of ${name} is refused in a sentence or leads nowhere outside of file and disk`, {
      timeout: 60_000,
    }, async () => {
      const original = imageFixture(name);
      const random = numbers(name.length);
      let refused = 0;
      for (let round = 0; round < ROUNDS; round++) {
        const file = Buffer.from(original);
        const [from, to] = structures[random.next().value % structures.length] ?? [0, 1];
        const at = from + (random.next().value % (to - from));
        // A bit, a byte, or eight bytes that look like a number.
        const kind = round % 3;
        if (kind === 0) file[at] = (file[at] ?? 0) ^ (1 << (random.next().value % 8));
        else if (kind === 1) file[at] = random.next().value & 0xff;
        else if (at + 8 <= file.length) file.writeBigUInt64BE(BigInt(random.next().value) << 31n, at);
        try {
          const image = await open(file);
          if (image === undefined) continue;
          requireInBounds(image, file);
          for (const extent of image.extents) await decodes(extent, file);
        } catch (thrown) {
          assert.ok(thrown instanceof TinsmithError, `round ${round}, byte ${at}: ${String(thrown)}`);
          assert.notEqual(thrown.code, 'internal');
          refused += 1;
        }
      }
      assert.ok(refused > ROUNDS / 20, `${refused} of ${ROUNDS} were refused`);
    });

    it(`cut from ${name} is no image any more`, async () => {
      const original = imageFixture(name);
      for (const share of [0.01, 0.1, 0.5]) {
        const file = original.subarray(0, Math.floor(original.length * share));
        assert.equal(await isWhole(file), false, `${share} of it`);
      }
    });
  }
});

/** False when it is refused in a sentence, or is not recognised. */
async function isWhole(file: Buffer): Promise<boolean> {
  try {
    const image = await open(file);
    if (image === undefined) return false;
    for (const extent of image.extents) await decodes(extent, file);
    return true;
  } catch (thrown) {
    assert.ok(thrown instanceof TinsmithError, String(thrown));
    return false;
  }
}
