import {
  bigNumber,
  type DiskImage,
  damaged,
  ExtentList,
  type ImageLimit,
  readPart,
  readTables,
  type SeekableFile,
  unsupported,
} from './disk-image.ts';

// QEMU's docs/interop/qcow2.txt, versions 2 and 3, without backing files, encryption, external data and extended L2 entries.

const OFFSET_MASK = 0x00ff_ffff_ffff_fe00n;
const COMPRESSED = 1n << 62n;
const ZERO = 1n;
const SECTOR = 512;

interface Header {
  readonly version: 2 | 3;
  readonly clusterBytes: number;
  readonly virtualBytes: number;
  readonly l1Entries: number;
  readonly l1Offset: number;
  readonly coding: 'deflate' | 'zstd';
}

/** By its mark. */
export function isQcow2(start: Buffer): boolean {
  return start.toString('latin1', 0, 4) === 'QFI\xfb';
}

/** Versions 2 and 3. `start`: the first 64 KiB. Throws as `openDiskImage` does. */
export async function openQcow2(source: SeekableFile, start: Buffer, limit: ImageLimit): Promise<DiskImage> {
  const header = readHeader(start);
  const { clusterBytes, virtualBytes, l1Entries, l1Offset } = header;
  limit.requireFits(virtualBytes);
  const l2Entries = clusterBytes / 8;
  const needed = Math.ceil(virtualBytes / clusterBytes / l2Entries);
  if (l1Entries < needed) throw damaged('qcow2', `its first table has ${l1Entries} of ${needed} entries`);
  const l1 =
    needed === 0
      ? Buffer.alloc(0)
      : await readPart(source, 'qcow2', { what: 'first table', offset: l1Offset, bytes: needed * 8 });
  const places = Array.from({ length: needed }, (_, i) => bigNumber(l1.readBigUInt64BE(i * 8) & OFFSET_MASK));
  const bad = places.find((offset) => offset % clusterBytes !== 0);
  if (bad !== undefined) throw damaged('qcow2', `a second table at byte ${bad} is not aligned`);
  const second = new Map<number, Buffer>();
  const offsets = places.filter((offset) => offset !== 0);
  for await (const [offset, table] of readTables(source, 'qcow2', {
    what: 'second table',
    offsets,
    bytes: clusterBytes,
  })) {
    second.set(offset, table);
  }
  const list = new ExtentList('qcow2', virtualBytes, source.sizeBytes);
  for (const [index, offset] of places.entries()) {
    const table = second.get(offset);
    if (table !== undefined) addTable(list, table, index * l2Entries * clusterBytes, header);
  }
  return { format: 'qcow2', virtualBytes, granularity: clusterBytes, extents: list.extents };
}

function addTable(list: ExtentList, table: Buffer, diskStart: number, header: Header): void {
  const { clusterBytes, version, coding } = header;
  for (let i = 0; i < clusterBytes / 8; i++) {
    const entry = table.readBigUInt64BE(i * 8);
    const diskOffset = diskStart + i * clusterBytes;
    if (entry === 0n || diskOffset >= header.virtualBytes) continue;
    if ((entry & COMPRESSED) !== 0n) {
      list.add({ diskOffset, diskBytes: clusterBytes, ...compressedPlace(entry, clusterBytes), coding });
      continue;
    }
    const fileOffset = bigNumber(entry & OFFSET_MASK);
    if (fileOffset % clusterBytes !== 0) throw damaged('qcow2', `a cluster at byte ${fileOffset} is not aligned`);
    // A cluster of zeros may still have a place in the file; what lies there does not count.
    if (fileOffset === 0 || (version === 3 && (entry & ZERO) !== 0n)) continue;
    list.add({ diskOffset, diskBytes: clusterBytes, fileOffset, fileBytes: clusterBytes, coding: 'plain' });
  }
}

/** How many bits are the offset depends on the cluster's size; the rest counts sectors beyond the first. */
function compressedPlace(entry: bigint, clusterBytes: number): { fileOffset: number; fileBytes: number } {
  const bits = BigInt(62 - (Math.log2(clusterBytes) - 8));
  const fileOffset = bigNumber(entry & ((1n << bits) - 1n));
  const sectors = Number((entry & (COMPRESSED - 1n)) >> bits) + 1;
  return { fileOffset, fileBytes: sectors * SECTOR - (fileOffset % SECTOR) };
}

function readHeader(start: Buffer): Header {
  if (start.length < 112) throw damaged('qcow2', `the file has only ${start.length} bytes`);
  const version = start.readUInt32BE(4);
  if (version !== 2 && version !== 3) throw unsupported('qcow2', `its version is ${version}`);
  const clusterBits = start.readUInt32BE(20);
  if (clusterBits < 9 || clusterBits > 21) throw damaged('qcow2', `its clusters would have 2^${clusterBits} bytes`);
  if (start.readBigUInt64BE(8) !== 0n) throw unsupported('qcow2', 'it needs a backing file');
  if (start.readUInt32BE(32) !== 0) throw unsupported('qcow2', 'it is encrypted');
  const virtualBytes = bigNumber(start.readBigUInt64BE(24));
  if (virtualBytes % SECTOR !== 0) throw damaged('qcow2', `its disk would have ${virtualBytes} bytes`);
  return {
    version,
    clusterBytes: 2 ** clusterBits,
    virtualBytes,
    l1Entries: start.readUInt32BE(36),
    l1Offset: bigNumber(start.readBigUInt64BE(40)),
    coding: version === 3 ? readFeatures(start) : 'deflate',
  };
}

/** Incompatible features (bit): dirty (0) concerns counts that only writers need. */
function readFeatures(start: Buffer): 'deflate' | 'zstd' {
  const features = start.readBigUInt64BE(72);
  if ((features & 2n) !== 0n) throw damaged('qcow2', 'it is marked as corrupt');
  if ((features & 4n) !== 0n) throw unsupported('qcow2', 'its data lies in another file');
  if ((features & 16n) !== 0n) throw unsupported('qcow2', 'it has extended L2 entries');
  if (features > 31n) throw unsupported('qcow2', `it has unknown features (0x${features.toString(16)})`);
  if ((features & 8n) === 0n) return 'deflate';
  const type = start.readUInt32BE(100) > 104 ? start.readUInt8(104) : 0;
  if (type > 1) throw unsupported('qcow2', `its compression has the unknown type ${type}`);
  return type === 1 ? 'zstd' : 'deflate';
}
