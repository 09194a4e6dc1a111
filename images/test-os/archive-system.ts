import { cp, mkdir, symlink, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { findSharedLibraries } from '../initramfs/shared-libraries.ts';
import { fetchDebianPackages, type UnpackedPackage } from '../packages/debian-packages.ts';
import { runProgram } from '../packages/run-program.ts';
import { buildSystem, fillRoot, type GuestParts, guestParts, type TestSystemOptions } from './guest-system.ts';
import { writeVariants } from './image-variants.ts';

const TRIPLET = 'x86_64-linux-gnu';
/** What installs and configures GRUB in Debian, as far as it runs: package → files and folders of it. */
const GRUB_FILES: Readonly<Record<string, readonly string[]>> = {
  'grub-common': [
    ...['grub-mkconfig', 'grub-probe'].map((name) => `usr/sbin/${name}`),
    ...['grub-editenv', 'grub-file', 'grub-mkrelpath', 'grub-script-check'].map((name) => `usr/bin/${name}`),
    'usr/share/grub/grub-mkconfig_lib',
    'etc/grub.d',
  ],
  'grub2-common': ['usr/sbin/grub-install'],
  'grub-pc-bin': ['usr/lib/grub/i386-pc'],
  'grub-efi-amd64-bin': ['usr/lib/grub/x86_64-efi'],
};
/** Whole loaders for other purposes than being installed: most of their package. */
const LEFT_OUT = /\/monolithic(?:\/|$)/;

const SETTINGS = {
  'etc/hostname': 'archive-node\n',
  'etc/issue': 'Tinsmith test system \\n \\l\n',
  'etc/fstab': 'LABEL=ROOT / ext4 defaults 0 1\n',
  'etc/group': 'root:x:0:\n',
  'etc/inittab': '::sysinit:/etc/rc\nttyS0::respawn:/bin/getty -L ttyS0 115200 vt100\n::shutdown:/bin/umount -a -r\n',
  // The terminal by name: GRUB's own choice is a screen, and machines of the lab have none.
  'etc/default/grub': [
    'GRUB_DEFAULT=0',
    'GRUB_TIMEOUT=0',
    'GRUB_DISTRIBUTOR=Tinsmith',
    'GRUB_TERMINAL=console',
    'GRUB_CMDLINE_LINUX_DEFAULT=""',
    'GRUB_CMDLINE_LINUX="console=ttyS0,115200"',
    '',
  ].join('\n'),
};

/**
 * A small system as tar archives, for actions that make disks from their parts. `archive-root.tar` is the root file system:
 * busybox, kernel and initrd in /boot, links to them as Debian has them, and Debian's own GRUB packages for BIOS and UEFI
 * with the libraries that they need; it names its root by `root=UUID=` or `root=LABEL=` of its command line and asks for a
 * login on ttyS0 as archive-node. `archive-boot.tar` has kernel and initrd alone, for a boot partition that knows no links.
 * @returns the root archive; its `.zst`, `archive-boot.tar` and that one's `.zst` lie beside it.
 * @throws TinsmithError as the packages and programs that it uses do.
 */
export async function buildArchiveSystem(options: TestSystemOptions): Promise<string> {
  await buildSystem('archive-boot.tar', options, async (working, file) => {
    const { kernel, initrd } = await guestParts(working, options);
    const boot = join(working, 'boot-root');
    await mkdir(boot);
    await cp(kernel, join(boot, 'vmlinuz'));
    await cp(initrd, join(boot, 'initrd.img'));
    await writeTar(boot, file);
  }).then((archive) => writeVariants(archive, ['zst']));
  const archive = await buildSystem('archive-root.tar', options, async (working, file) => {
    const root = join(working, 'root');
    await mkdir(root);
    await fillArchiveRoot(root, await guestParts(working, options), options);
    await writeTar(root, file);
  });
  await writeVariants(archive, ['zst']);
  return archive;
}

async function fillArchiveRoot(
  root: string,
  { kernel, busybox, initrd }: GuestParts,
  options: TestSystemOptions,
): Promise<void> {
  await fillRoot(root, busybox, 'rc');
  const release = basename(kernel).slice('vmlinuz-'.length);
  for (const [source, name, link] of [
    [kernel, `vmlinuz-${release}`, 'vmlinuz'],
    [initrd, `initrd.img-${release}`, 'initrd.img'],
  ] as const) {
    await cp(source, join(root, 'boot', name));
    await symlink(`boot/${name}`, join(root, link));
  }
  await mkdir(join(root, 'etc/default'));
  for (const [path, text] of Object.entries(SETTINGS)) await writeFile(join(root, path), text);
  await copyGrub(root, options);
}

async function copyGrub(root: string, { cacheDirectory, log, signal }: TestSystemOptions): Promise<void> {
  const fetch = { architecture: 'amd64', cacheDirectory, ...(log && { log }), ...(signal && { signal }) } as const;
  const packages = await fetchDebianPackages({ ...fetch, names: Object.keys(GRUB_FILES), withLibraries: true });
  const programs: string[] = [];
  for (const [name, paths] of Object.entries(GRUB_FILES)) {
    const from = rootOf(packages, name);
    for (const path of paths) {
      await cp(join(from, path), join(root, path), { recursive: true, filter: (source) => !LEFT_OUT.test(source) });
      if (/bin\//.test(path)) programs.push(join(from, path));
    }
  }
  const folders = packages.map((found) => found.root);
  for (const { path, source } of await findSharedLibraries(programs, folders, TRIPLET))
    await cp(source, join(root, path), { dereference: true });
}

function rootOf(packages: readonly UnpackedPackage[], name: string): string {
  const found = packages.find((candidate) => candidate.name === name);
  if (found === undefined) throw new Error(`package ${name} was not fetched`);
  return found.root;
}

/** The same bytes on every build: sorted, of root, without times. */
async function writeTar(folder: string, file: string): Promise<void> {
  const same = ['--sort=name', '--mtime=@0', '--owner=root:0', '--group=root:0', '--numeric-owner', '--format=gnu'];
  await runProgram(['tar', ...same, '--mode=u+w,go-w', '-C', folder, '-cf', file, '.']);
}
