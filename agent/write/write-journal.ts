import { createHash } from 'node:crypto';
import type { Disk } from '../machine/machine.ts';
import { alignedBuffer } from './aligned-buffers.ts';
import { END_BYTES } from './disk-ends.ts';
import { PIECE_BYTES } from './disk-writer.ts';

/** The file that is being written. A journal about another one counts for nothing. */
export interface JournalSubject {
  readonly url: string;
  /** A strong one: it names these very bytes. */
  readonly etag: string;
  readonly totalBytes: number;
}

// The last MiB of the disk is withheld while an image is written. In it lie two copies, written in turns, so that one is always
// whole; the last 128 KiB, where a partition table would have its own copy, stay zeros. A copy is a head of 4 KiB and the CRC-32
// of each piece in order. All numbers are little-endian.
const COPY_BYTES = 448 << 10;
const HEAD_BYTES = 4096;
const SUM_BYTES = 32;
const CHECK_BYTES = 4;
const MAGIC = 'tinsmith-journal';
const VERSION = 1;
/** 444 GiB of an image. What lies beyond is fetched again. */
const MOST_PIECES = (COPY_BYTES - HEAD_BYTES) / CHECK_BYTES;
const AT = { version: 16, count: 20, sequence: 24, subject: 32, sum: 64 } as const;

/**
 * Which pieces of a raw image are safe on the disk, kept on that disk itself, so that whoever comes next after a crash, a power cut or
 * a failed download fetches only the others. It is a claim, nothing more: each piece is read and summed before it is believed.
 */
export class WriteJournal {
  readonly #disk: Disk;
  readonly #subject: Buffer;
  readonly #memory = alignedBuffer(COPY_BYTES);
  #sequence = 0;

  constructor(disk: Disk, { url, etag, totalBytes }: JournalSubject) {
    this.#disk = disk;
    this.#subject = sumOf(JSON.stringify([url, etag, totalBytes, disk.sizeBytes, PIECE_BYTES]));
  }

  /** Checks of the pieces that an earlier run put on the disk, from the first on. None if the disk cannot be read. */
  async load(): Promise<readonly number[]> {
    let newest: readonly number[] = [];
    for (const copy of [0, 1]) {
      const isRead = await this.#disk.read(this.#memory, this.#offset(copy)).then(
        () => true,
        () => false,
      );
      const sequence = isRead ? this.#check() : undefined;
      if (sequence === undefined || sequence <= this.#sequence) continue;
      this.#sequence = sequence;
      newest = Array.from({ length: this.#memory.readUInt32LE(AT.count) }, (_, i) =>
        this.#memory.readUInt32LE(HEAD_BYTES + i * CHECK_BYTES),
      );
    }
    return newest;
  }

  /** Says that these pieces, the first ones of the image, are on the disk. They have to be flushed before. */
  async save(checks: readonly number[]): Promise<void> {
    const kept = checks.slice(0, MOST_PIECES);
    this.#sequence += 1;
    const memory = this.#memory.fill(0);
    memory.write(MAGIC, 'latin1');
    memory.writeUInt32LE(VERSION, AT.version);
    memory.writeUInt32LE(kept.length, AT.count);
    memory.writeBigUInt64LE(BigInt(this.#sequence), AT.sequence);
    this.#subject.copy(memory, AT.subject);
    for (const [index, check] of kept.entries()) memory.writeUInt32LE(check, HEAD_BYTES + index * CHECK_BYTES);
    sumOf(memory).copy(memory, AT.sum);
    await this.#disk.write(memory, this.#offset(this.#sequence % 2));
  }

  /** The number of the copy in memory; undefined if it is none, torn, or about something else. */
  #check(): number | undefined {
    const memory = this.#memory;
    const sum = Buffer.from(memory.subarray(AT.sum, AT.sum + SUM_BYTES));
    memory.fill(0, AT.sum, AT.sum + SUM_BYTES);
    const isOurs =
      memory.toString('latin1', 0, MAGIC.length) === MAGIC &&
      memory.readUInt32LE(AT.version) === VERSION &&
      memory.readUInt32LE(AT.count) <= MOST_PIECES &&
      this.#subject.equals(memory.subarray(AT.subject, AT.subject + SUM_BYTES)) &&
      sum.equals(sumOf(memory));
    return isOurs ? Number(memory.readBigUInt64LE(AT.sequence)) : undefined;
  }

  #offset(copy: number): number {
    return this.#disk.sizeBytes - END_BYTES + copy * COPY_BYTES;
  }
}

function sumOf(bytes: string | Uint8Array): Buffer {
  return createHash('sha256').update(bytes).digest();
}
