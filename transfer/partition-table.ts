import { crc32 } from 'node:zlib';
import { TinsmithError } from '#proto/errors.ts';

// GPT: UEFI specification 2.10, chapter 5. MBR: its section 5.2.

/** What is on a disk, and where. */
export interface PartitionTable {
  readonly kind: 'gpt' | 'mbr';
  /** Block size that the table counts in. */
  readonly blockBytes: number;
  readonly partitions: readonly TablePartition[];
  /** Of a GPT: what its copy takes at the end of the disk. */
  readonly copyBytes?: number;
}

/** Both blocks belong to it. */
export interface TablePartition {
  readonly number: number;
  readonly firstBlock: number;
  readonly lastBlock: number;
}

/** What is needed of a GPT's header, whose checksums were right. */
export interface GptHeader {
  readonly headerBytes: number;
  readonly firstUsable: number;
  readonly entriesBlock: number;
  readonly entryCount: number;
  readonly entryBytes: number;
  readonly entriesCrc: number;
}

/** At the start of a GPT's header. */
export const GPT_SIGNATURE = 'EFI PART';
/** The least that an entry has, and what every program makes. */
export const GPT_ENTRY_BYTES = 128;

/**
 * The partition table in the first MiB of a disk; undefined when there is none, as on a bare file system. A GPT with a wrong
 * checksum is none: no system would take it. Throws `device_unfit` for a GPT that counts in other blocks than the disk.
 */
export function readPartitionTable(head: Buffer, blockBytes: number): PartitionTable | undefined {
  const gpt = readGptHeader(head, blockBytes);
  if (gpt !== undefined) {
    const copyBytes = (1 + entryBlocks(gpt, blockBytes)) * blockBytes;
    return { kind: 'gpt', blockBytes, partitions: readGptEntries(head, gpt, blockBytes), copyBytes };
  }
  const other = blockBytes === 512 ? 4096 : 512;
  if (readGptHeader(head, other) !== undefined) {
    throw new TinsmithError(
      'device_unfit',
      `the image's partition table is made for blocks of ${other} bytes and the disk has blocks of ${blockBytes}: use an image made for such disks`,
    );
  }
  const partitions = readMbrEntries(head);
  return partitions.length === 0 ? undefined : { kind: 'mbr', blockBytes, partitions };
}

/** Undefined: there is none with right checksums that counts in blocks of this size. */
export function readGptHeader(head: Buffer, blockBytes: number): GptHeader | undefined {
  const header = head.subarray(blockBytes, blockBytes * 2);
  if (header.length < blockBytes || header.toString('latin1', 0, 8) !== GPT_SIGNATURE) return undefined;
  if (!isSealed(header)) return undefined;
  const gpt = {
    headerBytes: header.readUInt32LE(12),
    firstUsable: readBlock(header, 40),
    entriesBlock: readBlock(header, 72),
    entryCount: header.readUInt32LE(80),
    entryBytes: header.readUInt32LE(84),
    entriesCrc: header.readUInt32LE(88),
  };
  const end = gpt.entriesBlock * blockBytes + gpt.entryCount * gpt.entryBytes;
  const isSane = gpt.entryBytes >= GPT_ENTRY_BYTES && gpt.entriesBlock >= 2 && end <= head.length;
  return isSane && crc32(entriesOf(head, gpt, blockBytes)) === gpt.entriesCrc ? gpt : undefined;
}

/** An image file that was cut before it was published: its own table says that partitions lie beyond its end. Throws `corrupt_image`. */
export function requireWhole(table: PartitionTable | undefined, imageBytes: number): void {
  if (imageBytes % 512 !== 0) {
    throw new TinsmithError('corrupt_image', `the image is cut short: it has ${imageBytes} bytes, no multiple of 512`);
  }
  for (const { number, lastBlock } of table?.partitions ?? []) {
    const end = (lastBlock + 1) * (table?.blockBytes ?? 0);
    if (end <= imageBytes) continue;
    const fact = `its partition ${number} ends at byte ${end} and it has only ${imageBytes}`;
    throw new TinsmithError('corrupt_image', `the image is cut short: ${fact}`);
  }
}

/** Of an image in whose head no table was found: throws `corrupt_image` when it had one. */
export function requireNoDamagedGpt(head: Buffer): void {
  if (!hasDamagedGpt(head)) return;
  throw new TinsmithError('corrupt_image', 'the image is damaged: the checksums of its partition table are wrong');
}

/**
 * Whether the head of an image, in which no table was found, has a GPT that some bit of is wrong: every kernel would pass it
 * over. One whose entries lie beyond the head is not looked at.
 */
function hasDamagedGpt(head: Buffer): boolean {
  return [512, 4096].some((blockBytes) => {
    if (head.length < blockBytes * 2 || head.toString('latin1', blockBytes, blockBytes + 8) !== GPT_SIGNATURE)
      return false;
    const entriesAt = readBlock(head, blockBytes + 72) * blockBytes;
    const isElsewhere = entriesAt >= head.length && isSealed(head.subarray(blockBytes, blockBytes * 2));
    return !isElsewhere;
  });
}

/** The entries that are in use. */
export function readGptEntries(head: Buffer, gpt: GptHeader, blockBytes: number): TablePartition[] {
  const entries = entriesOf(head, gpt, blockBytes);
  const partitions: TablePartition[] = [];
  for (let i = 0; i < gpt.entryCount; i++) {
    const entry = entries.subarray(i * gpt.entryBytes, (i + 1) * gpt.entryBytes);
    if (entry.subarray(0, 16).every((byte) => byte === 0)) continue;
    partitions.push({ number: i + 1, firstBlock: readBlock(entry, 32), lastBlock: readBlock(entry, 40) });
  }
  return partitions;
}

/** Primary partitions; an extended one counts as one. A protective entry (0xee) belongs to a GPT and does not count. */
export function readMbrEntries(head: Buffer): TablePartition[] {
  if (head.length < 512 || head.readUInt16LE(510) !== 0xaa55) return [];
  const partitions: TablePartition[] = [];
  for (let i = 0; i < 4; i++) {
    const at = 446 + i * 16;
    const [status, type] = [head.readUInt8(at), head.readUInt8(at + 4)];
    const [firstBlock, blocks] = [head.readUInt32LE(at + 8), head.readUInt32LE(at + 12)];
    // The boot sector of a FAT file system ends like an MBR, with text where the entries would be.
    if ((status !== 0 && status !== 0x80) || (type !== 0 && blocks === 0)) return [];
    if (type === 0xee) return [];
    if (type !== 0) partitions.push({ number: i + 1, firstBlock, lastBlock: firstBlock + blocks - 1 });
  }
  return partitions;
}

/** Its table of partitions, within `head`. */
export function entriesOf(head: Buffer, gpt: GptHeader, blockBytes: number): Buffer {
  const start = gpt.entriesBlock * blockBytes;
  return head.subarray(start, start + gpt.entryCount * gpt.entryBytes);
}

/** Blocks that the table of partitions takes. */
export function entryBlocks({ entryCount, entryBytes }: GptHeader, blockBytes: number): number {
  return Math.ceil((entryCount * entryBytes) / blockBytes);
}

function isSealed(header: Buffer): boolean {
  const headerBytes = header.readUInt32LE(12);
  return (
    headerBytes >= 92 && headerBytes <= header.length && headerCrc(header, headerBytes) === header.readUInt32LE(16)
  );
}

/** A GPT header's sum: over it with its own field as zero. */
export function headerCrc(header: Buffer, headerBytes: number): number {
  const copy = Buffer.from(header.subarray(0, headerBytes));
  copy.writeUInt32LE(0, 16);
  return crc32(copy);
}

function readBlock(buffer: Buffer, at: number): number {
  return Number(buffer.readBigUInt64LE(at));
}
