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

// Virtual Hard Disk Image Format Specification 1.0 (Microsoft): fixed and dynamic.

const SECTOR = 512;
const UNUSED = 0xffff_ffff;

/** Programs that round the disk to whole cylinders and mean that size; of others the size as written counts, as in QEMU. */
const COUNTS_CYLINDERS = ['vpc ', 'vs  ', 'qemu'];

/** By its mark. */
export function isVhdFooter(footer: Buffer): boolean {
  return footer.toString('latin1', 0, 8) === 'conectix';
}

/** `footer`: the last 512 bytes of the file. */
export async function openVhd(source: SeekableFile, footer: Buffer, limit: ImageLimit): Promise<DiskImage> {
  if (!hasChecksum(footer, 64)) throw damaged('vhd', 'the checksum of its footer is wrong');
  const type = footer.readUInt32BE(60);
  const virtualBytes = sizeOf(footer);
  limit.requireFits(virtualBytes);
  const list = new ExtentList('vhd', virtualBytes, source.sizeBytes);
  if (type === 2) {
    if (virtualBytes > source.sizeBytes - SECTOR) throw damaged('vhd', `the file has ${source.sizeBytes} bytes`);
    // Byte 0 of the file is data here, and nowhere else.
    const extent = { diskOffset: 0, diskBytes: virtualBytes, fileOffset: 0, fileBytes: virtualBytes };
    return { format: 'vhd', virtualBytes, granularity: 1 << 20, extents: [{ ...extent, coding: 'plain' }] };
  }
  if (type !== 3) throw unsupported('vhd', type === 4 ? 'it needs a parent image' : `its type is ${type}`);
  const blockBytes = await addBlocks(list, source, bigNumber(footer.readBigUInt64BE(16)), virtualBytes);
  return { format: 'vhd', virtualBytes, granularity: blockBytes, extents: list.extents };
}

async function addBlocks(
  list: ExtentList,
  source: SeekableFile,
  headerOffset: number,
  virtualBytes: number,
): Promise<number> {
  const header = await readPart(source, 'vhd', { what: 'header', offset: headerOffset, bytes: 1024 });
  if (header.toString('latin1', 0, 8) !== 'cxsparse' || !hasChecksum(header, 36)) {
    throw damaged('vhd', 'its header is missing or has the wrong checksum');
  }
  const blockBytes = header.readUInt32BE(32);
  const isBlockSize = Number.isInteger(Math.log2(blockBytes)) && blockBytes >= 4096 && blockBytes <= 1 << 28;
  if (!isBlockSize) throw damaged('vhd', `its blocks would have ${blockBytes} bytes`);
  const blocks = Math.ceil(virtualBytes / blockBytes);
  if (header.readUInt32BE(28) < blocks)
    throw damaged('vhd', `its table has ${header.readUInt32BE(28)} of ${blocks} blocks`);
  if (blocks === 0) return blockBytes;
  const tableOffset = bigNumber(header.readBigUInt64BE(16));
  const table = await readPart(source, 'vhd', { what: 'block table', offset: tableOffset, bytes: blocks * 4 });
  // Before a block's data lies a bit for each of its sectors; it matters only to images with a parent.
  const bitmapBytes = Math.ceil(blockBytes / SECTOR / 8 / SECTOR) * SECTOR;
  for (let block = 0; block < blocks; block++) {
    const sector = table.readUInt32BE(block * 4);
    if (sector === UNUSED) continue;
    const fileOffset = sector * SECTOR + bitmapBytes;
    const diskOffset = block * blockBytes;
    list.add({ diskOffset, diskBytes: blockBytes, fileOffset, fileBytes: blockBytes, coding: 'plain' });
  }
  return blockBytes;
}

function sizeOf(footer: Buffer): number {
  const written = bigNumber(footer.readBigUInt64BE(48));
  const cylinders = footer.readUInt16BE(56) * footer.readUInt8(58) * footer.readUInt8(59) * SECTOR;
  // Beyond the largest geometry there are no cylinders to count.
  const isCounted =
    COUNTS_CYLINDERS.includes(footer.toString('latin1', 28, 32)) && cylinders < 65_535 * 16 * 255 * SECTOR;
  const size = isCounted ? cylinders : written;
  if (size % SECTOR !== 0) throw damaged('vhd', `its disk would have ${size} bytes`);
  return size;
}

/** One's complement of the sum of all bytes but its own four. */
function hasChecksum(part: Buffer, at: number): boolean {
  let sum = 0;
  for (const [i, byte] of part.entries()) if (i < at || i >= at + 4) sum += byte;
  return ~sum >>> 0 === part.readUInt32BE(at);
}
