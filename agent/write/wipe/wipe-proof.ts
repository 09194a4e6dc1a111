import { randomBytes, randomInt } from 'node:crypto';
import { TinsmithError } from '#proto/errors.ts';
import type { Disk } from '../../machine/machine.ts';
import { alignedBuffer } from '../aligned-buffers.ts';
import { END_BYTES } from '../disk-ends.ts';
import { isZeros } from '../zeros.ts';

/** Both 512 and 4096 byte blocks divide it. */
const SAMPLE_BYTES = 4096;
/** The disk is cut into so many parts, and one place of each is looked at: nothing larger than a part stays unseen. */
const PARTS = 256;
const READ_BYTES = 4 << 20;

/** What one place of a disk held. */
export interface Sample {
  readonly offset: number;
  /** What lay there before the disk was wiped; never all zeros. */
  readonly before: Buffer;
}

/**
 * Looks at one place in every part of the disk. Zeros there would prove nothing, so a random mark is written in their stead: whatever
 * claims to have wiped the disk and did nothing is found out. The marks go with the data.
 */
export async function takeSamples(disk: Disk): Promise<readonly Sample[]> {
  const samples: Sample[] = [];
  const buffer = alignedBuffer(SAMPLE_BYTES);
  for (const offset of samplePlaces(disk)) {
    await disk.read(buffer, offset);
    if (isZeros(buffer)) {
      buffer.set(randomBytes(SAMPLE_BYTES));
      await disk.write(buffer, offset);
    }
    samples.push({ offset, before: Buffer.from(buffer) });
  }
  await disk.flush();
  for (const { offset, before } of samples) {
    await disk.read(buffer, offset);
    if (!buffer.equals(before)) throw faulty(disk, offset);
  }
  return samples;
}

/** One random block in each of the parts between both ends, which are wiped and read back anyway. */
function samplePlaces(disk: Disk): readonly number[] {
  const blocks = Math.floor((disk.sizeBytes - 2 * END_BYTES) / SAMPLE_BYTES);
  const parts = Math.min(PARTS, blocks);
  return Array.from({ length: parts }, (_, part) => {
    const [first, end] = [Math.floor((part * blocks) / parts), Math.floor(((part + 1) * blocks) / parts)];
    return END_BYTES + randomInt(first, end) * SAMPLE_BYTES;
  });
}

/** What a look at the samples proves: all are zeros; or, at least, nothing that was there is. Otherwise where it still is. */
export async function compareSamples(
  disk: Disk,
  samples: readonly Sample[],
): Promise<'zeros' | 'changed' | { readonly left: number }> {
  const buffer = alignedBuffer(SAMPLE_BYTES);
  let areZeros = true;
  for (const { offset, before } of samples) {
    await disk.read(buffer, offset);
    // Half of a block that is as before is data as well.
    for (let at = 0; at < SAMPLE_BYTES; at += disk.logicalBlockBytes) {
      const block = buffer.subarray(at, at + disk.logicalBlockBytes);
      const old = before.subarray(at, at + disk.logicalBlockBytes);
      if (!isZeros(block) && block.equals(old)) return { left: offset + at };
      areZeros &&= isZeros(block);
    }
  }
  return areZeros ? 'zeros' : 'changed';
}

/** Reads all of a range. Returns the offset of the first read that found something else than zeros, or undefined. */
export async function findNonZero(
  disk: Disk,
  range: { readonly from: number; readonly to: number },
  events: { readonly signal: AbortSignal; readonly progress: (doneBytes: number) => void },
): Promise<number | undefined> {
  const buffer = alignedBuffer(READ_BYTES);
  for (let offset = range.from; offset < range.to; ) {
    events.signal.throwIfAborted();
    const part = buffer.subarray(0, Math.min(READ_BYTES, range.to - offset));
    await disk.read(part, offset);
    if (!isZeros(part)) return offset;
    offset += part.length;
    events.progress(offset - range.from);
  }
  return undefined;
}

function faulty(disk: Disk, offset: number): TinsmithError {
  const fact = `what was written at byte ${offset} reads back differently: the disk is faulty`;
  return new TinsmithError('write_failed', `cannot wipe ${disk.device}: ${fact}`);
}
