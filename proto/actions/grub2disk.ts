import type { ActionDeclaration } from './declaration.ts';
import { type Environment, optionalText, requiredDevice } from './environment.ts';
import { parseFileSystem } from './writefile.ts';

/** Make a disk start the system that is on one of its partitions. */
export interface Grub2diskParams {
  readonly disk: string;
  /** Partition of the installed system. */
  readonly device: string;
  /** Absent: seen from the superblock. */
  readonly fileSystem?: string;
}

export const grub2disk: ActionDeclaration<Grub2diskParams> = {
  summary: 'Install GRUB from the installed system itself, for BIOS and UEFI, and write its configuration.',
  // GRUB is installed over GRUB.
  repeatable: true,
  environment: {
    GRUB_INSTALL_PATH: 'Partition of the installed system with its /boot, such as /dev/sda2; GRUB is taken from it.',
    GRUB_DISK: 'Disk that is to start it, such as /dev/sda.',
    FS_TYPE: 'File system of the partition; default: whatever is on it.',
  },
  parse: parseGrub2disk,
};

function parseGrub2disk(environment: Environment): Grub2diskParams {
  return {
    disk: requiredDevice(environment, 'GRUB_DISK', '/dev/sda'),
    device: requiredDevice(environment, 'GRUB_INSTALL_PATH', '/dev/sda2'),
    ...(optionalText(environment, 'FS_TYPE') === undefined ? {} : { fileSystem: parseFileSystem(environment) }),
  };
}
