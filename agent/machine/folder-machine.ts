import { mkdir, open, stat, truncate, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { TinsmithError } from '#proto/errors.ts';
import type { InventoryDisk } from '#proto/inventory.ts';
import { PROBE_BYTES, recognizeFileSystem } from '#transfer/file-system-probe.ts';
import { partitionDevice } from './block-device.ts';
import { FileDisk } from './file-disk.ts';
import type { EraseAbilities, KernelToLoad, Machine, ProgramCall, ProgramResult } from './machine.ts';
import { MountedRoot } from './mounted-root.ts';

export interface FolderMachineOptions {
  /** Disposable: /dev/sda is `<folder>/dev/sda`, the file system on /dev/sda2 is `<folder>/mounts/dev/sda2`. */
  readonly folder: string;
  /** Device → size. Files are made when they are missing. */
  readonly disks: Readonly<Record<string, number>>;
  readonly logicalBlockBytes?: number;
  /** What is on a partition, for the check of the expected file system. Default ext4. */
  readonly fileSystems?: Readonly<Record<string, string>>;
  /** What the machine says of its disks beside their sizes. */
  readonly about?: Readonly<Record<string, Partial<InventoryDisk> & Partial<EraseAbilities>>>;
  /** Default: bios. */
  readonly firmware?: 'bios' | 'uefi';
  /** Path → content. */
  readonly bootFiles?: Readonly<Record<string, Buffer>>;
  /** Stands for every program; default: exit code 0. */
  readonly run?: (program: ProgramCall) => Promise<ProgramResult>;
}

export interface FolderMachine extends Machine {
  /** Everything that was asked of it, in order, such as `reread /dev/sda 1,2` or `run mkfs.ext4 /dev/sda1`. */
  readonly journal: readonly string[];
  /** The file behind a disk. */
  diskFile(device: string): string;
  /** The folder behind a file system. */
  folderOf(device: string): string;
}

/** A machine made of a folder: for tests of actions and of the whole agent without root. */
export function folderMachine(options: FolderMachineOptions): FolderMachine {
  const journal: string[] = [];
  const mounted = new Map<string, MountedRoot>();
  const { real, ...naming } = folderNaming(options);
  const diskFile = (device: string): string => join(options.folder, real(device));
  const folderOf = (device: string): string => join(options.folder, 'mounts', device);
  const run = async (program: ProgramCall): Promise<ProgramResult> => {
    journal.push(`run ${program.argv.join(' ')}`);
    return (await options.run?.(program)) ?? { exitCode: 0, lastLines: [] };
  };
  const releaseMounts = async (): Promise<void> => {
    for (const device of [...mounted.keys()].toReversed()) journal.push(`unmount ${device}`);
    mounted.clear();
  };
  return {
    journal,
    diskFile,
    folderOf,
    run,
    startFilter: async () => undefined,
    releaseMounts,
    openDisk: async (path) => {
      const device = real(path);
      await releaseMounts();
      journal.push(`open ${device}`);
      return openFolderDisk(device, diskFile(device), options);
    },
    rereadPartitionTable: async (device, partitions) => {
      journal.push(`reread ${real(device)} ${partitions.join(',')}`);
    },
    mount: async (path, expected) => {
      const device = real(path);
      const found = options.fileSystems?.[device] ?? 'ext4';
      if (expected !== undefined && expected !== found) {
        throw new TinsmithError('device_unfit', `cannot mount ${device}: expected ${expected}, found ${found} on it`);
      }
      const shared = mounted.get(device);
      if (shared !== undefined) return shared;
      journal.push(`mount ${device}`);
      await mkdir(folderOf(device), { recursive: true });
      const root = new MountedRoot({ device, mountPoint: folderOf(device), hasOwners: found !== 'vfat' });
      mounted.set(device, root);
      return root;
    },
    ...naming,
    probe: async (device) => {
      await using file = await open(diskFile(device), 'r');
      const { buffer, bytesRead } = await file.read(Buffer.alloc(PROBE_BYTES), 0, PROBE_BYTES, 0);
      return recognizeFileSystem(buffer.subarray(0, bytesRead));
    },
    runInside: async (root, program) => run({ ...program, argv: ['chroot', root.device, ...program.argv] }),
    firmware: async () => options.firmware ?? 'bios',
    bootFile: async (path) => options.bootFiles?.[path] ?? Buffer.alloc(0),
    loadKernel: async ({ kernel, initrds, commandLine }: KernelToLoad) => {
      journal.push(`kexec ${kernel} [${initrds.join(' ')}] ${commandLine}`);
    },
  };
}

function folderNaming(options: FolderMachineOptions) {
  const links = new Map<string, string>();
  const real = (device: string): string => followLink(device, links);
  return {
    real,
    disks: async () => folderDisks(options),
    nameDisk: async (path, device) => {
      if (device === undefined) links.delete(path);
      else links.set(path, device);
    },
    namedDisk: async (path) => links.get(path),
    nodeOf: async (device) => real(device),
    eraseAbilities: async (device) => folderAbilities(real(device), options),
  } satisfies Partial<Machine> & { real: unknown };
}

/** `<link>-partN` as well. */
function followLink(device: string, links: ReadonlyMap<string, string>): string {
  const [, link = device, number] = /^(.+?)(?:-part(\d+))?$/.exec(device) ?? [];
  const disk = links.get(link);
  if (disk === undefined) return device;
  return number === undefined ? disk : partitionDevice(disk, Number(number));
}

function folderDisks({ disks, about, logicalBlockBytes = 512 }: FolderMachineOptions): InventoryDisk[] {
  const whole = Object.entries(disks).filter(([device]) => !isPartitionName(device));
  return whole.map(([device, sizeBytes]) => {
    return { device, sizeBytes, logicalBlockBytes, rotational: false, transport: 'virtio', ...about?.[device] };
  });
}

function folderAbilities(device: string, { about }: FolderMachineOptions): EraseAbilities {
  return {
    node: device,
    isPartition: isPartitionName(device),
    transport: 'virtio',
    canDiscard: false,
    canWriteZeros: false,
    ...about?.[device],
  };
}

function isPartitionName(device: string): boolean {
  return /^\/dev\/(sd[a-z]+|vd[a-z]+|nvme\d+n\d+p)\d+$/.test(device);
}

async function openFolderDisk(device: string, file: string, options: FolderMachineOptions): Promise<FileDisk> {
  const sizeBytes = options.disks[device];
  if (sizeBytes === undefined) {
    const known = Object.keys(options.disks).join(', ');
    throw new TinsmithError('device_unfit', `there is no ${device}: this machine has ${known}`);
  }
  if ((await stat(file).catch(() => undefined)) === undefined) {
    await mkdir(dirname(file), { recursive: true });
    await writeFile(file, '');
    await truncate(file, sizeBytes);
  }
  return new FileDisk(await open(file, 'r+'), {
    device,
    sizeBytes,
    logicalBlockBytes: options.logicalBlockBytes ?? 512,
  });
}
