import type { Image2diskParams } from '#proto/actions/image2disk.ts';
import { DiskEnds } from '../write/disk-ends.ts';
import { type ImageProgress, type ImageWritten, writeImage } from '../write/write-image.ts';
import type { ActionContext } from './action-context.ts';

/** Streams an image to a disk and makes its partitions known to the kernel. */
export async function image2disk(params: Image2diskParams, context: ActionContext): Promise<void> {
  const { machine, log, signal } = context;
  const startedAt = performance.now();
  const written = await writeExclusively(params, context);
  // A whole image on a machine whose network, users or boot configuration are missing must not come up on its own.
  context.onTaskFailure(async (undoSignal) => {
    await using disk = await machine.openDisk(params.disk, { signal: undoSignal });
    await new DiskEnds(disk).wipe();
    log('agent', `the task did not succeed: ${params.disk} was made unbootable again`);
  });
  // The kernel takes a new table only when nobody holds the disk.
  await machine.rereadPartitionTable(params.disk, written.partitions, { signal });
  const seconds = (performance.now() - startedAt) / 1000;
  const rate = (written.imageBytes / 1e6 / seconds).toFixed(0);
  const summary = `wrote ${written.imageBytes} bytes (${written.format}) to ${params.disk}`;
  log('agent', `${summary} in ${seconds.toFixed(1)} s, ${rate} MB/s, ${written.partitions.length} partition(s)`);
}

async function writeExclusively(params: Image2diskParams, context: ActionContext): Promise<ImageWritten> {
  const { machine, log, progress, signal } = context;
  await using disk = await machine.openDisk(params.disk, { signal });
  let nextLineAt = performance.now() + params.progressEveryMs;
  return await writeImage(disk, params, {
    signal,
    log: (text) => log('agent', text),
    progress: (state) => {
      progress({ done: state.done, ...(state.total === undefined ? {} : { total: state.total }) });
      if (performance.now() < nextLineAt) return;
      nextLineAt = performance.now() + params.progressEveryMs;
      log('agent', progressLine(state));
    },
  });
}

function progressLine({ done, total, written }: ImageProgress): string {
  const share = total === undefined || total === 0 ? '' : ` (${Math.floor((done / total) * 100)} %)`;
  return `downloaded ${done} bytes${share}, written ${written}`;
}
