import {
  bigNumber,
  type DiskImage,
  damaged,
  type Extent,
  ExtentList,
  type ImageLimit,
  readPart,
  readTables,
  type SeekableFile,
  unsupported,
} from './disk-image.ts';

// VMware Virtual Disk Format 5.0: monolithicSparse, streamOptimized and monolithicFlat.

const SECTOR = 512;
const AT_END = 0xffff_ffff_ffff_ffffn;
const HAS_COMPRESSED_GRAINS = 1 << 16;
const HAS_ZERO_GRAINS = 1 << 2;
const GRAIN_HEADER = 12;

interface Header {
  readonly flags: number;
  readonly virtualBytes: number;
  readonly grainBytes: number;
  readonly descriptor: { readonly offset: number; readonly bytes: number };
  readonly tableEntries: number;
  readonly directory: bigint;
  readonly isDeflated: boolean;
}

/** By its mark, or as a descriptor in a file of its own. */
export function isVmdk(start: Buffer): boolean {
  return ['KDMV', 'COWD'].includes(start.toString('latin1', 0, 4)) || isDescriptor(start);
}

function isDescriptor(start: Buffer): boolean {
  return /^# ?Disk DescriptorFile/i.test(start.toString('latin1', 0, 64));
}

/**
 * One sparse file, streamOptimized ones too, or a descriptor of one flat file. `start`: the first 64 KiB. Throws as `openDiskImage`
 * does.
 */
export async function openVmdk(source: SeekableFile, start: Buffer, limit: ImageLimit): Promise<DiskImage> {
  if (isDescriptor(start)) return openFlat(start.toString('latin1'), limit);
  if (start.toString('latin1', 0, 4) === 'COWD') throw unsupported('vmdk', 'it is in the old COWD format');
  let header = readHeader(start);
  limit.requireFits(header.virtualBytes);
  if (header.descriptor.bytes > 0) {
    const descriptor = await readPart(source, 'vmdk', { what: 'descriptor', ...header.descriptor });
    refuseParts(descriptor.toString('latin1'));
  }
  // A file that was streamed has the place of its tables in a footer: the last but one sector.
  if (header.directory === AT_END) {
    header = readHeader(
      await readPart(source, 'vmdk', { what: 'footer', offset: source.sizeBytes - 1024, bytes: SECTOR }),
    );
    limit.requireFits(header.virtualBytes);
  }
  const { grainBytes, virtualBytes } = header;
  const list = new ExtentList('vmdk', virtualBytes, source.sizeBytes);
  for (const extent of withBounds(await readGrains(source, header), source.sizeBytes)) list.add(extent);
  return { format: 'vmdk', virtualBytes, granularity: grainBytes, extents: list.extents };
}

async function readGrains(source: SeekableFile, header: Header): Promise<readonly Extent[]> {
  const { grainBytes, tableEntries, virtualBytes, flags } = header;
  const count = Math.ceil(virtualBytes / (tableEntries * grainBytes));
  if (count === 0) return [];
  const offset = bigNumber(header.directory) * SECTOR;
  const directory = await readPart(source, 'vmdk', { what: 'grain directory', offset, bytes: count * 4 });
  const places = Array.from({ length: count }, (_, i) => directory.readUInt32LE(i * 4) * SECTOR);
  const tables = new Map<number, Buffer>();
  const wanted = { what: 'grain table', offsets: places.filter((place) => place !== 0), bytes: tableEntries * 4 };
  for await (const [place, table] of readTables(source, 'vmdk', wanted)) tables.set(place, table);
  const least = (flags & HAS_ZERO_GRAINS) === 0 ? 1 : 2;
  const grains: Extent[] = [];
  for (const [index, place] of places.entries()) {
    const table = tables.get(place);
    if (table === undefined) continue;
    for (let i = 0; i < tableEntries; i++) {
      const sector = table.readUInt32LE(i * 4);
      const diskOffset = (index * tableEntries + i) * grainBytes;
      if (sector < least || diskOffset >= virtualBytes) continue;
      const at = { diskOffset, diskBytes: grainBytes, fileOffset: sector * SECTOR };
      grains.push({ ...at, fileBytes: grainBytes, coding: header.isDeflated ? 'grain' : 'plain' });
    }
  }
  return grains;
}

/** Only a compressed grain itself says how long it is: until the next one, and no longer than zlib can make it. */
function withBounds(grains: readonly Extent[], fileBytes: number): readonly Extent[] {
  const offsets = grains.map(({ fileOffset }) => fileOffset).toSorted((a, b) => a - b);
  const next = new Map(offsets.map((offset, i) => [offset, offsets[i + 1] ?? fileBytes]));
  return grains.map((grain) => {
    if (grain.coding !== 'grain') return grain;
    const most = GRAIN_HEADER + grain.diskBytes + (grain.diskBytes >> 8) + 1024;
    return { ...grain, fileBytes: Math.min(most, (next.get(grain.fileOffset) ?? fileBytes) - grain.fileOffset) };
  });
}

function readHeader(start: Buffer): Header {
  if (start.length < SECTOR || start.toString('latin1', 0, 4) !== 'KDMV')
    throw damaged('vmdk', 'its header is missing');
  const version = start.readUInt32LE(4);
  if (version < 1 || version > 3) throw unsupported('vmdk', `its version is ${version}`);
  const flags = start.readUInt32LE(8);
  // Set to find out what a transfer as text has done to the file.
  if ((flags & 1) !== 0 && start.toString('latin1', 73, 77) !== '\n \r\n')
    throw damaged('vmdk', 'it was changed as a text');
  const algorithm = start.readUInt16LE(77);
  const isDeflated = (flags & HAS_COMPRESSED_GRAINS) !== 0;
  if (isDeflated && algorithm !== 1) throw unsupported('vmdk', `its compression has the unknown type ${algorithm}`);
  return {
    flags,
    virtualBytes: bigNumber(start.readBigUInt64LE(12)) * SECTOR,
    grainBytes: requirePower(bigNumber(start.readBigUInt64LE(20)), { least: 8, most: 4096 }) * SECTOR,
    descriptor: {
      offset: bigNumber(start.readBigUInt64LE(28)) * SECTOR,
      bytes: Math.min(bigNumber(start.readBigUInt64LE(36)) * SECTOR, 1 << 20),
    },
    tableEntries: requirePower(start.readUInt32LE(44), { least: 512, most: 65_536 }),
    directory: start.readBigUInt64LE(56),
    isDeflated,
  };
}

/** Sectors of a grain, entries of a table. */
function requirePower(value: number, { least, most }: { readonly least: number; readonly most: number }): number {
  if (Number.isInteger(Math.log2(value)) && value >= least && value <= most) return value;
  throw damaged('vmdk', `a size in its header is ${value} and no power of two from ${least} to ${most}`);
}

/** One extent in a file of its own, which lies beside the descriptor. */
function openFlat(descriptor: string, limit: ImageLimit): DiskImage {
  const type = refuseParts(descriptor);
  const extents = [...descriptor.matchAll(/^(?:RW|RDONLY) (\d+) (\w+)(?: "([^"]+)")?(?: (\d+))?/gm)];
  const [, sectors, kind, name = '', offset = '0'] = extents[0] ?? [];
  if (extents.length !== 1 || kind !== 'FLAT') throw unsupported('vmdk', `it is in several files (${type})`);
  if (!/^[^/\\]+$/.test(name) || name.startsWith('.'))
    throw damaged('vmdk', `its data would be in ${JSON.stringify(name)}`);
  const virtualBytes = Number(sectors) * SECTOR;
  limit.requireFits(virtualBytes);
  const extent = {
    diskOffset: 0,
    diskBytes: virtualBytes,
    fileOffset: Number(offset) * SECTOR,
    fileBytes: virtualBytes,
  };
  const extents1: readonly Extent[] = [{ ...extent, coding: 'plain' }];
  return { format: 'vmdk', virtualBytes, granularity: 1 << 20, extents: extents1, dataFile: name };
}

/** Returns the type. */
function refuseParts(descriptor: string): string {
  const parent = /^parentCID\s*=\s*"?([\da-f]+)/im.exec(descriptor)?.[1];
  if (parent !== undefined && parent.toLowerCase() !== 'ffffffff') throw unsupported('vmdk', 'it needs a parent image');
  const type = /^createType\s*=\s*"([^"]*)"/im.exec(descriptor)?.[1] ?? 'unknown';
  if (['monolithicSparse', 'streamOptimized', 'monolithicFlat'].includes(type)) return type;
  throw unsupported('vmdk', `its type is ${type}`);
}
