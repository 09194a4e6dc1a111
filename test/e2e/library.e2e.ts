/** Images of the library on disks that do not fit their frames: blocks of 4096 bytes, and a size that is no multiple of 4 MiB. */
import assert from 'node:assert/strict';
import { type FileHandle, open } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { copyForFourK } from '#test/support/four-k-image.ts';
import { actionsYaml, hardwareYaml, workflowYaml } from '#test/support/lab-manifests.ts';
import { GIBIBYTE, testImage } from '#test/support/test-images.ts';
import { PATIENCE_MS, startWorld, type World } from '#test/support/world.ts';
import { readPartitionTable } from '#transfer/partition-table.ts';

const machine = { name: 'node-1', mac: '52:54:00:77:00:01', address: '10.77.0.21' };
const MIB = 2 ** 20;
const ODD_BYTES = GIBIBYTE + 3 * 512;

describe('an image of the library', () => {
  it('boots from a disk of odd length and from one with blocks of 4096 bytes', async () => {
    await using world = await startWorld({ name: 'library' });
    const fourKImage = join(world.folder, 'four-k.img');
    await copyForFourK(testImage('raw'), fourKImage);
    await add(world, 'small', testImage('zst'));
    await add(world, 'small-4kn', fourKImage);
    await world.apply({
      'hardware.yaml': hardwareYaml(machine),
      'template.yaml': actionsYaml('from-library', [
        {
          image: 'image2disk',
          environment: { DEST_DISK: '/dev/vda', IMG_URL: 'library:small', VERIFY_DISK: 'true' },
        },
        { image: 'image2disk', environment: { DEST_DISK: '/dev/vdb', IMG_URL: 'library:small-4kn' } },
        { image: 'poweroff' },
      ]),
      'workflow.yaml': workflowYaml('install-1', 'from-library', machine.name),
    });
    const [odd, fourK] = [
      await world.emptyDisk('odd.img', ODD_BYTES),
      await world.emptyDisk('four-k-disk.img', GIBIBYTE),
    ];

    await using vm = await world.powerOn({
      firmware: 'bios',
      mac: machine.mac,
      disk: odd,
      // Threads that sum up are started from what the executable carries, and only where there is a third processor.
      processors: 3,
      moreDisks: [{ file: fourK, kind: 'virtio', serial: 'four-k', blockBytes: 4096 }],
    });
    const failed = world.waitForEvent({ name: 'workflow.failed' }, PATIENCE_MS).then(async ({ data }) => {
      throw new Error(`${JSON.stringify(data)}\n${world.story()}`);
    });
    await Promise.race([vm.exited, failed]);

    assert.equal((await world.record('workflow', 'install-1'))['state'], 'succeeded');
    const { stdout: log } = await world.cli('logs', 'install-1');
    assert.match(log, / MiB at most, 1 thread of their own summed up/);
    await requireSame(fourKImage, fourK);
    // One after the other, and each alone: both systems call their root by the same name.
    for (const options of [
      { name: 'odd', firmware: 'bios', disk: odd } as const,
      { name: 'four-k', firmware: 'uefi', disk: fourK, diskBlockBytes: 4096 } as const,
    ]) {
      await using installed = await world.powerOn({ ...options, mac: machine.mac });
      await installed.waitForConsole(/INSTALLED-OS-UP.* address=10\.77\.0\.21/, { timeoutMs: PATIENCE_MS });
    }
  });
});

async function add(world: World, name: string, file: string): Promise<void> {
  const added = await world.cli('image', 'add', name, file);
  assert.equal(added.code, 0, added.stderr);
}

/** All of the image but its two ends, where the table is moved to the disk's end; and a table that kernels take at both ends. */
async function requireSame(imageFile: string, diskFile: string): Promise<void> {
  await using image = await open(imageFile);
  await using disk = await open(diskFile);
  const { size } = await image.stat();
  for (let at = MIB; at < size - MIB; at += MIB) {
    const [expected, found] = [await mebibyte(image, at), await mebibyte(disk, at)];
    assert.ok(expected.equals(found), `the disk differs from the image behind byte ${at}`);
  }
  const partitions = readPartitionTable(await mebibyte(image, 0), 4096)?.partitions;
  assert.equal(partitions?.length, 3);
  assert.deepEqual(readPartitionTable(await mebibyte(disk, 0), 4096)?.partitions, partitions);
  assert.equal((await mebibyte(disk, GIBIBYTE - MIB)).toString('latin1', MIB - 4096, MIB - 4088), 'EFI PART');
}

async function mebibyte(file: FileHandle, at: number): Promise<Buffer> {
  const { buffer, bytesRead } = await file.read(Buffer.alloc(MIB), 0, MIB, at);
  assert.equal(bytesRead, MIB);
  return buffer;
}
