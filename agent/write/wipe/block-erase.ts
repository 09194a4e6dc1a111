import { TinsmithError } from '#proto/errors.ts';
import { type PartitionTable, readPartitionTable } from '#transfer/partition-table.ts';
import type { Disk } from '../../machine/machine.ts';
import { alignedBuffer } from '../aligned-buffers.ts';
import { END_BYTES } from '../disk-ends.ts';
import { command, type WipeMethod, type WipeTarget } from './wipe-method.ts';

// What the kernel does for every disk: BLKDISCARD, BLKZEROOUT (by blkdiscard of util-linux) and plain writes.

const WRITE_BYTES = 4 << 20;
/** Enough that the disk always has the next one waiting. */
const WRITES_IN_FLIGHT = 4;
/** One step of a program that says where it is between steps only. */
const STEP_BYTES = 1 << 30;

/** Tells the disk that nothing is needed any more. Whether it then gives zeros or old data is seen by reading. */
export const discard: WipeMethod = {
  name: 'discard',
  leaves: 'zeros',
  fault: async ({ abilities }) => (abilities.canDiscard ? undefined : 'the disk takes no discards'),
  erase: async (target) => {
    await command(target, ['blkdiscard', target.abilities.node]);
  },
};

/** Zeros to every block: by the disk itself when it can, by writing them when it cannot or when that fails. */
export const zero: WipeMethod = {
  name: 'zero',
  leaves: 'zeros',
  fault: async () => undefined,
  erase: async (target) => {
    if (target.abilities.canWriteZeros && (await zeroByDisk(target))) return;
    await using disk = await target.machine.openDisk(target.device, target);
    await writeZeros(disk, { from: 0, to: disk.sizeBytes }, target);
  },
};

/** Both ends of the disk and of each of its partitions: nothing is recognised on it any more, and the data stays. */
export const signatures: WipeMethod = {
  name: 'signatures',
  leaves: 'data',
  fault: async () => undefined,
  erase: async (target, { table }) => {
    await using disk = await target.machine.openDisk(target.device, target);
    for (const range of signatureRanges(disk, table)) await writeZeros(disk, range, target);
    target.log(`${target.device}: only signatures were removed, the data is still on the disk`);
  },
};

async function zeroByDisk(target: WipeTarget): Promise<boolean> {
  const { node } = target.abilities;
  let done = 0;
  const { exitCode, lastLines } = await target.machine.run({
    argv: ['blkdiscard', '--zeroout', '--verbose', `--step=${STEP_BYTES}`, node],
    signal: target.signal,
    onLine: () => {
      done += STEP_BYTES;
      target.progress(Math.min(1, done / target.sizeBytes));
    },
  });
  if (exitCode === 0) return true;
  target.log(`${target.device}: the disk does not make zeros by itself (${lastLines.join(' ')}), they are written`);
  return false;
}

/** Several writes in flight from one buffer; flushed at the end. */
export async function writeZeros(
  disk: Disk,
  { from, to }: { readonly from: number; readonly to: number },
  events: Pick<WipeTarget, 'signal' | 'progress'>,
): Promise<void> {
  const zeros = alignedBuffer(WRITE_BYTES);
  let next = from;
  let done = 0;
  const work = async (): Promise<void> => {
    while (next < to) {
      events.signal.throwIfAborted();
      const offset = next;
      const bytes = Math.min(WRITE_BYTES, to - offset);
      next += bytes;
      await disk.write(zeros.subarray(0, bytes), offset);
      done += bytes;
      events.progress(done / (to - from));
    }
  };
  const results = await Promise.allSettled(Array.from({ length: WRITES_IN_FLIGHT }, work));
  for (const result of results) if (result.status === 'rejected') throw result.reason;
  await disk.flush();
}

/** The table that the disk has, before its ends are wiped. */
export async function tableOf(disk: Disk): Promise<PartitionTable | undefined> {
  const head = alignedBuffer(END_BYTES);
  await disk.read(head, 0);
  try {
    return readPartitionTable(head, disk.logicalBlockBytes);
  } catch (thrown) {
    // A table that counts in other blocks is none for this disk; its partitions were never used here.
    if (thrown instanceof TinsmithError && thrown.code === 'device_unfit') return undefined;
    throw thrown;
  }
}

/** Where file systems, RAID members and the like are recognised: the first and the last MiB of each partition. */
export function signatureRanges(
  disk: Disk,
  table: PartitionTable | undefined,
): readonly { from: number; to: number }[] {
  const clip = (offset: number): number => Math.max(0, Math.min(disk.sizeBytes, offset));
  return (table?.partitions ?? []).flatMap(({ firstBlock, lastBlock }) => {
    const from = clip(firstBlock * (table?.blockBytes ?? 0));
    const to = Math.max(from, clip((lastBlock + 1) * (table?.blockBytes ?? 0)));
    return [
      { from, to: Math.min(to, from + END_BYTES) },
      { from: Math.max(from, to - END_BYTES), to },
    ];
  });
}
