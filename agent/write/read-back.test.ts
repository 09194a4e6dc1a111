/** Odd sizes, disks with large blocks, and disks that do not give back what they took, for images from a URL. */
import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { gzipSync } from 'node:zlib';
import { diskImage } from '#test/support/disk-image.ts';
import { hostileServer, wholeFile } from '#test/support/hostile-server.ts';
import { strictDisk } from '#test/support/strict-disk.ts';
import { readPartitionTable } from '#transfer/partition-table.ts';
import { TinsmithError } from '../../proto/errors.ts';
import { folderMachine } from '../machine/folder-machine.ts';
import { writeImage } from './write-image.ts';

const KIB = 1 << 10;
const MIB = 1 << 20;
const signal = new AbortController().signal;
let folder: string;
let names = 0;

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tinsmith-read-back-'));
});

after(() => rm(folder, { recursive: true, force: true }));

interface Case {
  readonly blockBytes?: number;
  readonly diskBytes: number;
  readonly imageBytes: number;
  readonly damagedAt?: number;
  readonly verifyDisk?: boolean;
}

async function write({ blockBytes = 512, diskBytes, imageBytes, damagedAt, verifyDisk = true }: Case) {
  const image = diskImage({ sizeBytes: imageBytes, blockBytes });
  await using server = await hostileServer(gzipSync(image, { level: 1 }), [wholeFile]);
  names += 1;
  const machine = folderMachine({
    folder: join(folder, String(names)),
    disks: { '/dev/sda': diskBytes },
    logicalBlockBytes: blockBytes,
  });
  await using disk = await machine.openDisk('/dev/sda', { signal });
  await disk.write(Buffer.alloc(diskBytes, 0xa5), 0);
  const readBack: number[] = [];
  const result = await writeImage(
    strictDisk(disk, damagedAt === undefined ? {} : { damagedAt }),
    { url: server.url, proxy: {}, retryForMs: 400, verifyDisk },
    { signal, log: () => undefined, progress: () => undefined, readBack: ({ done }) => readBack.push(done) },
  ).catch((thrown: unknown) => TinsmithError.from(thrown));
  return { image, result, readBack, disk: await readFile(machine.diskFile('/dev/sda')) };
}

const SHAPES: readonly (readonly [string, Case])[] = [
  ['a disk with blocks of 4096 bytes', { blockBytes: 4096, diskBytes: 12 * MIB, imageBytes: 5 * MIB }],
  [
    'a disk with blocks of 4096 bytes, and an image that ends within one',
    { blockBytes: 4096, diskBytes: 12 * MIB, imageBytes: 6 * MIB + 1536 },
  ],
  ['a disk that is no multiple of 4 MiB', { diskBytes: 9 * MIB + 512, imageBytes: 5 * MIB + 512 }],
  ['an image that reaches into the disk’s last MiB', { diskBytes: 9 * MIB + 4 * KIB, imageBytes: 8 * MIB + 68 * KIB }],
  ['an image of whole pieces', { diskBytes: 16 * MIB, imageBytes: 8 * MIB }],
];

describe('reading an image back', () => {
  for (const [what, shape] of SHAPES) {
    it(`agrees on ${what}`, async () => {
      const { image, result, disk, readBack } = await write(shape);

      if (result instanceof Error) throw result;
      const tableBytes = 64 * KIB;
      const end = Math.min(image.length, disk.length - tableBytes) - tableBytes;
      assert.ok(disk.subarray(MIB, end).equals(image.subarray(MIB, end)));
      assert.equal(readPartitionTable(disk.subarray(0, MIB), shape.blockBytes ?? 512)?.partitions.length, 2);
      assert.equal(readBack.at(-1), image.length);
      assert.ok(result.bufferBytes <= 64 * MIB, `${result.bufferBytes} bytes of buffers`);
    });

    it(`finds one wrong bit on ${what}, and leaves nothing that boots`, async () => {
      for (const damagedAt of [MIB, 4 * MIB - 1, 4 * MIB, Math.min(shape.imageBytes, shape.diskBytes - MIB) - 1]) {
        const { result, disk } = await write({ ...shape, damagedAt });

        assert.ok(result instanceof TinsmithError, `byte ${damagedAt} is wrong and nobody noticed`);
        assert.equal(result.code, 'write_failed');
        assert.match(result.message, /\/dev\/sda: bytes \d+ to \d+ read back differently/);
        assert.ok(disk.subarray(0, MIB).equals(Buffer.alloc(MIB)));
        assert.ok(disk.subarray(-MIB).equals(Buffer.alloc(MIB)));
      }
    });
  }

  it('is done only when it is asked for', async () => {
    const { result, readBack } = await write({ diskBytes: 9 * MIB, imageBytes: 5 * MIB, verifyDisk: false });

    assert.ok(!(result instanceof Error));
    assert.deepEqual(readBack, []);
  });
});
