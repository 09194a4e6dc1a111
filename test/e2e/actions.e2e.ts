/** The actions that only a real machine can prove: disks made by hand, a chroot, and a kernel started without the firmware. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { readFileFromDisk, statFileOnDisk } from '#test/support/lab/disk-reader.ts';
import { hardwareYaml, workflowYaml } from '#test/support/lab-manifests.ts';
import { GIBIBYTE, testImage } from '#test/support/test-images.ts';
import { PATIENCE_MS, startWorld } from '#test/support/world.ts';

const machine = { name: 'node-1', mac: '52:54:00:77:00:01', address: '10.77.0.21' };

/** As Tinkerbell's metadata describes disks; sizes in units of 512 bytes. */
const STORAGE = {
  disks: [
    {
      device: '/dev/vda',
      wipe_table: true,
      partitions: [
        { label: 'BIOS', number: 1, size: 4096 },
        { label: 'SWAP', number: 2, size: 131_072 },
        { label: 'EFI', number: 3, size: 131_072 },
        { label: 'ROOT', number: 4, size: 0 },
      ],
    },
  ],
  filesystems: [
    { mount: { device: '/dev/vda2', format: 'swap', point: 'none', create: { options: ['-L', 'SWAP'] } } },
    { mount: { device: '/dev/vda3', format: 'vfat', point: '/boot/efi', create: { options: ['-n', 'ESP'] } } },
    { mount: { device: '/dev/vda4', format: 'ext4', point: '/', create: { options: ['-L', 'ROOT'] } } },
  ],
};

/** What grub-mkconfig makes of a Debian system, as far as it matters. */
const GRUB_CONFIG = `if [ "\${next_entry}" ] ; then
   set default="\${next_entry}"
else
   set default="0"
fi
menuentry 'Debian GNU/Linux' --class debian $menuentry_id_option 'gnulinux-simple-1' {
	search --no-floppy --label --set=root TINSMITH-ROOT
	linux	/boot/vmlinuz console=ttyS0 quiet panic=-1 tinsmith-root=TINSMITH-ROOT started=by-kexec $vt_handoff
	initrd	/boot/initrd
}
submenu 'Advanced options' $menuentry_id_option 'gnulinux-advanced-1' {
	menuentry 'Debian GNU/Linux, with Linux 1.0' $menuentry_id_option 'gnulinux-1.0' {
		linux	/boot/vmlinuz-1.0 root=/dev/none
	}
}
`;

describe('the actions on a real machine', () => {
  it('partition, format, write, run programs in a chroot and start the installed kernel without the firmware', async (t) => {
    await using world = await startWorld({ name: 'actions', images: [testImage('zst')] });
    await world.apply({
      'hardware.yaml': hardwareYaml(machine),
      'template.yaml': template(`http://${world.lab.address}:7171/images/${testImage.nameOf('zst')}`),
      'workflow.yaml': workflowYaml('install-1', 'by-hand', machine.name),
    });
    const disk = await world.emptyDisk('node-1.img', GIBIBYTE);
    const poweredOnAt = Date.now();

    await using vm = await world.powerOn({ firmware: 'bios', mac: machine.mac, disk });
    const handOver = vm.waitForConsole(/INSTALLED-OS-UP hostname=chrooted-node/, { timeoutMs: PATIENCE_MS });
    await Promise.race([handOver, failure(world)]);
    await vm.waitForConsole(/action 9 of 9.*succeeded/, { timeoutMs: PATIENCE_MS });
    // With its end: a line of which only a part has come is one, too.
    const [line] = await vm.waitForConsole(/KERNEL-COMMAND-LINE .* END-OF-IT/, { timeoutMs: PATIENCE_MS });

    t.diagnostic(`power-on to the installed system: ${((Date.now() - poweredOnAt) / 1000).toFixed(1)} s`);
    // GRUB's variable is empty for GRUB, so the kernel gets nothing for it.
    assert.match(line, / tinsmith-root=TINSMITH-ROOT started=by-kexec *END-OF-IT$/);
    const workflow = await world.record('workflow', 'install-1');
    assert.deepEqual([workflow['state'], workflow['attempt']], ['succeeded', 1]);
    assert.equal((await world.record('hardware', 'node-1'))['stage'], 'installed');
    await vm.powerOff();
    assert.equal((await readFileFromDisk(disk, 3, '/etc/from-the-chroot')).toString(), "two  words; 'quoted' $HOME\n");
    assert.equal(await statFileOnDisk(disk, 3, '/usr/local/bin/proof'), '04755 12:34');
  });
});

/** Rejects as soon as the workflow cannot succeed any more, with the server's sentence. */
async function failure(world: Awaited<ReturnType<typeof startWorld>>): Promise<never> {
  const event = await world.waitForEvent({ name: 'workflow.failed' }, PATIENCE_MS);
  throw new Error(`${JSON.stringify(event.data)}\n${world.story()}`);
}

interface Step {
  readonly image: string;
  readonly command?: string;
  readonly environment?: Readonly<Record<string, string>>;
}

function template(imageUrl: string): string {
  const owner = { UID: '0', GID: '0', MODE: '0644', DIRMODE: '0755' };
  const made = { DEST_DISK: '/dev/vda4', FS_TYPE: 'ext4' };
  const installed = { DEST_DISK: '/dev/vda3', FS_TYPE: 'ext4' };
  const chroot = { BLOCK_DEVICE: '/dev/vda3', FS_TYPE: 'ext4', CHROOT: 'y', DEFAULT_INTERPRETER: '/bin/sh -c' };
  const chrooted = [
    'set -e; test -c /dev/null; test -d /proc/1; test -d /sys/class/block/vda3',
    `printf '%s\\n' "two  words; 'quoted' \\$HOME" >/etc/from-the-chroot`,
    'echo chrooted-node >/etc/hostname',
    `echo 'echo "KERNEL-COMMAND-LINE $(cat /proc/cmdline) END-OF-IT" >/dev/console' >>/etc/rc`,
    // What an installed package may leave behind: it must not keep the file system from being unmounted.
    'sleep 1000 &',
  ].join('\n');
  const steps: Step[] = [
    { image: 'rootio', command: 'partition', environment: { METADATA: JSON.stringify(STORAGE) } },
    { image: 'rootio', command: 'format', environment: { METADATA: JSON.stringify(STORAGE) } },
    {
      image: 'writefile',
      environment: { ...made, ...owner, DEST_PATH: '/a/b/file', CONTENTS: 'on a new file system' },
    },
    {
      image: 'cexec',
      environment: {
        BLOCK_DEVICE: '/dev/vda4',
        FS_TYPE: 'ext4',
        DEFAULT_INTERPRETER: '/bin/sh -c',
        CMD_LINE: 'test "$(cat $TINSMITH_TARGET/a/b/file)" = "on a new file system"',
      },
    },
    { image: 'image2disk', environment: { DEST_DISK: '/dev/vda', IMG_URL: imageUrl, COMPRESSED: 'true' } },
    {
      image: 'writefile',
      environment: {
        ...installed,
        DEST_PATH: '/usr/local/bin/proof',
        CONTENTS: '#!/bin/sh\n',
        UID: '12',
        GID: '34',
        MODE: '4755',
        DIRMODE: '0755',
      },
    },
    {
      image: 'writefile',
      environment: { ...installed, ...owner, DEST_PATH: '/boot/grub/grub.cfg', CONTENTS: GRUB_CONFIG },
    },
    { image: 'cexec', environment: { ...chroot, CMD_LINE: chrooted } },
    { image: 'kexec', environment: { BLOCK_DEVICE: '/dev/vda3', FS_TYPE: 'ext4' } },
  ];
  const actions = steps.map(({ image, command, environment }, index) => ({
    name: `${index + 1}-${image}`,
    image: `quay.io/tinkerbell/actions/${image}:latest`,
    timeout: 120,
    ...(command === undefined ? {} : { command: [command] }),
    // A template is rendered before it is read: braces of JSON and of the shell are no template actions as they are.
    ...(environment === undefined ? {} : { environment }),
  }));
  const data = {
    version: '0.1',
    name: 'by-hand',
    global_timeout: 600,
    tasks: [{ name: 'install', worker: '{{.device_1}}', actions }],
  };
  return JSON.stringify({
    apiVersion: 'tinkerbell.org/v1alpha1',
    kind: 'Template',
    metadata: { name: 'by-hand' },
    spec: { data: JSON.stringify(data) },
  });
}
