/** What the test systems are made of: Debian's kernel, busybox, and our scripts of the folder `guest`. */
import { createWriteStream } from 'node:fs';
import { chmod, copyFile, mkdir, mkdtemp, readdir, readFile, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { compressor } from '../initramfs/compression.ts';
import { bytesContent, type CpioEntry, writeCpio } from '../initramfs/cpio.ts';
import { moduleIndexes, selectKernelModules } from '../initramfs/kernel-modules.ts';
import { fetchDebianPackages, resolveKernelPackage } from '../packages/debian-packages.ts';
import { installBiosLoader, type PlacedPartition, writeDiskImage } from './disk-image.ts';

export interface TestSystemOptions {
  /** Gets `<name>.img` and its compressed variants. */
  readonly outDirectory: string;
  readonly cacheDirectory: string;
  readonly log?: (line: string) => void;
  readonly signal?: AbortSignal;
}

export interface GuestParts {
  readonly kernel: string;
  readonly busybox: string;
  readonly initrd: string;
}

const GUEST_MODULES = ['virtio_pci', 'virtio_net', 'virtio_blk', 'virtio_scsi', 'ata_piix', 'sd_mod', 'af_packet'];

/** What people, templates and GRUB's scripts call in a chroot of a test system; all else the shell itself knows. */
const APPLETS = [
  [
    'ash',
    'awk',
    'basename',
    'cat',
    'chmod',
    'chown',
    'cp',
    'cut',
    'date',
    'dd',
    'df',
    'dirname',
    'dmesg',
    'echo',
    'env',
  ],
  [
    'expr',
    'false',
    'fgrep',
    'find',
    'free',
    'getty',
    'grep',
    'head',
    'hostname',
    'id',
    'ip',
    'kill',
    'ln',
    'login',
    'ls',
  ],
  ['mkdir', 'mknod', 'mktemp', 'mount', 'mv', 'ping', 'poweroff', 'printf', 'ps', 'pwd', 'readlink', 'reboot', 'rm'],
  ['rmdir', 'sed', 'sh', 'sha256sum', 'sleep', 'sort', 'stat', 'stty', 'sync', 'tail', 'tee', 'test', 'touch', 'tr'],
  ['true', 'udhcpc', 'umount', 'uname', 'uniq', 'vi', 'wc', 'wget', 'xargs'],
].flat();

/** Runs `build` with a scratch folder that goes afterwards, and moves the file that it made to its place. */
export async function buildSystem(
  name: string,
  { outDirectory }: TestSystemOptions,
  build: (working: string, file: string) => Promise<void>,
): Promise<string> {
  const working = await mkdtemp(join(tmpdir(), 'tinsmith-image-'));
  try {
    await mkdir(outDirectory, { recursive: true });
    const partial = join(outDirectory, `${name}.partial-${process.pid}`);
    await build(working, partial);
    const file = join(outDirectory, name);
    await rename(partial, file);
    return file;
  } finally {
    await rm(working, { recursive: true, force: true });
  }
}

/** Fetches kernel and busybox and packs the initrd that finds the root file system. */
export async function guestParts(working: string, options: TestSystemOptions): Promise<GuestParts> {
  const { cacheDirectory, log, signal } = options;
  const apt = {
    architecture: 'amd64',
    cacheDirectory,
    ...(log === undefined ? {} : { log }),
    ...(signal === undefined ? {} : { signal }),
  } as const;
  const kernelName = await resolveKernelPackage('linux-image-cloud-amd64', apt);
  const packages = await fetchDebianPackages({ ...apt, names: [kernelName, 'busybox-static'] });
  const [kernelRoot = '', busyboxRoot = ''] = packages.map(({ root }) => root);
  const [release = ''] = await readdir(join(kernelRoot, 'lib/modules'));
  const busybox = join(busyboxRoot, 'bin/busybox');
  const initrd = join(working, 'initrd');
  await writeInitrd(initrd, busybox, join(kernelRoot, 'lib/modules', release));
  return { kernel: join(kernelRoot, `boot/vmlinuz-${release}`), busybox, initrd };
}

/** Fills a folder with a root file system: busybox with links, mount points, and `rc` as what runs at boot. */
export async function fillRoot(folder: string, busybox: string, rc: string): Promise<void> {
  const folders = [
    'bin',
    'boot',
    'dev',
    'etc/netplan',
    'etc/cloud/cloud.cfg.d',
    'mnt',
    'proc',
    'root',
    'run',
    'sbin',
    'sys',
    'tmp',
    'var/lib',
  ];
  for (const path of folders) await mkdir(join(folder, path), { recursive: true });
  await copyFile(busybox, join(folder, 'bin/busybox'));
  for (const applet of APPLETS) await symlink('busybox', join(folder, 'bin', applet));
  await symlink('../bin/busybox', join(folder, 'sbin/init'));
  for (const [source, path] of [
    [rc, 'etc/rc'],
    ['functions', 'etc/functions'],
    ['udhcpc-script', 'etc/udhcpc-script'],
  ] as const) {
    await copyFile(guestFile(source), join(folder, path));
    await chmod(join(folder, path), 0o755);
  }
  await writeFile(join(folder, 'etc/passwd'), 'root:x:0:0:root:/root:/bin/sh\n');
  await writeFile(join(folder, 'etc/hostname'), 'tinsmith-test\n');
  await writeFile(
    join(folder, 'etc/inittab'),
    '::sysinit:/etc/rc\nttyS0::respawn:-/bin/sh\n::shutdown:/bin/umount -a -r\n',
  );
}

/** Puts the parts together: partition table, contents, boot loader. The first partition must be the BIOS boot partition. */
export async function assemble(
  image: string,
  sizeMiB: number,
  partitions: readonly PlacedPartition[],
  biosCore: string,
): Promise<void> {
  await writeDiskImage(image, sizeMiB, partitions);
  const [biosBoot] = partitions;
  if (biosBoot !== undefined) await installBiosLoader(image, biosCore, biosBoot);
}

/** What GRUB runs: no menu, the kernel at once. */
export async function writeGrubConfig(
  file: string,
  bootLabel: string,
  folder: string,
  rootName: string,
): Promise<void> {
  const lines = [
    `search.fs_label ${bootLabel} root`,
    `linux ($root)${folder}/vmlinuz console=ttyS0 quiet panic=-1 tinsmith-root=${rootName}`,
    `initrd ($root)${folder}/initrd`,
    'boot',
  ];
  await writeFile(file, `${lines.join('\n')}\n`);
}

async function writeInitrd(file: string, busybox: string, modulesDirectory: string): Promise<void> {
  const release = modulesDirectory.slice(modulesDirectory.lastIndexOf('/') + 1);
  const { modules } = await selectKernelModules(modulesDirectory, GUEST_MODULES);
  const modulesFolder = `lib/modules/${release}`;
  const files = [
    { path: 'init', mode: 0o755, content: bytesContent(await readFile(guestFile('initrd-init'))) },
    { path: 'bin/busybox', mode: 0o755, content: bytesContent(await readFile(busybox)) },
    ...modules.map(({ path, bytes }) => ({
      path: `${modulesFolder}/${path}`,
      mode: 0o644,
      content: bytesContent(bytes),
    })),
    ...[...moduleIndexes(modules)].map(([name, text]) => {
      return { path: `${modulesFolder}/${name}`, mode: 0o644, content: bytesContent(text) };
    }),
  ];
  const folders = new Set(['dev', 'proc', 'sys', 'root', 'sbin']);
  for (const { path } of files) {
    for (let slash = path.indexOf('/'); slash !== -1; slash = path.indexOf('/', slash + 1))
      folders.add(path.slice(0, slash));
  }
  const entries: readonly CpioEntry[] = [
    ...[...folders].map((path) => ({ kind: 'directory', path, mode: 0o755 }) as const),
    ...files.map((entry) => ({ kind: 'file', ...entry }) as const),
    { kind: 'symlink', path: 'bin/sh', mode: 0o777, target: 'busybox' },
    { kind: 'symlink', path: 'sbin/modprobe', mode: 0o777, target: '../bin/busybox' },
    { kind: 'character', path: 'dev/console', mode: 0o600, major: 5, minor: 1 },
  ];
  await pipeline(Readable.from(writeCpio(entries)), compressor({ format: 'zstd', level: 9 }), createWriteStream(file));
}

function guestFile(name: string): string {
  return join(import.meta.dirname, 'guest', name);
}
