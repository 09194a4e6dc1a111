import { randomBytes } from 'node:crypto';
import { crc32 } from 'node:zlib';
import {
  entriesOf,
  entryBlocks,
  GPT_ENTRY_BYTES,
  GPT_SIGNATURE,
  headerCrc,
  type PartitionTable,
  readGptEntries,
  readGptHeader,
  readMbrEntries,
} from '#transfer/partition-table.ts';

/** Types of GPT partitions that boot code looks for. */
export const GPT_TYPE = {
  efi: 'c12a7328-f81f-11d2-ba4b-00a0c93ec93b',
  biosBoot: '21686148-6449-6e6f-744e-656564454649',
} as const;

/** What every program makes; others are read as well. */
const GPT_ENTRIES = 128;
/** Attribute of a GPT entry, in the first byte of eight. */
const LEGACY_BOOTABLE = 0b100;

/**
 * Number → UUID of each partition, as the kernel takes it for `root=PARTUUID=`: in an MBR the disk's signature and the
 * number. Empty without a table, and for a GPT that counts in other blocks than the disk.
 */
export function partitionUuids(head: Buffer, blockBytes: number): ReadonlyMap<number, string> {
  const gpt = readGptHeader(head, blockBytes);
  if (gpt !== undefined) {
    const entries = entriesOf(head, gpt, blockBytes);
    const uuidOf = (number: number): string => guidText(entries.subarray((number - 1) * gpt.entryBytes + 16));
    return new Map(readGptEntries(head, gpt, blockBytes).map(({ number }) => [number, uuidOf(number)]));
  }
  const partitions = readMbrEntries(head);
  if (partitions.length === 0) return new Map();
  const signature = hex(head.readUInt32LE(440), 8);
  return new Map(partitions.map(({ number }) => [number, `${signature}-${hex(number, 2)}`]));
}

/** Type of a partition of the table in `head`: a UUID, or the byte of an MBR in hex. */
export function partitionType(head: Buffer, { kind, blockBytes }: PartitionTable, number: number): string {
  const gpt = kind === 'gpt' ? readGptHeader(head, blockBytes) : undefined;
  if (gpt === undefined) return hex(head.readUInt8(446 + (number - 1) * 16 + 4), 2);
  return guidText(entriesOf(head, gpt, blockBytes).subarray((number - 1) * gpt.entryBytes));
}

/**
 * Marks a partition as the one that BIOS boot code starts, and no other; undefined: none at all. A GPT's copy at the end of the disk
 * follows with `stretchGpt`.
 */
export function markBootable(head: Buffer, table: PartitionTable, number: number | undefined): void {
  if (table.kind === 'mbr') {
    for (let index = 0; index < 4; index++) head.writeUInt8(index + 1 === number ? 0x80 : 0, 446 + index * 16);
    return;
  }
  const { blockBytes } = table;
  const gpt = readGptHeader(head, blockBytes);
  if (gpt === undefined) return;
  const entries = entriesOf(head, gpt, blockBytes);
  for (const partition of table.partitions) {
    const at = (partition.number - 1) * gpt.entryBytes + 48;
    const others = entries.readUInt8(at) & ~LEGACY_BOOTABLE;
    entries.writeUInt8(partition.number === number ? others | LEGACY_BOOTABLE : others, at);
  }
  const header = head.subarray(blockBytes, blockBytes * 2);
  header.writeUInt32LE(crc32(entries), 88);
  sealHeader(header, gpt.headerBytes);
}

function hex(number: number, digits: number): string {
  return number.toString(16).padStart(digits, '0');
}

/**
 * Makes a GPT span the whole disk: the copy at the end moves to the disk's last blocks. `head` (first MiB) and `tail` (last
 * MiB of the disk) are changed in place; nothing happens without a valid GPT. Returns whether there was one.
 */
export function stretchGpt(head: Buffer, tail: Buffer, disk: { sizeBytes: number; blockBytes: number }): boolean {
  const { blockBytes } = disk;
  const gpt = readGptHeader(head, blockBytes);
  if (gpt === undefined) return false;
  const lastBlock = disk.sizeBytes / blockBytes - 1;
  const copyBlock = lastBlock - entryBlocks(gpt, blockBytes);
  const header = head.subarray(blockBytes, blockBytes * 2);
  writeBlock(header, 24, 1);
  writeBlock(header, 32, lastBlock);
  writeBlock(header, 48, copyBlock - 1);
  sealHeader(header, gpt.headerBytes);

  const tailStart = disk.sizeBytes - tail.length;
  const entries = entriesOf(head, gpt, blockBytes);
  entries.copy(tail, copyBlock * blockBytes - tailStart);
  const copy = tail.subarray(tail.length - blockBytes);
  header.copy(copy);
  writeBlock(copy, 24, lastBlock);
  writeBlock(copy, 32, 1);
  writeBlock(copy, 72, copyBlock);
  sealHeader(copy, gpt.headerBytes);
  stretchProtectiveEntry(head, lastBlock);
  return true;
}

/** Bytes at the disk's end that a GPT of the usual size, as `writeGpt` makes it, needs for itself. */
export function gptTailBytes(blockBytes: number): number {
  return blockBytes + GPT_ENTRIES * GPT_ENTRY_BYTES;
}

/** For a GPT. */
export interface NewPartition {
  /** UUIDs. */
  readonly type: string;
  readonly guid: string;
  readonly name: string;
  readonly firstBlock: number;
  readonly lastBlock: number;
}

/** A fresh GPT into the first MiB; `stretchGpt` makes its copy. Throws nothing: the caller has checked the places. */
export function writeGpt(
  head: Buffer,
  partitions: readonly NewPartition[],
  disk: { guid: string; blockBytes: number },
): void {
  const { blockBytes } = disk;
  const firstUsable = 2 + Math.ceil((GPT_ENTRIES * GPT_ENTRY_BYTES) / blockBytes);
  head.fill(0, 0, firstUsable * blockBytes);
  head.set([0x00, 0x00, 0x02, 0x00, 0xee, 0xff, 0xff, 0xff, 0x01, 0x00, 0x00, 0x00, 0xff, 0xff, 0xff, 0xff], 446);
  head.writeUInt16LE(0xaa55, 510);
  const entries = head.subarray(2 * blockBytes, 2 * blockBytes + GPT_ENTRIES * GPT_ENTRY_BYTES);
  for (const [i, partition] of partitions.entries()) {
    const entry = entries.subarray(i * GPT_ENTRY_BYTES, (i + 1) * GPT_ENTRY_BYTES);
    guidBytes(partition.type).copy(entry, 0);
    guidBytes(partition.guid).copy(entry, 16);
    writeBlock(entry, 32, partition.firstBlock);
    writeBlock(entry, 40, partition.lastBlock);
    entry.write(partition.name.slice(0, 36), 56, 'utf16le');
  }
  const header = head.subarray(blockBytes, blockBytes * 2);
  header.write(GPT_SIGNATURE, 0, 'latin1');
  header.writeUInt32LE(0x0001_0000, 8);
  header.writeUInt32LE(92, 12);
  writeBlock(header, 40, firstUsable);
  guidBytes(disk.guid).copy(header, 56);
  writeBlock(header, 72, 2);
  header.writeUInt32LE(GPT_ENTRIES, 80);
  header.writeUInt32LE(GPT_ENTRY_BYTES, 84);
  header.writeUInt32LE(crc32(entries), 88);
  sealHeader(header, 92);
}

/** For an MBR; `type` is its byte there. */
export interface NewMbrPartition {
  readonly type: number;
  readonly isActive: boolean;
  readonly firstBlock: number;
  readonly lastBlock: number;
}

/** A fresh MBR table with up to four primary partitions, without boot code. */
export function writeMbr(head: Buffer, partitions: readonly NewMbrPartition[]): void {
  head.fill(0, 0, 512);
  // The disk's signature: systems name MBR partitions by it.
  randomBytes(4).copy(head, 440);
  for (const [i, partition] of partitions.entries()) {
    const at = 446 + i * 16;
    head.writeUInt8(partition.isActive ? 0x80 : 0, at);
    // Cylinders, heads, sectors: beyond their reach, as everywhere today.
    head.set([0xfe, 0xff, 0xff], at + 1);
    head.writeUInt8(partition.type, at + 4);
    head.set([0xfe, 0xff, 0xff], at + 5);
    head.writeUInt32LE(partition.firstBlock, at + 8);
    head.writeUInt32LE(partition.lastBlock - partition.firstBlock + 1, at + 12);
  }
  head.writeUInt16LE(0xaa55, 510);
}

/** The size field of the protective entry ends at 2^32-1 blocks. */
function stretchProtectiveEntry(head: Buffer, lastBlock: number): void {
  for (let at = 446; at < 510; at += 16) {
    if (head.readUInt8(at + 4) === 0xee && head.readUInt32LE(at + 8) === 1) {
      head.writeUInt32LE(Math.min(lastBlock, 0xffff_ffff), at + 12);
    }
  }
}

function sealHeader(header: Buffer, headerBytes: number): void {
  header.writeUInt32LE(headerCrc(header, headerBytes), 16);
}

/** Mixed-endian as in UEFI's appendix A: the first three groups are little endian. */
function guidBytes(guid: string): Buffer {
  const plain = Buffer.from(guid.replaceAll('-', ''), 'hex');
  plain.subarray(0, 4).reverse();
  plain.subarray(4, 6).reverse();
  plain.subarray(6, 8).reverse();
  return plain;
}

function guidText(bytes: Buffer): string {
  const first = `${hex(bytes.readUInt32LE(0), 8)}-${hex(bytes.readUInt16LE(4), 4)}-${hex(bytes.readUInt16LE(6), 4)}`;
  return `${first}-${bytes.toString('hex', 8, 10)}-${bytes.toString('hex', 10, 16)}`;
}

function writeBlock(buffer: Buffer, at: number, block: number): void {
  buffer.writeBigUInt64LE(BigInt(block), at);
}
