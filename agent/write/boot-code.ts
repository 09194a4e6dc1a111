import { crc32 } from 'node:zlib';
import { TinsmithError } from '#proto/errors.ts';
import type { Disk } from '../machine/machine.ts';
import { alignedBuffer } from './aligned-buffers.ts';
import { END_BYTES } from './disk-writer.ts';
import { type PartitionTable, readPartitionTable, stretchGpt } from './partition-table.ts';

/** The part of the first block that is code; then come the disk's signature and the table. */
const CODE_BYTES = 440;
const TYPES = {
  /** C12A7328-F81F-11D2-BA4B-00A0C93EC93B as it lies on the disk. */
  efi: '28732ac11ff8d211ba4b00a0c93ec93b',
  /** 21686148-6449-6E6F-744E-656564454649. */
  biosBoot: Buffer.from('Hah!IdontNeedEFI').toString('hex'),
};
const LEGACY_BOOTABLE = 0b100;

/** Where a disk can be started from. */
export interface BootPlaces {
  readonly table: PartitionTable['kind'];
  /** Number of the EFI system partition. */
  readonly efi?: number;
  /** Whether GRUB has a place for what does not fit into the first block: before the first partition, or one of its own. */
  readonly hasRoomForBios: boolean;
}

/** Throws `device_unfit` when the disk has no partition table. */
export async function readBootPlaces(disk: Disk): Promise<BootPlaces> {
  const { head, table } = await readHead(disk);
  const types = table.partitions.map(({ number }) => ({ number, type: typeOf(head, table, number) }));
  const efi = types.find(({ type }) => type === TYPES.efi || type === 'ef');
  return {
    table: table.kind,
    ...(efi === undefined ? {} : { efi: efi.number }),
    hasRoomForBios: table.kind === 'mbr' || types.some(({ type }) => type === TYPES.biosBoot),
  };
}

/** Throws what `writeBootCode` would throw, before anything is done. */
export async function requireBootPlace(disk: Disk, number: number): Promise<void> {
  requireStartable(disk, (await readHead(disk)).table, number);
}

function requireStartable(disk: Disk, table: PartitionTable, number: number): void {
  const refuse = (code: 'device_unfit' | 'unsupported', fact: string): never => {
    throw new TinsmithError(code, `cannot make ${disk.device} boot partition ${number}: ${fact}`);
  };
  if (!table.partitions.some((partition) => partition.number === number)) refuse('device_unfit', 'it has none such');
  if (table.kind === 'mbr' && number > 4) refuse('device_unfit', 'it is a logical one');
  if (disk.logicalBlockBytes !== 512) {
    refuse('unsupported', `such boot code reads blocks of 512 bytes and the disk has ${disk.logicalBlockBytes}`);
  }
}

/**
 * Writes boot code into a disk's first block and marks the partition that it is to start, in a GPT as in an MBR. Table and
 * signature stay. `code` is chosen by the table. Throws `device_unfit`, or `unsupported` for blocks of another size than 512.
 */
export async function writeBootCode(
  disk: Disk,
  number: number,
  codeFor: (table: PartitionTable['kind']) => Promise<Buffer>,
): Promise<void> {
  const { head, table } = await readHead(disk);
  requireStartable(disk, table, number);
  const code = await codeFor(table.kind);
  if (code.length > CODE_BYTES) throw new TinsmithError('internal', `boot code of ${code.length} bytes does not fit`);
  head.fill(0, 0, CODE_BYTES);
  code.copy(head);
  await writeMarked(disk, { head, table }, number);
}

/**
 * Takes boot code away again, and the mark of the partition that it was to start, by which other boot code would find it. All
 * else of the table stays.
 */
export async function clearBootMark(disk: Disk): Promise<void> {
  await clearBootCode(disk);
  const head = alignedBuffer(END_BYTES);
  await disk.read(head, 0);
  const table = readPartitionTable(head, disk.logicalBlockBytes);
  if (table !== undefined) await writeMarked(disk, { head, table }, undefined);
}

/** Takes boot code away again; the table stays, whatever it is. */
export async function clearBootCode(disk: Disk): Promise<void> {
  const block = alignedBuffer(disk.logicalBlockBytes);
  await disk.read(block, 0);
  block.fill(0, 0, CODE_BYTES);
  await disk.write(block, 0);
  await disk.flush();
}

interface Head {
  readonly head: Buffer;
  readonly table: PartitionTable;
}

/** Writes the beginning of a disk, and a GPT's copy at its end, with at most this one partition marked. Throws `write_failed`. */
async function writeMarked(disk: Disk, { head, table }: Head, number: number | undefined): Promise<void> {
  const ends: [Buffer, number][] = [[head, 0]];
  if (table.kind === 'mbr') {
    for (let index = 0; index < 4; index++) head.writeUInt8(index + 1 === number ? 0x80 : 0, 446 + index * 16);
  } else {
    const tail = alignedBuffer(END_BYTES);
    const tailAt = disk.sizeBytes - END_BYTES;
    await disk.read(tail, tailAt);
    markGptEntry(head, table, number);
    stretchGpt(head, tail, { sizeBytes: disk.sizeBytes, blockBytes: table.blockBytes });
    // First the copy.
    ends.unshift([tail, tailAt]);
  }
  for (const [bytes, at] of ends) await disk.write(bytes, at);
  await disk.flush();
  for (const [bytes, at] of ends) {
    const found = alignedBuffer(END_BYTES);
    await disk.read(found, at);
    if (!found.equals(bytes)) {
      const fact = `the ${at === 0 ? 'first' : 'last'} MiB of ${disk.device} does not hold what was written`;
      throw new TinsmithError('write_failed', `${fact}: the disk is faulty`);
    }
  }
}

async function readHead(disk: Disk): Promise<Head> {
  const head = alignedBuffer(END_BYTES);
  await disk.read(head, 0);
  const table = readPartitionTable(head, disk.logicalBlockBytes);
  if (table !== undefined) return { head, table };
  throw new TinsmithError('device_unfit', `cannot make ${disk.device} boot: it has no partition table`);
}

/** In hex: a GUID, or the byte of an MBR. */
function typeOf(head: Buffer, table: PartitionTable, number: number): string {
  if (table.kind === 'mbr') return head.toString('hex', 446 + (number - 1) * 16 + 4, 446 + (number - 1) * 16 + 5);
  return gptEntry(head, table, number).toString('hex', 0, 16);
}

function gptEntry(head: Buffer, { blockBytes }: PartitionTable, number: number): Buffer {
  const entriesAt = Number(head.readBigUInt64LE(blockBytes + 72)) * blockBytes;
  const entryBytes = head.readUInt32LE(blockBytes + 84);
  return head.subarray(entriesAt + (number - 1) * entryBytes, entriesAt + number * entryBytes);
}

/** The attribute that gptmbr.bin looks for. The header's own checksum follows with `stretchGpt`. */
function markGptEntry(head: Buffer, table: PartitionTable, number: number | undefined): void {
  for (const partition of table.partitions) {
    const entry = gptEntry(head, table, partition.number);
    const others = entry.readUInt8(48) & ~LEGACY_BOOTABLE;
    entry.writeUInt8(partition.number === number ? others | LEGACY_BOOTABLE : others, 48);
  }
  const { blockBytes } = table;
  const entriesAt = Number(head.readBigUInt64LE(blockBytes + 72)) * blockBytes;
  const entriesBytes = head.readUInt32LE(blockBytes + 80) * head.readUInt32LE(blockBytes + 84);
  head.writeUInt32LE(crc32(head.subarray(entriesAt, entriesAt + entriesBytes)), blockBytes + 88);
  const header = head.subarray(blockBytes, blockBytes + head.readUInt32LE(blockBytes + 12));
  header.writeUInt32LE(0, 16);
  header.writeUInt32LE(crc32(header), 16);
}
