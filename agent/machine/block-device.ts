import { constants } from 'node:fs';
import { access, mkdir, open, readdir, readFile, readlink, realpath, rm, stat, symlink } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { TinsmithError } from '#proto/errors.ts';
import { diskInventory } from '../inventory/disk-inventory.ts';
import { SysTree } from '../inventory/sys-tree.ts';
import { FileDisk, type ZeroOut } from './file-disk.ts';
import type { Disk, EraseAbilities, Waiting } from './machine.ts';
import { runProgram } from './program.ts';
import { waitUntil } from './wait-until.ts';

const SYS = '/sys/class/block';
const MAPPER = '/dev/mapper/';
const BY_ID = '/dev/disk/by-id/';
/** A driver that is still loading, a partition table that was just read. */
const APPEAR_MS = 30_000;

/**
 * The kernel's own name (/dev/sda2) of a device or of a link to it. `…-partN` is understood even where nobody makes such links.
 * Waits for it (bounded). Throws `device_unfit` with the disks that exist.
 */
export async function findDevice(device: string, signal: AbortSignal): Promise<string> {
  const found = await waitUntil(() => lookFor(device), { timeoutMs: APPEAR_MS, signal });
  if (found !== undefined) return found;
  const disks = (await readdir(SYS).catch(() => [])).map((name) => `/dev/${name}`).toSorted();
  const fact = disks.length === 0 ? 'this machine shows no disks at all' : `this machine has ${disks.join(', ')}`;
  throw new TinsmithError('device_unfit', `there is no ${device}: ${fact}`);
}

async function lookFor(device: string): Promise<string | undefined> {
  const direct = await placeOf(device);
  if (direct !== undefined) return (await stat(direct)).isBlockDevice() ? direct : undefined;
  const [, disk, number] = /^(.+)-part(\d+)$/.exec(device) ?? [];
  if (disk === undefined) return undefined;
  const base = await placeOf(disk);
  return base === undefined ? undefined : lookFor(partitionDevice(base, Number(number)));
}

/** Links followed. A name of /dev/disk/by-id is known even where no udev makes the link. */
async function placeOf(device: string): Promise<string | undefined> {
  const place = await realpath(device).catch(() => undefined);
  if (place?.startsWith(MAPPER) === true) return mappedNode(place);
  if (place !== undefined || !device.startsWith(BY_ID)) return place;
  const name = device.slice(BY_ID.length);
  const disks = await diskInventory(new SysTree('/'));
  return disks.find((disk) => disk.byId?.includes(name) === true)?.device;
}

/** The kernel's own node of a mapped device: LVM without udev makes another one by its name. */
async function mappedNode(place: string): Promise<string> {
  const name = place.slice(MAPPER.length);
  for (const node of (await readdir(SYS)).filter((found) => found.startsWith('dm-'))) {
    if ((await readSys(node, 'dm/name').catch(() => '')) === name) return `/dev/${node}`;
  }
  return place;
}

/**
 * Makes `link` and its `-partN` lead to a disk and its partitions, or removes them all. Links are made anew, so nothing that is gone
 * stays.
 */
export async function linkDisk(link: string, node: string | undefined): Promise<void> {
  const folder = dirname(link);
  await mkdir(folder, { recursive: true });
  for (const name of await readdir(folder)) {
    if (name === basename(link) || name.startsWith(`${basename(link)}-part`)) await rm(join(folder, name));
  }
  if (node === undefined) return;
  await symlink(node, link);
  const disk = basename(node);
  for (const part of (await readdir(join(SYS, disk))).filter((name) => name.startsWith(disk))) {
    await symlink(`/dev/${part}`, `${link}-part${await readSys(part, 'partition')}`);
  }
}

/** The kernel's name of the disk behind a link of `linkDisk`; undefined when there is none. */
export async function linkedDisk(link: string): Promise<string | undefined> {
  return realpath(link).catch(() => undefined);
}

/** /dev/sda, 2 → /dev/sda2; /dev/nvme0n1, 2 → /dev/nvme0n1p2. */
export function partitionDevice(disk: string, number: number): string {
  return /\d$/.test(disk) ? `${disk}p${number}` : `${disk}${number}`;
}

/** Whether it is a partition and no whole disk. */
export async function isPartition(node: string): Promise<boolean> {
  return exists(join(SYS, basename(node), 'partition'));
}

/** Opens a device past the page cache and exclusively. `node` comes from `findDevice`. */
export async function openBlockDevice(device: string, node: string): Promise<Disk> {
  await refuseInUse(device, node);
  const name = basename(node);
  const sizeBytes = Number(await readSys(name, 'size')) * 512;
  const queue = (await isPartition(node)) ? '../queue' : 'queue';
  const logicalBlockBytes = Number(await readSys(name, `${queue}/logical_block_size`));
  if ((await readSys(name, 'ro')) === '1')
    throw new TinsmithError('device_unfit', `cannot write to ${device}: it is read-only`);
  try {
    const file = await open(node, constants.O_RDWR | constants.O_DIRECT | constants.O_EXCL);
    const canZero = Number(await readSys(name, `${queue}/write_zeroes_max_bytes`).catch(() => '0')) > 0;
    const about = { device, sizeBytes, logicalBlockBytes };
    return canZero ? new FileDisk(file, about, zeroOut(node)) : new FileDisk(file, about);
  } catch (thrown) {
    const fact =
      thrown instanceof Error && thrown.message.includes('EBUSY') ? 'something else holds it' : String(thrown);
    throw new TinsmithError('device_unfit', `cannot open ${device} for writing: ${fact}`, { cause: thrown });
  }
}

/** BLKZEROOUT by blkdiscard of util-linux: Node has no ioctl. `--force`, because we hold the device exclusively ourselves. */
function zeroOut(node: string): ZeroOut {
  return async ({ offset, bytes }, { signal }) => {
    const argv = ['blkdiscard', '--force', '--zeroout', `--offset=${offset}`, `--length=${bytes}`, node];
    try {
      return (await runProgram({ argv, signal })).exitCode === 0;
    } catch (thrown) {
      signal.throwIfAborted();
      if (thrown instanceof TinsmithError && thrown.code === 'command_failed') return false; // there is no such program
      throw thrown;
    }
  };
}

export async function eraseAbilities(device: string, { signal }: Waiting): Promise<EraseAbilities> {
  const node = await findDevice(device, signal);
  const name = basename(node);
  const disk = (await diskInventory(new SysTree('/'))).find((found) => found.device === node);
  const limit = async (file: string): Promise<number> => Number(await readSys(name, `queue/${file}`).catch(() => '0'));
  return {
    node,
    isPartition: await isPartition(node),
    transport: disk?.transport ?? 'unknown',
    canDiscard: (await limit('discard_max_bytes')) > 0,
    canWriteZeros: (await limit('write_zeroes_max_bytes')) > 0,
  };
}

/** O_EXCL would refuse, too; this says who it is. Looks at the disk and at each of its partitions. */
async function refuseInUse(device: string, node: string): Promise<void> {
  const name = basename(node);
  const entries = await readdir(join(SYS, name)).catch(() => []);
  const names = [name, ...entries.filter((entry) => entry.startsWith(name))];
  const mounts = await readTable('/proc/self/mounts');
  const swaps = await readTable('/proc/swaps');
  for (const part of names) {
    const path = `/dev/${part}`;
    const mount = mounts.find(([source]) => source === path);
    if (mount !== undefined) throw inUse(device, `${path} is mounted on ${mount[1]}`);
    if (swaps.some(([source]) => source === path)) throw inUse(device, `${path} is used as swap`);
    const [holder] = await readdir(join(SYS, part, 'holders')).catch(() => []);
    if (holder !== undefined) throw inUse(device, `${path} belongs to /dev/${holder}`);
  }
}

function inUse(device: string, fact: string): TinsmithError {
  return new TinsmithError('device_unfit', `cannot write to ${device}: ${fact}`);
}

async function readTable(path: string): Promise<string[][]> {
  const text = await readFile(path, 'utf8').catch(() => '');
  return text.split('\n').map((line) => line.split(/\s+/));
}

async function readSys(name: string, file: string): Promise<string> {
  // Links of /sys/class/block lead into the device tree, where a partition lies inside its disk.
  const place = join(SYS, await readlink(join(SYS, name)).catch(() => name));
  return (
    await readFile(join(file.startsWith('../') ? dirname(place) : place, file.replace('../', '')), 'utf8')
  ).trim();
}

export async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
