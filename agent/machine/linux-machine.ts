import { mkdir, mkdtemp, open, readdir, readFile, rm } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { TinsmithError } from '#proto/errors.ts';
import { type FileSystemName, PROBE_BYTES, recognizeFileSystem } from '#transfer/file-system-probe.ts';
import { diskInventory } from '../inventory/disk-inventory.ts';
import { SysTree } from '../inventory/sys-tree.ts';
import {
  eraseAbilities,
  exists,
  findDevice,
  isPartition,
  linkDisk,
  linkedDisk,
  openBlockDevice,
  partitionDevice,
} from './block-device.ts';
import { LinuxMounts } from './linux-mounts.ts';
import type { Disk, KernelToLoad, Machine, Waiting } from './machine.ts';
import { runProgram } from './program.ts';
import { startFilter } from './program-filter.ts';
import { waitUntil } from './wait-until.ts';

/** The kernel may keep the disk busy for a moment after it was closed. */
const REREAD_MS = 15_000;
const PARTITIONS_MS = 20_000;

/**
 * The machine that the agent runs on, as root: block devices by their files, everything else by the programs of the boot
 * environment (mount, umount, blockdev, chroot, kexec; busybox or util-linux). `runDirectory` is on a tmpfs.
 */
export function linuxMachine(runDirectory = '/run/tinsmith'): Machine {
  const mounts = new LinuxMounts(join(runDirectory, 'mounts'));
  return {
    openDisk: async (device, { signal }): Promise<Disk> => {
      const node = await findDevice(device, signal);
      await mounts.release();
      return openBlockDevice(device, node);
    },
    rereadPartitionTable,
    mount: (device, fileSystem, waiting) => mounts.mount(device, fileSystem, waiting),
    releaseMounts: () => mounts.release(),
    disks: () => diskInventory(new SysTree('/')),
    nameDisk: linkDisk,
    namedDisk: linkedDisk,
    nodeOf: (device, { signal }) => findDevice(device, signal),
    eraseAbilities,
    probe: probeDevice,
    run: runProgram,
    startFilter: (argv) => startFilter(argv, runDirectory),
    runInside: (root, program) => mounts.runInside(root, program),
    firmware: async () => ((await exists('/sys/firmware/efi')) ? 'uefi' : 'bios'),
    bootFile: readBootFile,
    loadKernel: (kernel, waiting) => loadKernel(kernel, waiting, runDirectory),
  };
}

async function probeDevice(device: string, { signal }: Waiting): Promise<FileSystemName | undefined> {
  await using file = await open(await findDevice(device, signal), 'r');
  const { buffer, bytesRead } = await file.read(Buffer.alloc(PROBE_BYTES), 0, PROBE_BYTES, 0);
  return recognizeFileSystem(buffer.subarray(0, bytesRead));
}

async function rereadPartitionTable(device: string, partitions: readonly number[], { signal }: Waiting): Promise<void> {
  const node = await findDevice(device, signal);
  // An image may be written to a partition; nothing below it has a table then.
  if (await isPartition(node)) return;
  let said = '';
  const isRead = await waitUntil(
    async () => {
      const result = await runProgram({ argv: ['blockdev', '--rereadpt', node], signal });
      said = result.lastLines.join(' ');
      return result.exitCode === 0 ? true : undefined;
    },
    { timeoutMs: REREAD_MS, signal },
  );
  if (isRead === undefined) {
    throw new TinsmithError('device_unfit', `the kernel does not read the new partition table of ${device}: ${said}`);
  }
  for (const number of partitions) await waitForPartition(device, node, { number, signal });
}

async function waitForPartition(
  device: string,
  disk: string,
  { number, signal }: { number: number; signal: AbortSignal },
): Promise<void> {
  const node = partitionDevice(disk, number);
  const look = async (): Promise<true | undefined> => ((await openable(node)) ? true : undefined);
  if ((await waitUntil(look, { timeoutMs: PARTITIONS_MS, signal })) === true) return;
  const shown = (await readdir(`/sys/class/block/${basename(disk)}`)).filter((name) => name.startsWith(basename(disk)));
  const fact = shown.length === 0 ? 'it shows none' : `it shows ${shown.join(', ')}`;
  throw new TinsmithError('device_unfit', `the kernel does not show partition ${number} of ${device}: ${fact}`);
}

/** The node exists and the device behind it answers. */
async function openable(node: string): Promise<boolean> {
  try {
    await using file = await open(node, 'r');
    return (await file.stat()).isBlockDevice();
  } catch {
    // Not there yet; the caller's deadline decides.
    return false;
  }
}

async function readBootFile(path: string): Promise<Buffer> {
  try {
    return await readFile(path);
  } catch (cause) {
    throw new TinsmithError('unsupported', `the boot environment has no ${path}: build it again`, { cause });
  }
}

/** kexec-tools choose the system call; a locked-down kernel takes only the file-based one with a signed kernel. */
async function loadKernel(kernel: KernelToLoad, { signal }: Waiting, runDirectory: string): Promise<void> {
  await mkdir(runDirectory, { recursive: true });
  const scratch = await mkdtemp(join(runDirectory, 'kexec-'));
  try {
    const argv = ['kexec', '-a', '-l', kernel.kernel, `--command-line=${kernel.commandLine}`];
    if (kernel.initrds.length > 0) argv.push(`--initrd=${await joinFiles(kernel.initrds, join(scratch, 'initrd'))}`);
    const result = await runProgram({ argv, signal });
    if (result.exitCode === 0) return;
    const said = result.lastLines.join(' | ');
    throw new TinsmithError(
      'command_failed',
      `cannot load ${kernel.kernel} (kexec exit code ${result.exitCode}): ${said}`,
    );
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

/** Several initrds are one file for the kernel: cpio archives behind each other. */
async function joinFiles(paths: readonly string[], target: string): Promise<string> {
  const [only, ...more] = paths;
  if (only !== undefined && more.length === 0) return only;
  await using file = await open(target, 'wx', 0o600);
  for (const path of paths) await file.writeFile(await readFile(path));
  return target;
}
