import { TinsmithError } from '#proto/errors.ts';
import { type PartitionTable, readPartitionTable } from '#transfer/partition-table.ts';
import type { Disk } from '../machine/machine.ts';
import { alignedBuffer } from './aligned-buffers.ts';
import { END_BYTES } from './disk-ends.ts';
import { GPT_TYPE, markBootable, partitionType, stretchGpt } from './partition-table.ts';

/** The part of the first block that is code; then come the disk's signature and the table. */
const CODE_BYTES = 440;
/** Of an EFI system partition in an MBR. */
const MBR_EFI = 'ef';

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
  const types = table.partitions.map(({ number }) => ({ number, type: partitionType(head, table, number) }));
  const efi = types.find(({ type }) => type === GPT_TYPE.efi || type === MBR_EFI);
  return {
    table: table.kind,
    ...(efi === undefined ? {} : { efi: efi.number }),
    hasRoomForBios: table.kind === 'mbr' || types.some(({ type }) => type === GPT_TYPE.biosBoot),
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
  markBootable(head, table, number);
  if (table.kind === 'gpt') {
    const tail = alignedBuffer(END_BYTES);
    const tailAt = disk.sizeBytes - END_BYTES;
    await disk.read(tail, tailAt);
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
