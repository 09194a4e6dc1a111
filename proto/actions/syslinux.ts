import type { ActionDeclaration } from './declaration.ts';
import { type Environment, invalidParam, optionalText, requiredDevice } from './environment.ts';

/** Make a disk start what SYSLINUX's configuration on one of its partitions says; BIOS only. */
export interface SyslinuxParams {
  readonly disk: string;
  readonly partition: string;
  /** As it was asked for; the boot environment has one version. */
  readonly version?: string;
}

export const syslinux: ActionDeclaration<SyslinuxParams> = {
  summary: 'Install SYSLINUX on a partition and its boot code on the disk; for BIOS.',
  // Boot code is written over boot code.
  repeatable: true,
  environment: {
    DEST_DISK: 'Disk that gets the boot code, such as /dev/sda; its blocks have 512 bytes.',
    DEST_PARTITION:
      'Its partition with syslinux.cfg or extlinux.conf (vfat, ext2/3/4, btrfs or xfs), such as /dev/sda1.',
    SYSLINUX_VERSION: 'Accepted: 386 and 3.86 were published; the boot environment brings 6.04.',
  },
  parse: parseSyslinux,
};

function parseSyslinux(environment: Environment): SyslinuxParams {
  const partition = requiredDevice(environment, 'DEST_PARTITION', '/dev/sda1');
  if (!/\d$/.test(partition)) throw invalidParam('DEST_PARTITION', partition, 'name a partition, such as /dev/sda1');
  const version = optionalText(environment, 'SYSLINUX_VERSION')?.trim();
  if (version !== undefined && !/^\d+(\.\d+)*$/.test(version)) {
    throw invalidParam('SYSLINUX_VERSION', version, 'use 386, 3.86 or 6.04');
  }
  return {
    disk: requiredDevice(environment, 'DEST_DISK', '/dev/sda'),
    partition,
    ...(version === undefined ? {} : { version }),
  };
}
