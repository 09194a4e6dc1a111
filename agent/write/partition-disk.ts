import { randomUUID } from 'node:crypto';
import type { PartitionLayout } from '#proto/actions/storage-layout.ts';
import { TinsmithError } from '#proto/errors.ts';
import type { Disk } from '../machine/machine.ts';
import { alignedBuffer } from './aligned-buffers.ts';
import { END_BYTES } from './disk-ends.ts';
import { GPT_TYPE, gptTailBytes, type NewPartition, stretchGpt, writeGpt, writeMbr } from './partition-table.ts';

/** The first partition starts and every other one is aligned here. */
const ALIGN_BYTES = 1 << 20;
/** The unit of sizes in a layout, whatever the disk's own blocks are. */
const UNIT_BYTES = 512;

/**
 * Replaces a disk's partition table. Nothing else of the disk is touched, but both ends are cleared of what was there. Throws
 * `device_unfit` when the partitions do not fit.
 */
export async function partitionDisk(
  disk: Disk,
  layout: readonly PartitionLayout[],
  table: 'gpt' | 'mbr',
): Promise<void> {
  const places = placePartitions(disk, layout, table);
  const head = alignedBuffer(END_BYTES);
  const tail = alignedBuffer(END_BYTES);
  await disk.write(head, 0);
  await disk.write(tail, disk.sizeBytes - END_BYTES);
  if (table === 'gpt') {
    writeGpt(head, places.map(toGpt), { guid: randomUUID(), blockBytes: disk.logicalBlockBytes });
    stretchGpt(head, tail, { sizeBytes: disk.sizeBytes, blockBytes: disk.logicalBlockBytes });
  } else {
    writeMbr(head, places.map(toMbr));
  }
  await disk.write(tail, disk.sizeBytes - END_BYTES);
  await disk.write(head, 0);
  await disk.flush();
}

interface Place {
  readonly label: string;
  readonly firstBlock: number;
  readonly lastBlock: number;
}

function placePartitions(disk: Disk, layout: readonly PartitionLayout[], table: 'gpt' | 'mbr'): Place[] {
  const most = table === 'gpt' ? 128 : 4;
  if (layout.length > most)
    throw doesNotFit(disk, `${layout.length} partitions are more than the ${most} of a ${table} table`);
  const blockBytes = disk.logicalBlockBytes;
  const usableEnd =
    table === 'gpt' ? disk.sizeBytes - gptTailBytes(blockBytes) : Math.min(disk.sizeBytes, 2 ** 32 * blockBytes);
  let start = ALIGN_BYTES;
  return layout.map(({ number, label, size }) => {
    const wantedEnd = size === 0 ? usableEnd : start + size * UNIT_BYTES;
    const end = Math.floor(wantedEnd / blockBytes) * blockBytes;
    if (end > usableEnd || end <= start) {
      throw doesNotFit(
        disk,
        `partition ${number} would reach from byte ${start} to ${end} and ${usableEnd} is the last usable`,
      );
    }
    const place = { label, firstBlock: start / blockBytes, lastBlock: end / blockBytes - 1 };
    start = Math.ceil(end / ALIGN_BYTES) * ALIGN_BYTES;
    return place;
  });
}

function doesNotFit(disk: Disk, fact: string): TinsmithError {
  return new TinsmithError('device_unfit', `cannot partition ${disk.device}: ${fact}`);
}

const LINUX = '0fc63daf-8483-4772-8e79-3d69d8477de4';
const GPT_TYPES: Readonly<Record<string, string>> = {
  BIOS: GPT_TYPE.biosBoot,
  EFI: GPT_TYPE.efi,
  SWAP: '0657fd6d-a4ab-43c4-84e5-0933c84b4f4f',
  LVM: 'e6d6d379-f507-44c2-a23c-238f2a3df928',
  RAID: 'a19d880f-05fc-4d3b-a006-743f0f84911e',
};

function toGpt({ label, firstBlock, lastBlock }: Place): NewPartition {
  return { type: GPT_TYPES[label.toUpperCase()] ?? LINUX, guid: randomUUID(), name: label, firstBlock, lastBlock };
}

const MBR_TYPES: Readonly<Record<string, number>> = { SWAP: 0x82, FAT32: 0x0c, EFI: 0xef, LVM: 0x8e, RAID: 0xfd };

/** `_ACTIVE` behind a label sets the boot flag. */
function toMbr({ label, firstBlock, lastBlock }: Place): Parameters<typeof writeMbr>[1][number] {
  const [, name = '', active] = /^(.*?)(_ACTIVE)?$/.exec(label.toUpperCase()) ?? [];
  return { type: MBR_TYPES[name] ?? 0x83, isActive: active !== undefined, firstBlock, lastBlock };
}
