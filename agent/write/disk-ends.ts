import { TinsmithError } from '#proto/errors.ts';
import { noDisk, noDiskWarning } from '#transfer/no-disk.ts';
import {
  type PartitionTable,
  readPartitionTable,
  requireNoDamagedGpt,
  requireWhole,
} from '#transfer/partition-table.ts';
import type { Disk } from '../machine/machine.ts';
import { alignedBuffer } from './aligned-buffers.ts';
import { stretchGpt } from './partition-table.ts';

/** What belongs into the first and the last MiB of a disk, and how long the whole image is. */
export interface ImageEnds {
  readonly head: Buffer;
  readonly tail: Buffer;
  readonly bytes: number;
}

/** Both ends of the disk, where boot code and partition tables live, are withheld and written last. */
export const END_BYTES = 1 << 20;
/** The smallest disk whose ends do not meet. */
const LEAST_BYTES = 4 * END_BYTES;

/**
 * The first and the last MiB of a disk: boot code, both copies of a partition table, old RAID signatures. They are zeros from
 * before the first write until everything else is safe on the disk.
 */
export class DiskEnds {
  readonly #disk: Disk;
  #table: PartitionTable | undefined;
  #isTouched = false;

  constructor(disk: Disk) {
    if (disk.sizeBytes < LEAST_BYTES) {
      const fact = `it holds ${disk.sizeBytes} bytes and no disk image fits below ${LEAST_BYTES}`;
      throw new TinsmithError('device_unfit', `cannot write to ${disk.device}: ${fact}`);
    }
    this.#disk = disk;
  }

  /** Looks at the image's partition table before anything is written. Throws `device_unfit` or `corrupt_image`. */
  check(head: Buffer): void {
    const { sizeBytes, logicalBlockBytes } = this.#disk;
    const table = readPartitionTable(head, logicalBlockBytes);
    if (table === undefined) requireNoDamagedGpt(head);
    // Behind the last partition a GPT needs room for its copy, which may have more entries than usual.
    const usableBytes = sizeBytes - (table?.copyBytes ?? 0);
    for (const { number, lastBlock } of table?.partitions ?? []) {
      const end = (lastBlock + 1) * (table?.blockBytes ?? 0);
      if (end <= usableBytes) continue;
      const room = `the disk holds ${sizeBytes} bytes, ${usableBytes} of them for partitions`;
      const fact = `partition ${number} of the image ends at byte ${end} and ${room}`;
      throw new TinsmithError('device_unfit', `cannot write to ${this.#disk.device}: ${fact}`);
    }
    this.#table = table;
  }

  /** Zeros to both ends, safely. From here on the disk does not boot until `commit`. An end that fails does not spare the other. */
  async wipe(): Promise<void> {
    this.#isTouched = true;
    const { sizeBytes, logicalBlockBytes: block } = this.#disk;
    const results = await Promise.allSettled([
      this.#zero({ offset: 0, bytes: END_BYTES }, [0, block]),
      this.#zero({ offset: sizeBytes - END_BYTES, bytes: END_BYTES }, [sizeBytes - block]),
    ]);
    await this.#disk.flush();
    for (const result of results) if (result.status === 'rejected') throw result.reason;
  }

  /** Where not all of a range can be written, what boots goes all the same: the blocks at `vital`, each by itself. */
  async #zero(range: { readonly offset: number; readonly bytes: number }, vital: readonly number[]): Promise<void> {
    const zeros = alignedBuffer(range.bytes);
    try {
      await this.#disk.write(zeros, range.offset);
    } catch (thrown) {
      const block = zeros.subarray(0, this.#disk.logicalBlockBytes);
      await Promise.allSettled(vital.map((offset) => this.#disk.write(block, offset)));
      throw thrown;
    }
  }

  /** Zeros to the start alone, safely: the end holds what an earlier run says of its work, and no partition table. */
  async wipeStart(): Promise<void> {
    this.#isTouched = true;
    await this.#disk.write(alignedBuffer(END_BYTES), 0);
    await this.#disk.flush();
  }

  /** After a failure. The first error matters more than one from here. */
  async wipeAgain(): Promise<void> {
    if (this.#isTouched) await this.wipe().catch(() => undefined);
  }

  /**
   * Writes the ends in three steps, each safe and read back before the next: what boots or names partitions comes when everything
   * else is there, whatever a power cut leaves of a step. Returns the numbers of the image's partitions; `log` hears of an image that
   * looks like no disk, which is no reason to refuse it.
   */
  async commit({ head, tail, bytes }: ImageEnds, log: (text: string) => void): Promise<number[]> {
    const { sizeBytes, logicalBlockBytes: block } = this.#disk;
    requireWhole(this.#table, bytes);
    stretchGpt(head, tail, { sizeBytes, blockBytes: block });
    const rest = { offset: 2 * block, bytes: head.subarray(2 * block) };
    await this.#putSafely([rest, { offset: sizeBytes - END_BYTES, bytes: tail.subarray(0, -block) }]);
    // Both headers of a GPT: one block each, so each is whole or not there.
    const header = { offset: block, bytes: head.subarray(block, 2 * block) };
    await this.#putSafely([header, { offset: sizeBytes - block, bytes: tail.subarray(-block) }]);
    await this.#putSafely([{ offset: 0, bytes: head.subarray(0, block) }]);
    const doubt = this.#table === undefined ? noDisk(head.subarray(0, bytes)) : undefined;
    if (doubt !== undefined) log(`warning: the image ${noDiskWarning(doubt)}: see what IMG_URL leads to`);
    return (this.#table?.partitions ?? []).map((partition) => partition.number);
  }

  async #putSafely(pieces: readonly { readonly offset: number; readonly bytes: Buffer }[]): Promise<void> {
    for (const { offset, bytes } of pieces) await this.#disk.write(bytes, offset);
    await this.#disk.flush();
    const memory = alignedBuffer(END_BYTES);
    for (const { offset, bytes } of pieces) {
      const found = memory.subarray(0, bytes.length);
      await this.#disk.read(found, offset);
      if (found.equals(bytes)) continue;
      const fact = `what was written at byte ${offset} reads back differently: the disk is faulty`;
      throw new TinsmithError('write_failed', `cannot trust ${this.#disk.device}: ${fact}`);
    }
  }
}

/** The part of `bytes` at `offset` that lies in neither end of the disk; from there, in bytes. Empty where `from` is `to`. */
export function middleOf(
  { sizeBytes }: Disk,
  offset: number,
  bytes: number,
): { readonly from: number; readonly to: number } {
  const from = Math.min(bytes, Math.max(0, END_BYTES - offset));
  return { from, to: Math.max(from, Math.min(bytes, sizeBytes - END_BYTES - offset)) };
}

/** `fact` says how the image compares. */
export function tooSmall(disk: Disk, fact: string): TinsmithError {
  const size = `${disk.sizeBytes} bytes`;
  return new TinsmithError('device_unfit', `cannot write to ${disk.device}: it holds ${size} and the image ${fact}`);
}
