/** A system made of its parts: partitions, file systems, an archive and its own GRUB, on BIOS and on UEFI firmware. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { basename } from 'node:path';
import { describe, it } from 'node:test';
import { actionsYaml, hardwareYaml, workflowYaml } from '#test/support/lab-manifests.ts';
import { GIBIBYTE, testArchive } from '#test/support/test-images.ts';
import { PATIENCE_MS, startWorld, type World } from '#test/support/world.ts';

const machine = { name: 'node-1', mac: '52:54:00:77:00:01', address: '10.77.0.21' };
const ROOT = '/dev/vda3';
/** Sizes in units of 512 bytes. */
const STORAGE = {
  disks: [
    {
      device: '/dev/vda',
      wipe_table: true,
      partitions: [
        { label: 'BIOS', number: 1, size: 4096 },
        { label: 'EFI', number: 2, size: 131_072 },
        { label: 'ROOT', number: 3, size: 0 },
      ],
    },
  ],
  filesystems: [
    { mount: { device: '/dev/vda2', format: 'vfat', point: '/boot/efi', create: { options: ['-n', 'ESP'] } } },
    { mount: { device: ROOT, format: 'ext4', point: '/', create: { options: ['-L', 'ROOT'] } } },
  ],
};

describe('a system from an archive, with its own GRUB', () => {
  for (const firmware of ['bios', 'uefi'] as const) {
    it(`boots from its disk with ${firmware} firmware, again and again`, async (t) => {
      const archive = testArchive('root', 'tar.zst');
      await using world = await startWorld({ name: `archive${firmware}`, images: [archive] });
      await world.apply({
        'hardware.yaml': hardwareYaml(machine),
        'template.yaml': await template(`http://${world.lab.address}:7171/images/${basename(archive)}`),
        'workflow.yaml': workflowYaml('install-1', 'archive', machine.name),
      });
      const disk = await world.emptyDisk('node-1.img', GIBIBYTE);

      await using vm = await world.powerOn({ firmware, mac: machine.mac, disk, memoryMiB: 768 });
      const firstLogin = vm.waitForConsole(/archive-node login:/, { timeoutMs: PATIENCE_MS });
      await Promise.race([firstLogin, failure(world)]);
      const [installed, seen] = [vm.console.position, world.seen.length];
      await vm.powerOff();
      await vm.powerOn();
      await vm.waitForConsole(/Linux version/, { timeoutMs: PATIENCE_MS, from: installed });
      // Not the prompt that is still on the screen, in the line that was not ended then.
      await vm.waitForConsole(/archive-node login:/, { timeoutMs: PATIENCE_MS, from: installed + 1 });

      const booted = vm.console.lines.slice(installed);
      assert.match(
        booted.join('\n'),
        /Command line:.* root=UUID=[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12} ro console=ttyS0/,
      );
      assert.ok(!world.seen.slice(seen).some(({ name }) => name === 'machine.booting'), 'it asked the network');
      const workflow = await world.record('workflow', 'install-1');
      assert.deepEqual([workflow['state'], workflow['attempt']], ['succeeded', 1]);
      const { stdout: log } = await world.cli('logs', 'install-1');
      for (const line of log.split('\n'))
        if (/unpacked|installed GRUB/.test(line)) t.diagnostic(`${firmware}: ${line}`);
    });
  }
});

/** Rejects as soon as the workflow cannot succeed any more, with the server's sentence. */
async function failure(world: World): Promise<never> {
  const event = await world.waitForEvent({ name: 'workflow.failed' }, PATIENCE_MS);
  throw new Error(`${JSON.stringify(event.data)}\n${world.story()}`);
}

async function template(url: string): Promise<string> {
  const sum = createHash('sha256').update(await readFile(testArchive('root', 'tar')));
  const layout = { METADATA: JSON.stringify(STORAGE) };
  return actionsYaml('archive', [
    { image: 'rootio', command: 'partition', environment: layout },
    { image: 'rootio', command: 'format', environment: layout },
    {
      image: 'archive2disk',
      environment: {
        ARCHIVE_URL: url,
        DEST_DISK: ROOT,
        FS_TYPE: 'ext4',
        DEST_PATH: '/',
        TARFILE_CHECKSUM: `sha256:${sum.digest('hex')}`,
      },
    },
    { image: 'grub2disk', environment: { GRUB_INSTALL_PATH: ROOT, GRUB_DISK: '/dev/vda', FS_TYPE: 'ext4' } },
    { image: 'reboot' },
  ]);
}
