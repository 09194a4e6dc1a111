/** A library image, servers that have it, and disks to write it to. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type FolderMachine, folderMachine } from '#agent/machine/folder-machine.ts';
import type { Disk } from '#agent/machine/machine.ts';
import type { LibraryRequest } from '#agent/write/library/library-mirrors.ts';
import {
  type LibraryEvents,
  type LibraryWritten,
  writeLibraryImage,
} from '#agent/write/library/write-library-image.ts';
import { TinsmithError } from '#proto/errors.ts';
import { FRAME_BYTES } from '#proto/library-index.ts';
import { readPartitionTable } from '#transfer/partition-table.ts';
import { diskImage } from './disk-image.ts';
import { type FrameAnswer, libraryServer, type PackedLibraryImage, packedLibraryImage } from './library-server.ts';

export const MIB = 1 << 20;
export const FRAMES = 12;
export const IMAGE_BYTES = FRAMES * FRAME_BYTES - 3 * 512;
export const DISK_BYTES = FRAMES * FRAME_BYTES + 5 * MIB;
const TIMING = { answerMs: 10_000, stallMs: 1000, firstPauseMs: 1, longestPauseMs: 20 };
const signal = new AbortController().signal;

/** What of a write is not the usual. */
type WriteChanges = Partial<LibraryRequest & LibraryEvents>;

/** `write` and its like resolve when the disk is closed again. */
export class LibraryWriteWorld implements AsyncDisposable {
  /** Data in frames 0, 1, 4 to 8 and 11, zeros in the others; no multiple of a frame long. */
  readonly image: Buffer;
  readonly packed: PackedLibraryImage;
  /** Of everything; it goes with the world. */
  readonly folder: string;
  #names = 0;

  private constructor(image: Buffer, packed: PackedLibraryImage, folder: string) {
    this.image = image;
    this.packed = packed;
    this.folder = folder;
  }

  static async start(): Promise<LibraryWriteWorld> {
    const image = makeImage();
    const packed = await packedLibraryImage(image);
    return new LibraryWriteWorld(image, packed, await mkdtemp(join(tmpdir(), 'tinsmith-library-')));
  }

  /** A machine with one disk, /dev/sda, that begins with `content`. */
  async machineWith(content: Buffer, sizeBytes = DISK_BYTES, logicalBlockBytes = 512): Promise<FolderMachine> {
    this.#names += 1;
    const disks = { '/dev/sda': sizeBytes };
    const machine = folderMachine({ folder: join(this.folder, String(this.#names)), disks, logicalBlockBytes });
    await using disk = await machine.openDisk('/dev/sda', { signal });
    await disk.write(content, 0);
    return machine;
  }

  async write(machine: FolderMachine, mirrors: readonly URL[], changes: WriteChanges = {}): Promise<LibraryWritten> {
    await using disk = await machine.openDisk('/dev/sda', { signal });
    return await this.writeTo(disk, mirrors, changes);
  }

  /** To a disk that the caller opened. */
  writeTo(disk: Disk, mirrors: readonly URL[], changes: WriteChanges = {}): Promise<LibraryWritten> {
    return writeLibraryImage(
      disk,
      {
        image: 'test',
        mirrors,
        publicKey: this.packed.publicKey,
        proxy: {},
        retryForMs: 10_000,
        timing: TIMING,
        ...changes,
      },
      { signal, log: () => undefined, progress: () => undefined, ...changes },
    );
  }

  /** Serves the image, writes it to a disk full of old data. */
  async writeFresh(answers: readonly FrameAnswer[] = [], from = this.packed, changes: WriteChanges = {}) {
    await using server = await libraryServer(from, answers);
    const machine = await this.machineWith(Buffer.alloc(DISK_BYTES, 0xa5));
    const result = await this.write(machine, [server.url], changes).catch((thrown: unknown) =>
      TinsmithError.from(thrown),
    );
    return { result, disk: await readFile(machine.diskFile('/dev/sda')), ranges: server.ranges, machine };
  }

  assertHolds(disk: Buffer): void {
    // The GPT is stretched to the disk's end, so its own blocks differ.
    assert.ok(disk.subarray(MIB, this.image.length).equals(this.image.subarray(MIB)), 'the disk holds the image');
    assert.equal(readPartitionTable(disk.subarray(0, MIB), 512)?.partitions.length, 2);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return rm(this.folder, { recursive: true, force: true });
  }
}

function makeImage(): Buffer {
  const whole = Buffer.alloc(IMAGE_BYTES);
  diskImage().copy(whole);
  for (const frame of [4, 5, 6, 7, 8]) randomBytes(FRAME_BYTES / 2).copy(whole, frame * FRAME_BYTES);
  whole.write('the last bytes', whole.length - 100);
  return whole;
}

export function assertUnbootable(disk: Buffer): void {
  assert.ok(
    disk.subarray(0, MIB).every((byte) => byte === 0),
    'the first MiB is zeros',
  );
  assert.ok(
    disk.subarray(disk.length - MIB).every((byte) => byte === 0),
    'the last MiB is zeros',
  );
}
