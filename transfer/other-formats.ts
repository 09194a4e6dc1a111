import { crc32 } from 'node:zlib';

/**
 * Whether an image begins as a file system or container that agents neither mount nor make: those are in file-system-probe.ts. Places and
 * checks are those of util-linux's libblkid. A mark is none that a text could hold by chance; a format with a short one has to make
 * sense besides.
 */
export function isOtherFormat(head: Buffer): boolean {
  return hasMark(head) || isUfs(head) || isZfs(head) || isMinix(head) || isNilfs2(head);
}

function hasMark(head: Buffer): boolean {
  return MARKS.some(([, at, mark]) => head.toString('latin1', at, at + mark.length) === mark);
}

/** Name, offset, bytes. */
const MARKS: readonly (readonly [string, number, string])[] = [
  // A GPT without the MBR that protects it, for either size of blocks.
  ['GPT', 512, 'EFI PART'],
  ['GPT', 4096, 'EFI PART'],
  ['Apple partition map', 0, 'ER\x02\x00'],
  ['BSD label', 512, '\x57\x45\x56\x82'],
  ['f2fs', 1024, '\x10\x20\xf5\xf2'],
  ['erofs', 1024, '\xe2\xe1\xf5\xe0'],
  ['bcache and bcachefs', 4096 + 24, '\xc6\x85\x73\xf6'],
  ['UDF', 32_768 + 1, 'BEA01'],
  ['cramfs', 0, '\x45\x3d\xcd\x28'],
  ['romfs', 0, '-rom1fs-'],
  ['HFS+', 1024, 'H+\x00\x04'],
  ['APFS', 32, 'NXSB'],
  ['JFS', 32_768, 'JFS1'],
  ['reiserfs', 65_536 + 52, 'ReIsEr'],
];

/** Where the superblock may lie; the mark is at its end. */
const UFS_AT = [0, 8 << 10, 64 << 10, 256 << 10];
const UFS_MARKS = [0x1954_0119, 0x0001_1954, 0x0019_5612, 0x0009_5014, 0x0061_2195, 0x0523_1994];

/** UFS1 and UFS2, of either byte order. */
function isUfs(head: Buffer): boolean {
  return UFS_AT.map((at) => at + 1372).some(
    (at) =>
      head.length >= at + 4 && (UFS_MARKS.includes(head.readUInt32LE(at)) || UFS_MARKS.includes(head.readUInt32BE(at))),
  );
}

const ZFS_LABEL_BYTES = 256 << 10;
const ZFS_UBERBLOCK = 0x00ba_b10cn;

/** A pool's vdev: an uberblock of the two labels at its start, of either byte order. Nothing else has these eight bytes there. */
function isZfs(head: Buffer): boolean {
  for (const label of [0, ZFS_LABEL_BYTES]) {
    const end = Math.min(label + ZFS_LABEL_BYTES, head.length - 7);
    for (let at = label + ZFS_LABEL_BYTES / 2; at < end; at += 1024) {
      if (head.readBigUInt64LE(at) === ZFS_UBERBLOCK || head.readBigUInt64BE(at) === ZFS_UBERBLOCK) return true;
    }
  }
  return false;
}

/** Versions 1 and 2, with names of 14 and of 30 bytes. */
const MINIX_MARKS: readonly (readonly [mark: number, version: 1 | 2])[] = [
  [0x137f, 1],
  [0x138f, 1],
  [0x2468, 2],
  [0x2478, 2],
];
const MINIX_3_MARK = 0x4d5a;

/** Of either byte order. Its mark is two letters in some versions: the maps have to be as long as what they are of. */
function isMinix(head: Buffer): boolean {
  if (head.length < 2048) return false;
  const block = head.subarray(1024, 1024 + 32);
  const swapped = Buffer.from(block);
  // Fields of four bytes come out with their halves exchanged.
  swapped.swap16();
  return [minixMaps(block, (at) => block.readUInt32LE(at)), minixMaps(swapped, (at) => block.readUInt32BE(at))].some(
    (maps) => maps !== undefined && areMinixMaps(maps),
  );
}

interface MinixMaps {
  readonly inodes: number;
  readonly zones: number;
  readonly firstZone: number;
  readonly inodeMapBlocks: number;
  readonly zoneMapBlocks: number;
  /** Always 0: zones are blocks. */
  readonly logZone: number;
  readonly blockBytes: number;
}

function minixMaps(block: Buffer, wide: (at: number) => number): MinixMaps | undefined {
  const half = (at: number): number => block.readUInt16LE(at);
  const version = MINIX_MARKS.find(([mark]) => mark === half(16))?.[1];
  if (version !== undefined) {
    return {
      inodes: half(0),
      zones: version === 1 ? half(2) : wide(20),
      firstZone: half(8),
      inodeMapBlocks: half(4),
      zoneMapBlocks: half(6),
      logZone: half(10),
      blockBytes: 1024,
    };
  }
  if (half(24) !== MINIX_3_MARK) return undefined;
  return {
    inodes: wide(0),
    zones: wide(20),
    firstZone: half(10),
    inodeMapBlocks: half(6),
    zoneMapBlocks: half(8),
    logZone: half(12),
    blockBytes: half(28),
  };
}

function areMinixMaps(maps: MinixMaps): boolean {
  const { inodes, zones, firstZone, logZone, blockBytes } = maps;
  if (logZone !== 0 || inodes === 0 || firstZone > zones) return false;
  const bits = blockBytes * 8;
  return maps.inodeMapBlocks * bits > inodes && maps.zoneMapBlocks * bits > zones - firstZone;
}

const NILFS2_MARK = 0x3434;
const NILFS2_SUM_AT = 16;

/** Its mark is two digits, so the checksum of its superblock has to be right, too. */
function isNilfs2(head: Buffer): boolean {
  if (head.length < 2048 || head.readUInt16LE(1024 + 6) !== NILFS2_MARK) return false;
  const bytes = head.readUInt16LE(1024 + 8);
  if (bytes < NILFS2_SUM_AT + 4 || bytes > 1024) return false;
  const block = Buffer.from(head.subarray(1024, 1024 + bytes));
  const seed = block.readUInt32LE(12);
  const sum = block.readUInt32LE(NILFS2_SUM_AT);
  block.writeUInt32LE(0, NILFS2_SUM_AT);
  // Without the inversions that zlib's has before and after.
  return ~crc32(block, ~seed >>> 0) >>> 0 === sum;
}
