/** Everything that is done to disks, on disks of every kind that QEMU has: partitions, file systems, LVM, images, hints, wiping. */
import assert from 'node:assert/strict';
import { open, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { imageFixture } from '#test/support/disk-image-fixtures.ts';
import { workflowYaml } from '#test/support/lab-manifests.ts';
import { GIBIBYTE } from '#test/support/test-images.ts';
import { PATIENCE_MS, startWorld } from '#test/support/world.ts';

const MIB = 2 ** 20;
const machine = { name: 'node-1', mac: '52:54:00:77:00:01', address: '10.77.0.21' };
/** In units of 512 bytes, whatever the disk's blocks are. */
const SIZE = { small: 65_536, large: 655_360 } as const;
const FOUR_K = '/dev/disk/by-hint/0';
const FORMATS = ['vfat', 'ext2', 'ext3', 'ext4', 'xfs', 'btrfs', 'swap'] as const;

/** Partition N has the Nth format; the one after them is LVM's. */
const STORAGE = {
  disks: [
    {
      device: FOUR_K,
      partitions: [
        { label: 'EFI', number: 1, size: 131_072 },
        ...['EXT2', 'EXT3', 'EXT4'].map((label, i) => ({ label, number: i + 2, size: SIZE.small })),
        { label: 'XFS', number: 5, size: SIZE.large },
        { label: 'BTRFS', number: 6, size: SIZE.large },
        { label: 'SWAP', number: 7, size: SIZE.small },
        { label: 'LVM', number: 8, size: 0 },
      ],
    },
  ],
  volume_groups: [
    {
      name: 'vg0',
      physical_volumes: [`${FOUR_K}-part8`],
      tags: ['tinsmith'],
      logical_volumes: [
        { name: 'root', size: 64 * MIB },
        { name: 'data', size: 0 },
      ],
    },
  ],
  filesystems: [
    ...FORMATS.map((format, i) => ({
      mount: { device: `${FOUR_K}-part${i + 1}`, format, point: format === 'swap' ? 'none' : `/${format}` },
    })),
    { mount: { device: '/dev/vg0/root', format: 'ext4', point: '/', create: { options: ['-L', 'LVROOT'] } } },
    { mount: { device: '/dev/vg0/data', format: 'xfs', point: '/data' } },
  ],
};

const HARDWARE = {
  apiVersion: 'tinkerbell.org/v1alpha1',
  kind: 'Hardware',
  metadata: { name: machine.name },
  spec: {
    disks: [{ serial: 'four-k' }, { transport: 'nvme', model: 'QEMU NVMe' }, { vendor: 'qemu', maxSize: '1GB' }],
    interfaces: [
      {
        netboot: { allowPXE: true, allowWorkflow: true },
        dhcp: {
          mac: machine.mac,
          hostname: machine.name,
          ip: { address: machine.address, netmask: '255.255.255.0', gateway: '10.77.0.1' },
        },
      },
    ],
  },
};

describe('disks of every kind', () => {
  it('are partitioned, formatted, written, wiped and told apart', async (t) => {
    await using world = await startWorld({ name: 'disks' });
    await writeFile(join(world.imagesFolder, 'disk.qcow2'), imageFixture('zstd.qcow2'));
    await world.apply({
      'hardware.yaml': JSON.stringify(HARDWARE),
      'template.yaml': template(`http://${world.lab.address}:7171/images/disk.qcow2`),
      'workflow.yaml': workflowYaml('disks-1', 'disks', machine.name),
    });
    const disk = async (name: string, sizeBytes: number): Promise<string> => {
      const path = await world.emptyDisk(`${name}.img`, sizeBytes);
      await using file = await open(path, 'r+');
      for (let at = 0; at < sizeBytes; at += 4 * MIB) await file.write(Buffer.from(`secret of ${name}`), 0, null, at);
      return path;
    };
    const files = {
      first: await disk('first', 256 * MIB),
      fourK: await world.emptyDisk('four-k.img', 2 * GIBIBYTE),
      nvme: await disk('nvme', 256 * MIB),
      scsi: await disk('scsi', 256 * MIB),
      other: await disk('other', 256 * MIB),
      ide: await disk('ide', 256 * MIB),
    };

    await using vm = await world.powerOn({
      firmware: 'bios',
      mac: machine.mac,
      memoryMiB: 768,
      bootOrder: 'network',
      disk: files.first,
      moreDisks: [
        { file: files.fourK, kind: 'virtio', serial: 'four-k', blockBytes: 4096 },
        { file: files.nvme, kind: 'nvme', serial: 'nvme-1' },
        { file: files.scsi, kind: 'scsi', serial: 'scsi-1' },
        { file: files.other, kind: 'scsi', serial: 'scsi-2' },
        { file: files.ide, kind: 'sata-ide', serial: 'ide-1' },
      ],
    });
    const end = await world.waitForEvent({ name: 'workflow.failed' }, PATIENCE_MS);
    const { stdout: log } = await world.cli('logs', 'disks-1');
    await vm.powerOff();
    t.diagnostic(
      JSON.stringify(await world.record('hardware', machine.name))
        .match(/"byId":\[[^\]]*\]/g)
        ?.join(' ') ?? 'no names',
    );

    for (const line of log.split('\n'))
      if (/wiped|erasing|by-hint|wrote|samples|next method/.test(line)) t.diagnostic(line);
    // Everything up to the last action, which must not guess between two disks.
    assert.match(
      JSON.stringify(end.data),
      /cannot tell which disk \/dev\/disk\/by-hint\/2 is: 2 disks are vendor qemu, at most 1 GB/,
      log,
    );
    assert.match(log, /by-hint\/0 is \/dev\/vdb \(2\.1 GB, virtio, serial four-k\)/);
    assert.match(log, /all file systems hold their file/);
    assert.match(log, /wiped .*by-id\/scsi-0QEMU_QEMU_HARDDISK_scsi-1 /);
    for (const name of ['first', 'nvme', 'scsi', 'ide'] as const) {
      assert.equal((await readFile(files[name])).equals(Buffer.alloc(256 * MIB)), true, `${name} is not zeros`);
    }
    assert.equal((await readFile(files.other)).toString('latin1', 0, 15), 'secret of other');
  });
});

interface Step {
  readonly image: string;
  readonly command?: string;
  readonly environment: Readonly<Record<string, string>>;
}

function template(imageUrl: string): string {
  const owner = { UID: '0', GID: '0', MODE: '0644', DIRMODE: '0755', DEST_PATH: '/file' };
  const targets: readonly (readonly [string, string])[] = [
    ...FORMATS.filter((format) => format !== 'swap').map((format, i) => [`${FOUR_K}-part${i + 1}`, format] as const),
    ['/dev/vg0/root', 'ext4'],
    ['/dev/vg0/data', 'xfs'],
  ];
  const layout = { METADATA: JSON.stringify(STORAGE) };
  const look = [
    'set -e; for dir in /run/tinsmith/mounts/*; do grep -q "^on $(grep " $dir " /proc/mounts | cut -d " " -f 3)$" $dir/file || { echo "wrong: $dir"; cat $dir/file; exit 1; }; done',
    `test $(ls -d /run/tinsmith/mounts/* | wc -l) = ${targets.length}`,
    `test -b ${FOUR_K}-part6; test $(blockdev --getss ${FOUR_K}) = 4096`,
    'lvm vgs --noheadings -o vg_tags vg0 2>/dev/null | grep -q tinsmith',
    'echo all file systems hold their file',
  ].join('\n');
  const steps: readonly Step[] = [
    { image: 'rootio', command: 'partition', environment: layout },
    { image: 'rootio', command: 'format', environment: layout },
    // Again, as a retry does: the group is active and its disk held.
    { image: 'rootio', command: 'partition', environment: layout },
    { image: 'rootio', command: 'format', environment: layout },
    ...targets.map(([device, format]) => ({
      image: 'writefile',
      environment: { ...owner, DEST_DISK: device, FS_TYPE: format, CONTENTS: `on ${format}` },
    })),
    {
      image: 'cexec',
      environment: {
        BLOCK_DEVICE: '/dev/vg0/root',
        FS_TYPE: 'ext4',
        DEFAULT_INTERPRETER: '/bin/sh -c',
        CMD_LINE: look,
      },
    },
    { image: 'qemuimg2disk', environment: { DEST_DISK: '/dev/disk/by-hint/1', IMG_URL: imageUrl } },
    { image: 'wipe', environment: { DEST_DISK: '/dev/disk/by-hint/1' } },
    {
      image: 'wipe',
      environment: { DEST_DISK: '/dev/vda, /dev/disk/by-id/scsi-0QEMU_QEMU_HARDDISK_scsi-1', VERIFY: 'all' },
    },
    { image: 'wipe', environment: { DEST_DISK: '/dev/disk/by-id/ata-QEMU_HARDDISK_ide-1', METHOD: 'zero' } },
    { image: 'wipe', environment: { DEST_DISK: '/dev/disk/by-hint/2' } },
  ];
  const actions = steps.map(({ image, command, environment }, index) => ({
    name: `${index + 1}-${image}`,
    image,
    timeout: 180,
    ...(command === undefined ? {} : { command: [command] }),
    environment,
  }));
  const data = {
    version: '0.1',
    name: 'disks',
    global_timeout: 900,
    tasks: [{ name: 'disks', worker: '{{.device_1}}', actions }],
  };
  return JSON.stringify({
    apiVersion: 'tinkerbell.org/v1alpha1',
    kind: 'Template',
    metadata: { name: 'disks' },
    spec: { data: JSON.stringify(data) },
  });
}
