import { mkdir, open, readdir, readlink, rename, rm, symlink } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { fileSystemUuid, PROBE_BYTES } from '#transfer/file-system-probe.ts';
import { SysTree } from '../inventory/sys-tree.ts';
import { partitionUuids } from '../write/partition-table.ts';

const BY_UUID = 'by-uuid';
const BY_PARTUUID = 'by-partuuid';
const NO_DISKS = /^(?:loop|ram|zram|sr|fd)\d/;
/** A partition table's beginning, entries included, whatever the disk's blocks are. */
const TABLE_BYTES = 40 << 10;

/**
 * Makes /dev/disk/by-uuid and by-partuuid of what is on the disks at this moment, named as udev names them. The boot
 * environment has no udev, and programs of an installed system believe these folders: grub-mkconfig names the root by its
 * UUID only when it finds it there. Links of what is gone are removed. Of several devices with one UUID the first gets the
 * link; what cannot be read gets none. Where udev runs after all, in a boot environment of somebody's own, the links are its.
 */
export async function linkDisks(root = '/'): Promise<void> {
  const sys = new SysTree(root);
  if (await sys.has('run/udev/control')) return;
  const found = await findUuids(root, sys);
  for (const folder of [BY_UUID, BY_PARTUUID] as const) await setLinks(join(root, 'dev/disk', folder), found[folder]);
}

/** UUID → name of the device. */
type Uuids = ReadonlyMap<string, string>;

async function findUuids(
  root: string,
  sys: SysTree,
): Promise<Readonly<Record<typeof BY_UUID | typeof BY_PARTUUID, Uuids>>> {
  const found = { [BY_UUID]: new Map<string, string>(), [BY_PARTUUID]: new Map<string, string>() };
  const note = (folder: keyof typeof found, uuid: string | undefined, device: string): void => {
    if (uuid !== undefined && !found[folder].has(uuid)) found[folder].set(uuid, device);
  };
  for (const device of await sys.names('sys/class/block')) {
    if (NO_DISKS.test(device) || (await sys.number(`sys/class/block/${device}/size`)) === 0) continue;
    const node = join(root, 'dev', device);
    note(BY_UUID, fileSystemUuid(await startOf(node, PROBE_BYTES)), device);
    const partitions = await partitionsOf(device, sys);
    if (partitions.size === 0) continue;
    const blockBytes = (await sys.number(`sys/class/block/${device}/queue/logical_block_size`)) ?? 512;
    for (const [number, uuid] of partitionUuids(await startOf(node, TABLE_BYTES), blockBytes)) {
      const partition = partitions.get(number);
      if (partition !== undefined) note(BY_PARTUUID, uuid, partition);
    }
  }
  return found;
}

/** Number → name, as the kernel shows them. */
async function partitionsOf(disk: string, sys: SysTree): Promise<Map<number, string>> {
  const partitions = new Map<number, string>();
  for (const name of await sys.names(`sys/class/block/${disk}`)) {
    const number = name.startsWith(disk) ? await sys.number(`sys/class/block/${disk}/${name}/partition`) : undefined;
    if (number !== undefined) partitions.set(number, name);
  }
  return partitions;
}

async function startOf(node: string, bytes: number): Promise<Buffer> {
  try {
    await using file = await open(node, 'r');
    const { buffer, bytesRead } = await file.read(Buffer.alloc(bytes), 0, bytes, 0);
    return buffer.subarray(0, bytesRead);
  } catch {
    // A card reader without a card, an extended partition, a disk that is broken: nothing that could be named.
    return Buffer.alloc(0);
  }
}

async function setLinks(folder: string, wanted: Uuids): Promise<void> {
  await mkdir(folder, { recursive: true });
  for (const name of await readdir(folder)) {
    const device = basename(await readlink(join(folder, name)).catch(() => ''));
    if (wanted.get(name) !== device) await rm(join(folder, name), { force: true });
  }
  for (const [uuid, device] of wanted) {
    // In one step: somebody may be looking.
    const aside = join(folder, `.${uuid}.tinsmith`);
    await rm(aside, { force: true });
    await symlink(`../../${device}`, aside);
    await rename(aside, join(folder, uuid));
  }
}
