import {
  bigNumber,
  type DiskImage,
  damaged,
  ExtentList,
  type ImageLimit,
  readPart,
  type SeekableFile,
  unsupported,
} from './disk-image.ts';

// [MS-VHDX] 2.0: Virtual Hard Disk v2, dynamic and fixed. A log that has to be replayed first is refused.

const KIB = 1024;
const MIB = 1024 * KIB;
const BAT = '2dc27766-f623-4200-9d64-115e9bfd4a08';
const METADATA = '8b7ca206-4790-4b9a-b8fe-575f050f886e';
const FILE_PARAMETERS = 'caa16737-fa36-4d43-b3b6-33f0aa44e76b';
const DISK_SIZE = '2fa54224-cd1b-4876-b211-5dbed83bf4b8';
const SECTOR_SIZE = '8141bf1d-a96f-4709-ba47-f233a8faab5f';
const KNOWN_ITEMS = [
  FILE_PARAMETERS,
  DISK_SIZE,
  SECTOR_SIZE,
  'beca12ab-b2e6-4523-93ef-c309e000c746',
  'cda348c7-445d-4471-9cc9-e9885251c556',
];

interface Region {
  readonly offset: number;
  readonly bytes: number;
}

/** By its mark. */
export function isVhdx(start: Buffer): boolean {
  return start.toString('latin1', 0, 8) === 'vhdxfile';
}

/** Growing or fixed, with nothing left in its log. Throws as `openDiskImage` does. */
export async function openVhdx(source: SeekableFile, limit: ImageLimit): Promise<DiskImage> {
  await refuseDirty(source);
  const regions = await readRegions(source);
  const { blockBytes, virtualBytes, sectorBytes } = await readParameters(source, regionOf(regions, METADATA));
  limit.requireFits(virtualBytes);
  const blocks = Math.ceil(virtualBytes / blockBytes);
  /** After so many blocks comes one entry for their bitmap, which only images with a parent use. */
  const ratio = (2 ** 23 * sectorBytes) / blockBytes;
  const entries = blocks + Math.floor(Math.max(0, blocks - 1) / ratio);
  const bat = regionOf(regions, BAT);
  if (entries * 8 > bat.bytes) throw damaged('vhdx', `its block table has ${bat.bytes} bytes for ${entries} entries`);
  const list = new ExtentList('vhdx', virtualBytes, source.sizeBytes);
  if (blocks > 0) {
    const table = await readPart(source, 'vhdx', { what: 'block table', offset: bat.offset, bytes: entries * 8 });
    for (let block = 0; block < blocks; block++) {
      const fileOffset = placeOf(table.readBigUInt64LE((block + Math.floor(block / ratio)) * 8));
      if (fileOffset === undefined) continue;
      const diskOffset = block * blockBytes;
      list.add({ diskOffset, diskBytes: blockBytes, fileOffset, fileBytes: blockBytes, coding: 'plain' });
    }
  }
  return { format: 'vhdx', virtualBytes, granularity: MIB, extents: list.extents };
}

/** Undefined: the block reads as zeros. */
function placeOf(entry: bigint): number | undefined {
  const state = Number(entry & 7n);
  if (state === 6) return bigNumber(entry >> 20n) * MIB;
  if (state === 7) throw unsupported('vhdx', 'it needs a parent image');
  if (state > 3) throw damaged('vhdx', `a block has the unknown state ${state}`);
  return undefined;
}

/** Of the two headers the valid one with the higher number counts. A log that is named in it was not replayed. */
async function refuseDirty(source: SeekableFile): Promise<void> {
  const headers: Buffer[] = [];
  for (const offset of [64 * KIB, 128 * KIB]) {
    const header = await readPart(source, 'vhdx', { what: 'header', offset, bytes: 4 * KIB });
    if (header.toString('latin1', 0, 4) === 'head' && isSealed(header)) headers.push(header);
  }
  const [current] = headers.toSorted((a, b) => (a.readBigUInt64LE(8) < b.readBigUInt64LE(8) ? 1 : -1));
  if (current === undefined) throw damaged('vhdx', 'neither of its headers has the right checksum');
  if (current.readUInt16LE(66) !== 1) throw unsupported('vhdx', `its version is ${current.readUInt16LE(66)}`);
  if (current.subarray(48, 64).some((byte) => byte !== 0)) {
    throw unsupported('vhdx', 'it was not closed properly and has a log to replay');
  }
}

async function readRegions(source: SeekableFile): Promise<ReadonlyMap<string, Region>> {
  for (const offset of [192 * KIB, 256 * KIB]) {
    const table = await readPart(source, 'vhdx', { what: 'region table', offset, bytes: 64 * KIB });
    if (table.toString('latin1', 0, 4) !== 'regi' || !isSealed(table)) continue;
    const count = Math.min(table.readUInt32LE(8), 2047);
    const regions = new Map<string, Region>();
    for (let at = 16; at < 16 + count * 32; at += 32) {
      const guid = guidAt(table, at);
      const region = { offset: bigNumber(table.readBigUInt64LE(at + 16)), bytes: table.readUInt32LE(at + 24) };
      if (![BAT, METADATA].includes(guid) && table.readUInt32LE(at + 28) !== 0) {
        throw unsupported('vhdx', `it has the unknown region ${guid}`);
      }
      regions.set(guid, region);
    }
    return regions;
  }
  throw damaged('vhdx', 'neither of its region tables has the right checksum');
}

function regionOf(regions: ReadonlyMap<string, Region>, guid: string): Region {
  const region = regions.get(guid);
  if (region === undefined) throw damaged('vhdx', `it has no region ${guid}`);
  return region;
}

async function readParameters(
  source: SeekableFile,
  region: Region,
): Promise<{ blockBytes: number; virtualBytes: number; sectorBytes: number }> {
  const table = await readPart(source, 'vhdx', { what: 'metadata', offset: region.offset, bytes: 64 * KIB });
  if (table.toString('latin1', 0, 8) !== 'metadata') throw damaged('vhdx', 'its metadata is missing');
  const items = new Map<string, number>();
  const count = Math.min(table.readUInt16LE(10), 2047);
  for (let at = 32; at < 32 + count * 32; at += 32) {
    const guid = guidAt(table, at);
    if (!KNOWN_ITEMS.includes(guid) && (table.readUInt32LE(at + 24) & 4) !== 0) {
      throw unsupported('vhdx', `it has the unknown property ${guid}`);
    }
    items.set(guid, region.offset + table.readUInt32LE(at + 16));
  }
  const item = async (guid: string, bytes: number): Promise<Buffer> =>
    readPart(source, 'vhdx', { what: 'metadata', offset: items.get(guid) ?? -1, bytes });
  const parameters = await item(FILE_PARAMETERS, 8);
  const blockBytes = parameters.readUInt32LE(0);
  const virtualBytes = bigNumber((await item(DISK_SIZE, 8)).readBigUInt64LE(0));
  const sectorBytes = (await item(SECTOR_SIZE, 4)).readUInt32LE(0);
  if ((parameters.readUInt32LE(4) & 2) !== 0) throw unsupported('vhdx', 'it needs a parent image');
  const isBlockSize = blockBytes >= MIB && blockBytes <= 256 * MIB && Number.isInteger(Math.log2(blockBytes));
  if (!isBlockSize || ![512, 4096].includes(sectorBytes) || virtualBytes % sectorBytes !== 0) {
    throw damaged('vhdx', `it has ${virtualBytes} bytes in blocks of ${blockBytes} and sectors of ${sectorBytes}`);
  }
  return { blockBytes, virtualBytes, sectorBytes };
}

/** The first three groups are little endian. */
function guidAt(buffer: Buffer, at: number): string {
  const bytes = Buffer.from(buffer.subarray(at, at + 16));
  bytes.subarray(0, 4).reverse();
  bytes.subarray(4, 6).reverse();
  bytes.subarray(6, 8).reverse();
  return bytes.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}

/** CRC-32C over all with its own field, behind the signature, as zero. */
function isSealed(part: Buffer): boolean {
  const copy = Buffer.from(part);
  copy.writeUInt32LE(0, 4);
  return crc32c(copy) === part.readUInt32LE(4);
}

/** Castagnoli's polynomial, reflected; Node's crc32 is the other one. */
function crc32c(bytes: Buffer): number {
  let crc = 0xffff_ffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc & 1) === 0 ? crc >>> 1 : (crc >>> 1) ^ 0x82f6_3b78;
  }
  return (crc ^ 0xffff_ffff) >>> 0;
}
