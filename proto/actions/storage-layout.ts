import { TinsmithError } from '../errors.ts';

/**
 * Disks, partitions and file systems as Tinkerbell's metadata describes them (`instance.storage`, the shape of Equinix
 * Metal's custom partitioning).
 */
export interface StorageLayout {
  readonly disks: readonly DiskLayout[];
  readonly volumeGroups: readonly VolumeGroupLayout[];
  readonly fileSystems: readonly FileSystemLayout[];
}

/** LVM: made after the partitions that it may lie on. */
export interface VolumeGroupLayout {
  readonly name: string;
  readonly physicalVolumes: readonly string[];
  readonly tags: readonly string[];
  readonly logicalVolumes: readonly LogicalVolumeLayout[];
}

export interface LogicalVolumeLayout {
  readonly name: string;
  /** Bytes; 0: the rest of the group, only for the last one. */
  readonly size: number;
  readonly tags: readonly string[];
  /** Options for lvcreate. */
  readonly options: readonly string[];
}

export interface DiskLayout {
  readonly device: string;
  readonly wipeTable: boolean;
  /** Numbers ascend from 1 without gaps. */
  readonly partitions: readonly PartitionLayout[];
}

export interface PartitionLayout {
  readonly number: number;
  /** Decides the type: BIOS, EFI, SWAP, FAT32 and so on; anything else is a Linux file system. */
  readonly label: string;
  /** In units of 512 bytes whatever the disk's block size; 0: the rest of the disk, only for the last one. */
  readonly size: number;
}

export interface FileSystemLayout {
  readonly device: string;
  readonly format: FileSystemFormat;
  /** Where it is mounted; absent for swap. */
  readonly point?: string;
  /** Options for mkfs. */
  readonly createOptions: readonly string[];
}

/** What the boot environment has a mkfs for. */
const FORMATS = ['ext2', 'ext3', 'ext4', 'vfat', 'xfs', 'btrfs', 'swap'] as const;
type FileSystemFormat = (typeof FORMATS)[number];

/** Parses a metadata document: `{storage}`, `{instance: {storage}}` or `{metadata: {instance: {storage}}}`. Throws `invalid_params`. */
export function parseStorageLayout(text: string, source: string): StorageLayout {
  const where = new Where(source);
  const storage = findStorage(parseJson(text, where), where);
  if (list(storage['raid'], where.at('raid')).length > 0) {
    throw where.at('raid').fault(storage['raid'], 'software RAID is not supported, use partitions or volume groups');
  }
  const disks = list(storage['disks'], where.at('disks')).map((disk, i) => parseDisk(disk, where.at(`disks[${i}]`)));
  const fileSystems = list(storage['filesystems'], where.at('filesystems')).map((entry, i) =>
    parseFileSystemLayout(entry, where.at(`filesystems[${i}]`)),
  );
  const volumeGroups = list(storage['volume_groups'] ?? storage['volumeGroups'], where.at('volume_groups'));
  const groups = volumeGroups.map((group, i) => parseVolumeGroup(group, where.at(`volume_groups[${i}]`)));
  return { disks, volumeGroups: groups, fileSystems };
}

/** Names the place in the document in every sentence. */
class Where {
  readonly #path: string;

  constructor(path: string) {
    this.#path = path;
  }

  at(name: string): Where {
    return new Where(`${this.#path} ${name}`);
  }

  fault(value: unknown, fix: string): TinsmithError {
    const shown = value === undefined ? 'missing' : JSON.stringify(value)?.slice(0, 200);
    return new TinsmithError('invalid_params', `${this.#path} is ${shown}: ${fix}`);
  }
}

type JsonObject = Readonly<Record<string, unknown>>;

function parseJson(text: string, where: Where): unknown {
  try {
    return JSON.parse(text);
  } catch (thrown) {
    throw new TinsmithError('invalid_params', where.fault(text, 'use a JSON document').message, { cause: thrown });
  }
}

function findStorage(document: unknown, where: Where): JsonObject {
  let candidate = object(document, where);
  for (const key of ['metadata', 'instance', 'storage']) {
    const inner = candidate[key];
    if (inner !== undefined && inner !== null) candidate = object(inner, where.at(key));
  }
  if (['disks', 'filesystems', 'volume_groups', 'volumeGroups'].some((key) => candidate[key] !== undefined))
    return candidate;
  throw where.at('metadata.instance.storage').fault(undefined, 'describe disks or filesystems there');
}

function parseDisk(value: unknown, where: Where): DiskLayout {
  const disk = object(value, where);
  const partitions = list(disk['partitions'], where.at('partitions')).map((entry, i) => {
    const at = where.at(`partitions[${i}]`);
    const partition = object(entry, at);
    return {
      number: integer(partition['number'] ?? i + 1, at.at('number')),
      label: text(partition['label'] ?? '', at.at('label')),
      size: integer(partition['size'] ?? 0, at.at('size')),
    };
  });
  partitions.forEach((partition, i) => {
    const at = where.at(`partitions[${i}]`);
    if (partition.number !== i + 1)
      throw at.at('number').fault(partition.number, `number partitions from 1, here ${i + 1}`);
    if (partition.size === 0 && i < partitions.length - 1) {
      throw at.at('size').fault(0, 'only the last partition may take the rest of the disk');
    }
  });
  return { device: device(disk['device'], where.at('device')), wipeTable: disk['wipe_table'] === true, partitions };
}

function parseFileSystemLayout(value: unknown, where: Where): FileSystemLayout {
  const mount = object(object(value, where)['mount'], where.at('mount'));
  const create = object(mount['create'] ?? {}, where.at('mount.create'));
  const point = text(mount['point'] ?? '', where.at('mount.point'));
  const written = text(mount['format'], where.at('mount.format')).toLowerCase();
  const format = FORMATS.find((known) => known === written);
  if (format === undefined) throw where.at('mount.format').fault(written, `use one of ${FORMATS.join(', ')}`);
  if (point.split('/').includes('..')) throw where.at('mount.point').fault(point, 'leave out the ".." parts');
  return {
    device: device(mount['device'], where.at('mount.device')),
    format,
    ...(point === '' || format === 'swap' ? {} : { point }),
    createOptions: list(create['options'], where.at('mount.create.options')).map((option, i) =>
      text(option, where.at(`mount.create.options[${i}]`)),
    ),
  };
}

function parseVolumeGroup(value: unknown, where: Where): VolumeGroupLayout {
  const group = object(value, where);
  const physicalVolumes = list(group['physical_volumes'], where.at('physical_volumes')).map((entry, i) =>
    device(entry, where.at(`physical_volumes[${i}]`)),
  );
  if (physicalVolumes.length === 0) {
    throw where.at('physical_volumes').fault(group['physical_volumes'], 'list at least one partition or disk');
  }
  const logical = list(group['logical_volumes'], where.at('logical_volumes'));
  const logicalVolumes = logical.map((entry, i) => {
    const at = where.at(`logical_volumes[${i}]`);
    const volume = object(entry, at);
    const size = integer(volume['size'] ?? 0, at.at('size'));
    if (size === 0 && i < logical.length - 1)
      throw at.at('size').fault(0, 'only the last volume may take the rest of the group');
    return {
      name: volumeName(volume['name'], at.at('name')),
      size,
      tags: texts(volume['tags'], at.at('tags')),
      options: texts(volume['opts'], at.at('opts')),
    };
  });
  return {
    name: volumeName(group['name'], where.at('name')),
    physicalVolumes,
    tags: texts(group['tags'], where.at('tags')),
    logicalVolumes,
  };
}

/** lvm(8), valid names. */
function volumeName(value: unknown, where: Where): string {
  const name = text(value, where);
  if (/^[\w+.][\w+.-]{0,126}$/.test(name) && !['.', '..'].includes(name)) return name;
  throw where.fault(name, 'use letters, digits and + _ . -, not first a -');
}

function texts(value: unknown, where: Where): readonly string[] {
  return list(value, where).map((entry, i) => text(entry, where.at(`[${i}]`)));
}

function object(value: unknown, where: Where): JsonObject {
  if (isJsonObject(value)) return value;
  throw where.fault(value, 'use an object');
}

function isJsonObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function list(value: unknown, where: Where): readonly unknown[] {
  if (value === undefined || value === null) return [];
  if (Array.isArray(value)) return value;
  throw where.fault(value, 'use a list');
}

function text(value: unknown, where: Where): string {
  if (typeof value === 'string') return value;
  throw where.fault(value, 'use a text');
}

function device(value: unknown, where: Where): string {
  const path = text(value, where);
  if (/^\/dev\/[^\s\0]+$/.test(path) && !path.split('/').includes('..')) return path;
  throw where.fault(value, 'use the path of a device, such as /dev/sda');
}

/** Numbers arrive as JSON numbers or, from some templates, as texts. */
function integer(value: unknown, where: Where): number {
  const number = typeof value === 'string' && /^\d+$/.test(value) ? Number(value) : value;
  if (typeof number === 'number' && Number.isSafeInteger(number) && number >= 0) return number;
  throw where.fault(value, 'use an integer of 0 or more');
}
