import type { Disk } from '../machine/machine.ts';
import { alignedBuffer } from './aligned-buffers.ts';
import { END_BYTES } from './disk-ends.ts';

const START_BYTES = 1 << 30;

/** Zeros to the first GiB, as Tinkerbell's wipe, and to the last MiB. What lies between stays: `wipe/` is what erases. */
export async function clearDisk(
  disk: Disk,
  events: { signal: AbortSignal; progress: (progress: { done: number; total: number }) => void },
): Promise<void> {
  const zeros = alignedBuffer(4 << 20);
  const total = Math.min(START_BYTES, disk.sizeBytes);
  for (let done = 0; done < total; ) {
    events.signal.throwIfAborted();
    const count = Math.min(zeros.length, total - done);
    await disk.write(zeros.subarray(0, count), done);
    done += count;
    events.progress({ done, total });
  }
  if (disk.sizeBytes > END_BYTES) await disk.write(zeros.subarray(0, END_BYTES), disk.sizeBytes - END_BYTES);
  await disk.flush();
}
