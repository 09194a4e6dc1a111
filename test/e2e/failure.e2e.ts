/** What must never happen: a success that is none, and a disk that boots although it was not written completely. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { open, readFile, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { hardwareYaml, templateYaml, workflowYaml } from '#test/support/lab-manifests.ts';
import { GIBIBYTE, testImage } from '#test/support/test-images.ts';
import { PATIENCE_MS, startWorld, type World } from '#test/support/world.ts';

const machine = { name: 'node-1', mac: '52:54:00:77:00:01', address: '10.77.0.21' };

describe('a failing workflow', () => {
  it('says why, leaves nothing bootable, and succeeds when it is retried with a whole image', async () => {
    await using world = await startWorld({ name: 'truncated' });
    const image = await readFile(testImage('zst'));
    const served = join(world.imagesFolder, 'cut.img.zst');
    await writeFile(served, image.subarray(0, Math.floor(image.length * 0.7)));
    await install(world, 'cut.img.zst');
    const disk = await world.emptyDisk('node-1.img', GIBIBYTE);
    await using vm = await world.powerOn({ firmware: 'bios', mac: machine.mac, disk });

    await world.waitForEvent({ name: 'workflow.failed', workflow: 'install-1' }, PATIENCE_MS);

    const failed = await world.record('workflow', 'install-1');
    const { code, message } = failed['error'] as { code: string; message: string };
    assert.equal(code, 'corrupt_image');
    assert.match(message, /stream-image.*(trunc|ends|cut)/i);
    const described = await world.cli('describe', 'workflow', 'install-1');
    assert.match(described.stdout, /corrupt_image/);
    assert.deepEqual(await signaturesOf(disk), [], 'the disk has a partition table or a boot sector');
    assert.equal((await world.record('hardware', 'node-1'))['stage'], 'failed');

    // Power cycle: the firmware finds no boot sector and falls through to the network, where the agent has nothing to do.
    await vm.powerOff();
    const before = world.seen.length;
    await vm.powerOn();
    await world.waitForEvent({ name: 'machine.enrolled' }, PATIENCE_MS, before);

    await truncate(served, 0);
    await writeFile(served, image);
    const retried = await world.cli('workflow', 'retry', 'install-1');
    assert.equal(retried.code, 0, retried.stderr);
    await vm.waitForConsole(/INSTALLED-OS-UP/, { timeoutMs: PATIENCE_MS });
    const done = await world.record('workflow', 'install-1');
    assert.deepEqual([done['state'], done['attempt']], ['succeeded', 2]);
  });

  it('refuses an image that does not fit its checksum, and one that does not fit the disk', async () => {
    await using world = await startWorld({ name: 'misfit', images: [testImage('zst')] });
    await install(world, testImage.nameOf('zst'), { IMG_SHA256: '0'.repeat(64) });
    const disk = await world.emptyDisk('node-1.img', GIBIBYTE);
    await using vm = await world.powerOn({ firmware: 'bios', mac: machine.mac, disk });

    await world.waitForEvent({ name: 'workflow.failed', workflow: 'install-1' }, PATIENCE_MS);

    const failed = await world.record('workflow', 'install-1');
    assert.equal((failed['error'] as { code: string }).code, 'checksum_mismatch');
    assert.deepEqual(await signaturesOf(disk), []);
    await vm.powerOff();

    const small = await world.emptyDisk('small.img', 64 * 2 ** 20);
    await world.apply({
      'hardware-2.yaml': hardwareYaml({ name: 'node-2', mac: '52:54:00:77:00:02', address: '10.77.0.22' }),
      'template-2.yaml': templateYaml({
        name: 'whole',
        imageUrl: url(world, testImage.nameOf('zst')),
        rootPartition: 3,
      }),
      'workflow-2.yaml': workflowYaml('install-2', 'whole', 'node-2'),
    });
    await world.powerOn({ firmware: 'bios', mac: '52:54:00:77:00:02', disk: small }); // It ends with its world.
    await world.waitForEvent({ name: 'workflow.failed', workflow: 'install-2' }, PATIENCE_MS);
    const misfit = await world.record('workflow', 'install-2');
    assert.equal((misfit['error'] as { code: string }).code, 'device_unfit');
    assert.match((misfit['error'] as { message: string }).message, /67108864/);
    assert.deepEqual(await signaturesOf(small), []);
  });

  it('leaves nothing bootable when an action after the image fails', async () => {
    await using world = await startWorld({ name: 'afterimage', images: [testImage('zst')] });
    await world.apply({
      'hardware.yaml': hardwareYaml(machine),
      'template.yaml': templateYaml({
        name: 'small',
        imageUrl: url(world, testImage.nameOf('zst')),
        rootPartition: testImage.rootPartition,
        fileSystem: 'xfs',
      }),
      'workflow.yaml': workflowYaml('install-1', 'small', machine.name),
    });
    const disk = await world.emptyDisk('node-1.img', GIBIBYTE);
    await world.powerOn({ firmware: 'bios', mac: machine.mac, disk }); // It ends with its world.

    await world.waitForEvent({ name: 'workflow.failed', workflow: 'install-1' }, PATIENCE_MS);

    const failed = await world.record('workflow', 'install-1');
    const { code, message } = failed['error'] as { code: string; message: string };
    assert.equal(code, 'device_unfit');
    assert.match(message, /write-hostname.*xfs.*ext4/);
    assert.deepEqual(await signaturesOf(disk), []);
  });
});

async function install(
  world: World,
  image: string,
  imageEnvironment: Readonly<Record<string, string>> = {},
): Promise<void> {
  await world.apply({
    'hardware.yaml': hardwareYaml(machine),
    'template.yaml': templateYaml({
      name: 'small',
      imageUrl: url(world, image),
      rootPartition: testImage.rootPartition,
      imageEnvironment,
    }),
    'workflow.yaml': workflowYaml('install-1', 'small', machine.name),
  });
}

function url(world: World, image: string): string {
  return `http://${world.lab.address}:7171/images/${image}`;
}

/** Boot sector, primary and backup partition table, if a disk has them. */
async function signaturesOf(disk: string): Promise<string[]> {
  const size = Number(execFileSync('stat', ['-c', '%s', disk], { encoding: 'utf8' }));
  const file = await open(disk, 'r');
  try {
    const found: string[] = [];
    const head = Buffer.alloc(1024);
    await file.read(head, 0, 1024, 0);
    if (head[510] === 0x55 && head[511] === 0xaa) found.push('boot sector');
    if (head.subarray(512, 520).toString('latin1') === 'EFI PART') found.push('primary table');
    const tail = Buffer.alloc(512);
    await file.read(tail, 0, 512, size - 512);
    if (tail.subarray(0, 8).toString('latin1') === 'EFI PART') found.push('backup table');
    return found;
  } finally {
    await file.close();
  }
}
