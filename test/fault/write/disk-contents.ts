import { stretch, withTable } from './fault-image.ts';

const MIB = 1 << 20;
const BLOCK_BYTES = 512;
const JOURNAL_COPY_BYTES = 448 << 10;

/** What lies on a disk, judged by reading all of it. */
export type DiskState =
  /** Every byte of the image, its partition table, the copy of it at the disk's end. */
  | 'image'
  /** As before; nothing was touched, or not yet more than its ends. */
  | 'old'
  /** First and last MiB are zeros, but for the journal of a raw image. */
  | 'zeros'
  /** Neither partition table nor boot code, but not all zeros. */
  | 'unbootable'
  /** A power cut at the last moment: the image is there, but for the boot sector and perhaps a header of its GPT. */
  | 'whole but for its first blocks'
  /** What must never be: something would boot of it, and it is not whole. */
  | 'bootable and not whole';

/** What a disk held before, and what it has to hold when the image is on it. */
export class DiskContents {
  /** A system that would boot. */
  readonly old: Buffer;
  readonly #new: Buffer;
  readonly #imageBytes: number;

  constructor(sizeBytes: number, image: Buffer) {
    this.old = withTable(Buffer.alloc(sizeBytes, 0xa5));
    this.#imageBytes = image.length;
    this.#new = Buffer.from(this.old);
    this.#new.set(image);
    // What of the last MiB does not belong to the image is zeros.
    this.#new.fill(0, Math.max(image.length, sizeBytes - MIB));
    stretch(this.#new);
  }

  judge(disk: Buffer): DiskState {
    const isEqual = (to: Buffer, from: number, end: number): boolean =>
      disk.subarray(from, end).equals(to.subarray(from, end));
    const tail = disk.length - MIB;
    if (signaturesOf(disk).length > 0) {
      // Between the image and the disk's end is what was there before: nobody reads it.
      const isWhole = (from: number, end: number): boolean =>
        isEqual(this.#new, from, Math.min(end, this.#imageBytes)) && isEqual(this.#new, tail, end);
      if (isWhole(0, disk.length)) return 'image';
      if (isEqual(this.old, MIB, tail)) return 'old';
      const hasBootSector = !disk.subarray(0, BLOCK_BYTES).every((byte) => byte === 0);
      return !hasBootSector && isWhole(2 * BLOCK_BYTES, disk.length - BLOCK_BYTES)
        ? 'whole but for its first blocks'
        : 'bootable and not whole';
    }
    return isWiped(disk) ? 'zeros' : 'unbootable';
  }
}

/** Both ends, as a failure leaves them. A journal may lie in the first part of the last MiB; where a GPT would be are zeros. */
function isWiped(disk: Buffer): boolean {
  const isZero = (from: number, end: number): boolean => disk.subarray(from, end).every((byte) => byte === 0);
  const tail = disk.length - MIB;
  const copies = [tail, tail + JOURNAL_COPY_BYTES].map((at) => ({ at, end: at + JOURNAL_COPY_BYTES }));
  const isJournal = (at: number): boolean => disk.toString('latin1', at, at + 16) === 'tinsmith-journal';
  return (
    isZero(0, MIB) &&
    copies.every(({ at, end }) => isZero(at, end) || isJournal(at)) &&
    isZero(tail + 2 * JOURNAL_COPY_BYTES, disk.length)
  );
}

/** What firmware or a kernel would go by. */
function signaturesOf(disk: Buffer): readonly string[] {
  const found: string[] = [];
  if (disk.readUInt16LE(BLOCK_BYTES - 2) === 0xaa55) found.push('boot sector');
  const mark = (at: number): string => disk.toString('latin1', at, at + 8);
  if (mark(BLOCK_BYTES) === 'EFI PART') found.push('partition table');
  if (mark(disk.length - BLOCK_BYTES) === 'EFI PART') found.push('copy of the partition table');
  return found;
}
