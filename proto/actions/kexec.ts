import type { ActionDeclaration } from './declaration.ts';
import { type Environment, invalidParam, optionalText, requiredDevice } from './environment.ts';
import { parseFileSystem } from './writefile.ts';

/** Load the installed system's kernel and start it without going through the firmware. */
export interface KexecParams {
  /** Partition that holds the kernel. */
  readonly device: string;
  /** Absent: seen from the superblock. */
  readonly fileSystem?: string;
  /** Given, or else found in `grubConfig`. */
  readonly kernel?: string;
  /** In order; may be empty. */
  readonly initrds: readonly string[];
  /** Overrides what the boot loader configuration says. */
  readonly commandLine?: string;
  readonly grubConfig: string;
}

export const kexec: ActionDeclaration<KexecParams> = {
  summary: 'Load the installed kernel and start it once everything is reported, without the firmware.',
  // Loading a kernel replaces the one that was loaded before.
  repeatable: true,
  fixes: [
    'The default entry of grub.cfg may be an index, a title or an id, also in a submenu; one that does not exist is no crash.',
    '`KERNEL_PATH` works without `INITRD_PATH`.',
    'Everything is reported and unmounted before the kernel starts.',
  ],
  environment: {
    BLOCK_DEVICE: 'Partition with the kernel, such as /dev/sda2.',
    FS_TYPE: 'Its file system; default: whatever is on it.',
    KERNEL_PATH: 'Kernel on that file system; default: the default entry of the GRUB configuration.',
    INITRD_PATH: 'Initial RAM disk for KERNEL_PATH; several are separated by spaces.',
    CMD_LINE: 'Kernel command line; default: as in the GRUB configuration.',
    GRUBCFG_PATH: 'GRUB configuration on that file system; default boot/grub/grub.cfg.',
  },
  parse: parseKexec,
};

function parseKexec(environment: Environment): KexecParams {
  const kernel = optionalText(environment, 'KERNEL_PATH');
  const commandLine = optionalText(environment, 'CMD_LINE');
  const initrds = (optionalText(environment, 'INITRD_PATH') ?? '').split(/\s+/).filter((path) => path !== '');
  const grubConfig = optionalText(environment, 'GRUBCFG_PATH') ?? 'boot/grub/grub.cfg';
  for (const [name, path] of [
    ['KERNEL_PATH', kernel ?? '/'],
    ['GRUBCFG_PATH', grubConfig],
    ...initrds.map((initrd): [string, string] => ['INITRD_PATH', initrd]),
  ] as const) {
    if (path.split('/').includes('..')) throw invalidParam(name, path, 'leave out the ".." parts');
  }
  return {
    device: requiredDevice(environment, 'BLOCK_DEVICE', '/dev/sda2'),
    ...(optionalText(environment, 'FS_TYPE') === undefined ? {} : { fileSystem: parseFileSystem(environment) }),
    ...(kernel === undefined ? {} : { kernel }),
    initrds,
    ...(commandLine === undefined ? {} : { commandLine }),
    grubConfig,
  };
}
