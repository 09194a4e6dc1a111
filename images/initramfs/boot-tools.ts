import { TinsmithError } from '#proto/errors.ts';

/** The programs of the boot environment besides the agent and the kernel, and the Debian packages that hold them. */

export interface BootTool {
  readonly package: string;
  /** Source inside the package → target inside the boot environment, both without a leading slash. */
  readonly files: Readonly<Record<string, string>>;
  /** Further names: link → target. */
  readonly links: Readonly<Record<string, string>>;
  /** Only some actions need it: a site that does not use them can build without. */
  readonly isOptional?: true;
  /** Debian's multiarch folder of the only machines that have it; absent: all. */
  readonly only?: string;
}

const PC = 'x86_64-linux-gnu';

const BOOT_TOOLS: readonly BootTool[] = [
  {
    package: 'busybox-static',
    files: { 'bin/busybox': 'bin/busybox' },
    // The init makes the links of all other applets; these are what the kernel itself starts before and beside it.
    links: { 'bin/sh': 'busybox', 'sbin/modprobe': '../bin/busybox', 'sbin/poweroff': '../bin/busybox' },
  },
  {
    package: 'e2fsprogs',
    files: {
      'sbin/mke2fs': 'usr/sbin/mke2fs',
      'sbin/e2fsck': 'usr/sbin/e2fsck',
      'sbin/resize2fs': 'usr/sbin/resize2fs',
      'etc/mke2fs.conf': 'etc/mke2fs.conf',
    },
    links: {
      'usr/sbin/mkfs.ext2': 'mke2fs',
      'usr/sbin/mkfs.ext3': 'mke2fs',
      'usr/sbin/mkfs.ext4': 'mke2fs',
      'usr/sbin/fsck.ext4': 'e2fsck',
    },
  },
  {
    package: 'dosfstools',
    files: { 'sbin/mkfs.fat': 'usr/sbin/mkfs.fat' },
    links: { 'usr/sbin/mkfs.vfat': 'mkfs.fat', 'usr/sbin/mkdosfs': 'mkfs.fat' },
  },
  { package: 'xfsprogs', files: { 'sbin/mkfs.xfs': 'usr/sbin/mkfs.xfs' }, links: {}, isOptional: true },
  { package: 'btrfs-progs', files: { 'sbin/mkfs.btrfs': 'usr/sbin/mkfs.btrfs' }, links: {}, isOptional: true },
  {
    package: 'lvm2',
    files: { 'sbin/lvm': 'usr/sbin/lvm' },
    links: {
      'usr/sbin/pvcreate': 'lvm',
      'usr/sbin/pvremove': 'lvm',
      'usr/sbin/vgcreate': 'lvm',
      'usr/sbin/vgremove': 'lvm',
      'usr/sbin/vgchange': 'lvm',
      'usr/sbin/lvcreate': 'lvm',
    },
    isOptional: true,
  },
  // What erases disks: by the drive itself (NVMe, ATA), or by the kernel.
  { package: 'nvme-cli', files: { 'usr/sbin/nvme': 'usr/sbin/nvme' }, links: {}, isOptional: true },
  { package: 'hdparm', files: { 'sbin/hdparm': 'usr/sbin/hdparm' }, links: {}, isOptional: true },
  { package: 'util-linux', files: { 'sbin/blkdiscard': 'usr/sbin/blkdiscard' }, links: {} },
  // Decode faster than the agent's own code; without them it does it by itself.
  { package: 'isal', files: { 'usr/bin/igzip': 'usr/bin/igzip' }, links: {}, isOptional: true, only: PC },
  { package: 'xz-utils', files: { 'usr/bin/xz': 'usr/bin/xz' }, links: {}, isOptional: true },
  // Capabilities, ACLs and SELinux labels of unpacked archives.
  { package: 'attr', files: { 'usr/bin/setfattr': 'usr/bin/setfattr' }, links: {} },
  // For the action syslinux: the installer, and boot code for both kinds of partition tables.
  { package: 'extlinux', files: { 'usr/bin/extlinux': 'usr/bin/extlinux' }, links: {}, only: PC },
  {
    package: 'syslinux-common',
    files: {
      'usr/lib/syslinux/mbr/mbr.bin': 'usr/lib/syslinux/mbr/mbr.bin',
      'usr/lib/syslinux/mbr/gptmbr.bin': 'usr/lib/syslinux/mbr/gptmbr.bin',
    },
    links: {},
    only: PC,
  },
  { package: 'kexec-tools', files: { 'sbin/kexec': 'usr/sbin/kexec' }, links: {} },
];

/** Libraries of the agent's base binary: node links against nothing else. */
export const AGENT_LIBRARY_PACKAGES: readonly string[] = ['libc6', 'libstdc++6', 'libgcc-s1'];

/**
 * The tools for machines with that multiarch folder, without those that are named.
 * @throws TinsmithError `invalid_input` for one that cannot be left out.
 */
export function bootTools(omitted: readonly string[], triplet: string = PC): readonly BootTool[] {
  const optional = BOOT_TOOLS.filter((tool) => tool.isOptional === true).map((tool) => tool.package);
  const wrong = omitted.find((name) => !optional.includes(name));
  if (wrong !== undefined) {
    throw new TinsmithError('invalid_input', `cannot leave out ${wrong}: use one of ${optional.join(', ')}`);
  }
  const fitting = BOOT_TOOLS.filter(({ only }) => only === undefined || only === triplet);
  return fitting.filter((tool) => !omitted.includes(tool.package));
}
