/** Systems that SYSLINUX starts on BIOS: from a FAT partition of an MBR, and from an ext4 file system as mke2fs makes it in a GPT. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { basename } from 'node:path';
import { describe, it } from 'node:test';
import { actionsYaml, hardwareYaml, type LabAction, workflowYaml } from '#test/support/lab-manifests.ts';
import { GIBIBYTE, testArchive } from '#test/support/test-images.ts';
import { PATIENCE_MS, startWorld } from '#test/support/world.ts';

const machine = { name: 'node-1', mac: '52:54:00:77:00:01', address: '10.77.0.21' };
const CONFIG = `DEFAULT linux
LABEL linux
  KERNEL /vmlinuz
  INITRD /initrd.img
  APPEND root=LABEL=ROOT ro console=ttyS0,115200
`;

const ext4 = (device: string) => ({
  mount: { device, format: 'ext4', point: '/', create: { options: ['-L', 'ROOT'] } },
});
const LAYOUTS = {
  mbr: {
    disks: [
      {
        device: '/dev/vda',
        partitions: [
          { label: 'FAT32', number: 1, size: 131_072 },
          { label: 'ROOT', number: 2, size: 0 },
        ],
      },
    ],
    filesystems: [{ mount: { device: '/dev/vda1', format: 'vfat', point: '/boot' } }, ext4('/dev/vda2')],
  },
  gpt: {
    disks: [{ device: '/dev/vda', partitions: [{ label: 'ROOT', number: 1, size: 0 }] }],
    filesystems: [ext4('/dev/vda1')],
  },
};

describe('SYSLINUX', () => {
  for (const [table, from] of [
    ['mbr', 'a FAT partition of an MBR'],
    ['gpt', 'an ext4 file system in a GPT'],
  ] as const) {
    it(`starts a system from ${from}`, async () => {
      const images = [testArchive('root', 'tar.zst'), testArchive('boot', 'tar.zst')];
      await using world = await startWorld({ name: `syslinux${table}`, images });
      const steps = await installation(table, `http://${world.lab.address}:7171/images`);
      await world.apply({
        'hardware.yaml': hardwareYaml(machine),
        'template.yaml': actionsYaml('syslinux', steps),
        'workflow.yaml': workflowYaml('install-1', 'syslinux', machine.name),
      });
      const disk = await world.emptyDisk('node-1.img', GIBIBYTE);

      await using vm = await world.powerOn({ firmware: 'bios', mac: machine.mac, disk, memoryMiB: 768 });
      const failed = world.waitForEvent({ name: 'workflow.failed' }, PATIENCE_MS).then(async ({ data }) => {
        throw new Error(`${JSON.stringify(data)}\n${world.story()}`);
      });
      await Promise.race([vm.waitForConsole(/archive-node login:/, { timeoutMs: PATIENCE_MS }), failed]);

      const line = vm.console.lines.findLast((said) => said.includes('Command line:'));
      assert.match(line ?? '', /BOOT_IMAGE=\/vmlinuz root=LABEL=ROOT ro console=ttyS0,115200 initrd=\/initrd\.img/);
      assert.equal((await world.record('workflow', 'install-1'))['state'], 'succeeded');
    });
  }
});

async function installation(table: 'mbr' | 'gpt', images: string): Promise<readonly LabAction[]> {
  const layout = { METADATA: JSON.stringify(LAYOUTS[table]), ...(table === 'mbr' && { MBR: 'yes' }) };
  const unpack = async (part: 'root' | 'boot', target: Readonly<Record<string, string>>): Promise<LabAction> => {
    const sum = createHash('sha256').update(await readFile(testArchive(part, 'tar')));
    const url = `${images}/${basename(testArchive(part, 'tar.zst'))}`;
    const checksum = `sha256:${sum.digest('hex')}`;
    return {
      image: 'archive2disk',
      environment: { ...target, ARCHIVE_URL: url, DEST_PATH: '/', TARFILE_CHECKSUM: checksum },
    };
  };
  const boot = { DEST_DISK: '/dev/vda1', FS_TYPE: table === 'mbr' ? 'vfat' : 'ext4' };
  const root = { DEST_DISK: table === 'mbr' ? '/dev/vda2' : '/dev/vda1', FS_TYPE: 'ext4' };
  const file = { DEST_PATH: '/syslinux.cfg', CONTENTS: CONFIG, UID: '0', GID: '0', MODE: '0644', DIRMODE: '0755' };
  return [
    { image: 'rootio', command: 'partition', environment: layout },
    { image: 'rootio', command: 'format', environment: layout },
    ...(table === 'mbr' ? [await unpack('boot', boot)] : []),
    await unpack('root', root),
    { image: 'writefile', environment: { ...boot, ...file } },
    { image: 'syslinux', environment: { DEST_DISK: '/dev/vda', DEST_PARTITION: '/dev/vda1' } },
    { image: 'reboot' },
  ];
}
