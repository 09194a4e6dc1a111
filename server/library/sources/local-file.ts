import { type BigIntStats, constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { messageOf, systemCodeOf, TinsmithError } from '#proto/errors.ts';
import type { SeekableFile } from '#transfer/disk-images/disk-image.ts';
import { noFileFact } from '../no-file.ts';
import { type BlockDevice, claimDevice } from './block-device.ts';
import { fileHoles, type Hole } from './hole-map.ts';
import type { SourceFile } from './source-file.ts';

/** Opens a file or block device of this host; what `holesOf` says is tried before it is believed. Throws `not_found`, `invalid_input` or `device_unfit`. */
export async function openLocalFile(path: string, holesOf: HoleMap = fileHoles): Promise<SourceFile> {
  const handle = await openToRead(path).catch((cause: unknown) => {
    throw unreadable(path, cause);
  });
  const stats = await handle.stat({ bigint: true });
  if (stats.isFile()) return new LocalFile(path, handle, stats, { holesOf });
  try {
    if (stats.isBlockDevice()) return await openDevice(path, handle, stats);
    throw new TinsmithError('invalid_input', `cannot read the image ${path}: ${noFileFact(stats)}`);
  } finally {
    await handle.close();
  }
}

/** The holes of an open file, in order; undefined if nobody can tell. */
export type HoleMap = (fd: number, sizeBytes: number) => Promise<readonly Hole[] | undefined>;

const PIECE_BYTES = 1 << 20;
const PROBE_BYTES = 4096;
/** What a hole reads as. Nobody writes to it. */
const HOLE = Buffer.alloc(PIECE_BYTES);

async function openDevice(path: string, opened: FileHandle, stats: BigIntStats): Promise<SourceFile> {
  const device = await claimDevice(path, opened).catch((cause: unknown) => {
    throw cause instanceof TinsmithError ? cause : unreadable(path, cause);
  });
  return new LocalFile(path, device.handle, stats, { device });
}

/**
 * A file that another one names. Whoever made that one may know nothing else of this host: what lies in the same folder, and not what a
 * link there leads to, which might be any file that the server may read.
 */
async function openBeside(path: string, namedBy: string): Promise<SourceFile> {
  const refused = (fact: string): TinsmithError => {
    const sentence = `cannot read ${path}, which the image in ${namedBy} names: ${fact}: put a copy of the file there`;
    return new TinsmithError('invalid_input', sentence);
  };
  const handle = await openToRead(path, constants.O_NOFOLLOW).catch((cause: unknown) => {
    throw systemCodeOf(cause) === 'ELOOP' ? refused('it is a symbolic link') : unreadable(path, cause);
  });
  const stats = await handle.stat({ bigint: true });
  if (stats.isFile()) return new LocalFile(path, handle, stats, { holesOf: fileHoles });
  await handle.close();
  throw refused('it is no regular file');
}

/** A pipe without a writer would otherwise hold one of the few threads that all files share, for ever. */
function openToRead(path: string, flags = 0): Promise<FileHandle> {
  return open(path, constants.O_RDONLY | constants.O_NONBLOCK | flags);
}

function unreadable(path: string, cause: unknown): TinsmithError {
  return new TinsmithError('not_found', `cannot read the image ${path} on the server: ${messageOf(cause)}`, { cause });
}

interface LocalFileOptions {
  readonly holesOf?: HoleMap;
  /** Of one that is no file. */
  readonly device?: BlockDevice;
}

class LocalFile implements SourceFile {
  readonly shown: string;
  readonly totalBytes: number;
  readonly isLocal = true;
  readonly #handle: FileHandle;
  readonly #before: BigIntStats;
  readonly #holesOf: HoleMap | undefined;
  readonly #device: BlockDevice | undefined;

  constructor(path: string, handle: FileHandle, stats: BigIntStats, { holesOf, device }: LocalFileOptions) {
    this.shown = path;
    this.totalBytes = device?.sizeBytes ?? Number(stats.size);
    this.#handle = handle;
    this.#before = stats;
    this.#holesOf = holesOf;
    this.#device = device;
  }

  async *stream(): AsyncGenerator<Uint8Array> {
    let offset = 0;
    for (const hole of await this.#holes()) {
      for await (const piece of this.#read(offset, hole.start)) {
        offset += piece.length;
        yield piece;
      }
      // What was cut off there meanwhile is met by whoever asks whether the file changed.
      if (offset < hole.start) return;
      // A file system that is wrong about one hole is not believed any other.
      if (!(await this.#isEmpty(hole))) break;
      for (; offset < hole.end; offset += Math.min(PIECE_BYTES, hole.end - offset)) {
        yield HOLE.subarray(0, hole.end - offset);
      }
    }
    yield* this.#read(offset, Number.POSITIVE_INFINITY);
  }

  /** Long ones only: a file that is not sparse, or whose holes nobody can tell, has none. */
  async #holes(): Promise<readonly Hole[]> {
    const { size, blocks } = this.#before;
    if (!this.#before.isFile() || blocks * 512n >= size) return [];
    const holes = (await this.#holesOf?.(this.#handle.fd, Number(size))) ?? [];
    return holes.filter(({ start, end }) => end - start >= PIECE_BYTES);
  }

  /** Looks at both ends of a hole. */
  async #isEmpty({ start, end }: Hole): Promise<boolean> {
    const probe = Buffer.alloc(PROBE_BYTES);
    for (const at of [start, end - PROBE_BYTES]) {
      const { bytesRead } = await this.#handle.read(probe, 0, PROBE_BYTES, at);
      if (bytesRead < PROBE_BYTES || !probe.equals(HOLE.subarray(0, PROBE_BYTES))) return false;
    }
    return true;
  }

  /** The next part is read while the one before is used. */
  async *#read(start: number, end: number): AsyncGenerator<Uint8Array> {
    const buffers = [Buffer.allocUnsafeSlow(PIECE_BYTES), Buffer.allocUnsafeSlow(PIECE_BYTES)] as const;
    let offset = start;
    let next = readSome(this.#handle, buffers[0], { offset, end });
    try {
      for (let turn = 1; ; turn++) {
        const piece = await next;
        if (piece.length === 0) return;
        offset += piece.length;
        next = readSome(this.#handle, buffers[turn % 2 === 0 ? 0 : 1], { offset, end });
        yield piece;
      }
    } finally {
      // Whoever stops early closes the file next; its error was thrown above if anybody wants it.
      await next.catch(() => undefined);
    }
  }

  async seekable(): Promise<SeekableFile | undefined> {
    return seekableHandle(this.#handle, this.totalBytes);
  }

  beside(name: string): Promise<SourceFile> {
    return openBeside(join(dirname(this.shown), name), this.shown);
  }

  async requireUnchanged(): Promise<void> {
    if (this.#device !== undefined) return this.#device.requireUnchanged();
    const now = await this.#handle.stat({ bigint: true });
    const [was, is] = [this.#before, now];
    if (was.size === is.size && was.mtimeNs === is.mtimeNs && was.ctimeNs === is.ctimeNs) return;
    const fact = was.size === is.size ? 'somebody wrote to it' : `it had ${was.size} bytes and has ${is.size} now`;
    throw new TinsmithError(
      'conflict',
      `the image ${this.shown} changed while it was read: ${fact}: import it again when nobody writes to it`,
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#handle.close();
  }
}

/** The caller keeps the handle open and closes it. */
export function seekableHandle(handle: FileHandle, sizeBytes: number): SeekableFile {
  return {
    sizeBytes,
    async read(offset, bytes) {
      const into = Buffer.allocUnsafe(bytes);
      for (let done = 0; done < bytes; ) {
        const { bytesRead } = await handle.read(into, done, bytes - done, offset + done);
        if (bytesRead === 0)
          throw new TinsmithError('conflict', `the image was cut at byte ${offset + done} meanwhile`);
        done += bytesRead;
      }
      return into;
    },
  };
}

/** Empty at the file's end, and at `end`. */
async function readSome(
  handle: FileHandle,
  into: Buffer,
  { offset, end }: { readonly offset: number; readonly end: number },
): Promise<Buffer> {
  const { bytesRead } = await handle.read(into, 0, Math.min(into.length, end - offset), offset);
  return into.subarray(0, bytesRead);
}
