import { DiskEnds } from '../write/disk-ends.ts';
import type { ActionContext } from './action-context.ts';

/** What comes after an image was written: it is undone if the rest of the task fails, and the kernel sees its partitions. */
export async function settleImage(
  device: string,
  partitions: readonly number[],
  { machine, log, signal, onTaskFailure }: ActionContext,
): Promise<void> {
  // A whole image on a machine whose network, users or boot configuration are missing must not come up on its own.
  onTaskFailure(async (undoSignal) => {
    await using disk = await machine.openDisk(device, { signal: undoSignal });
    await new DiskEnds(disk).wipe();
    log('agent', `the task did not succeed: ${device} was made unbootable again`);
  });
  // The kernel takes a new table only when nobody holds the disk.
  await machine.rereadPartitionTable(device, partitions, { signal });
}

/** Runs `work` at most once in so many milliseconds. */
export function everySoOften(intervalMs: number): (work: () => void) => void {
  let nextAt = performance.now() + intervalMs;
  return (work) => {
    if (performance.now() < nextAt) return;
    nextAt = performance.now() + intervalMs;
    work();
  };
}
