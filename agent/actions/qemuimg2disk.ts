import type { Qemuimg2diskParams } from '#proto/actions/qemuimg2disk.ts';
import { type DiskImageWritten, writeDiskImage } from '../write/disk-images/write-disk-image.ts';
import type { ActionContext } from './action-context.ts';
import { everySoOften, settleImage } from './image-on-disk.ts';
import { progressLine } from './image2disk.ts';

/** Writes an image in a format of virtual machines to a disk and makes its partitions known to the kernel. */
export async function qemuimg2disk(params: Qemuimg2diskParams, context: ActionContext): Promise<void> {
  const { log } = context;
  if (params.ignored.length > 0)
    log('agent', `EXTRA_ARGS ${params.ignored.join(' ')} are ignored: qemu-img is not run`);
  const startedAt = performance.now();
  const written = await writeExclusively(params, context);
  await settleImage(params.disk, written.partitions, context);
  const seconds = ((performance.now() - startedAt) / 1000).toFixed(1);
  const how = `${written.format}, ${written.fetchedBytes} bytes of data`;
  log(
    'agent',
    `wrote ${written.imageBytes} bytes (${how}) to ${params.disk} in ${seconds} s, ${written.partitions.length} partition(s)`,
  );
}

async function writeExclusively(params: Qemuimg2diskParams, context: ActionContext): Promise<DiskImageWritten> {
  const { machine, log, progress, standstill, signal } = context;
  await using disk = await machine.openDisk(params.disk, { signal });
  const line = everySoOften(params.progressEveryMs);
  return await writeDiskImage(disk, params, {
    signal,
    log: (text) => log('agent', text),
    standstill,
    progress: (state) => {
      progress({ done: state.done, ...(state.total === undefined ? {} : { total: state.total }) });
      line(() => log('agent', progressLine(state)));
    },
  });
}
