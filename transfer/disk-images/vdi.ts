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

// VirtualBox Disk Image 1.1, dynamic and static (VirtualBox, VDICore.h; QEMU, block/vdi.c).

const LEAST_SPECIAL = 0xffff_fffe;

/** By its mark. */
export function isVdi(start: Buffer): boolean {
  return start.length >= 0x1c8 && start.readUInt32LE(0x40) === 0xbeda_107f;
}

/** Version 1.1, growing or fixed. `start`: the first 64 KiB. Throws as `openDiskImage` does. */
export async function openVdi(source: SeekableFile, start: Buffer, limit: ImageLimit): Promise<DiskImage> {
  const version = start.readUInt32LE(0x44);
  if (version !== 0x0001_0001) throw unsupported('vdi', `its version is ${version >>> 16}.${version & 0xffff}`);
  const type = start.readUInt32LE(0x4c);
  const hasParent = start.subarray(0x1a8, 0x1c8).some((byte) => byte !== 0);
  if ((type !== 1 && type !== 2) || hasParent) throw unsupported('vdi', 'it needs a parent image');
  const virtualBytes = bigNumber(start.readBigUInt64LE(0x170));
  const blockBytes = start.readUInt32LE(0x178);
  const extraBytes = start.readUInt32LE(0x17c);
  if (!isBlockSize(blockBytes) || virtualBytes % 512 !== 0)
    throw damaged('vdi', `it has ${virtualBytes} bytes in blocks of ${blockBytes}`);
  limit.requireFits(virtualBytes);
  const blocks = Math.ceil(virtualBytes / blockBytes);
  if (start.readUInt32LE(0x180) < blocks)
    throw damaged('vdi', `its table has ${start.readUInt32LE(0x180)} of ${blocks} blocks`);
  const list = new ExtentList('vdi', virtualBytes, source.sizeBytes);
  const table =
    blocks === 0
      ? Buffer.alloc(0)
      : await readPart(source, 'vdi', { what: 'block table', offset: start.readUInt32LE(0x154), bytes: blocks * 4 });
  for (let block = 0; block < blocks; block++) {
    const index = table.readUInt32LE(block * 4);
    if (index >= LEAST_SPECIAL) continue;
    const fileOffset = start.readUInt32LE(0x158) + index * (blockBytes + extraBytes) + extraBytes;
    const diskOffset = block * blockBytes;
    list.add({ diskOffset, diskBytes: blockBytes, fileOffset, fileBytes: blockBytes, coding: 'plain' });
  }
  return { format: 'vdi', virtualBytes, granularity: blockBytes, extents: list.extents };
}

function isBlockSize(bytes: number): boolean {
  return Number.isInteger(Math.log2(bytes)) && bytes >= 4096 && bytes <= 1 << 28;
}
