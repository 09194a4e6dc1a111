import { type BigIntStats, constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { TinsmithError } from '#proto/errors.ts';
import type { SeekableFile } from '#transfer/disk-images/disk-image.ts';
import type { SourceFile } from './source-file.ts';

/** Opens a file or block device of this host. Throws `not_found` or `invalid_input`. */
export async function openLocalFile(path: string): Promise<SourceFile> {
  // A pipe without a writer would otherwise hold one of the few threads that all files share, for ever.
  const handle = await open(path, constants.O_RDONLY | constants.O_NONBLOCK).catch((cause: unknown) => {
    throw new TinsmithError('not_found', `cannot read the image ${path} on the server: ${reasonOf(cause)}`, { cause });
  });
  const stats = await handle.stat({ bigint: true });
  if (!stats.isFile() && !stats.isBlockDevice()) {
    await handle.close();
    throw new TinsmithError('invalid_input', `cannot read the image ${path}: it is no file`);
  }
  return new LocalFile(path, handle, stats);
}

const PIECE_BYTES = 1 << 20;

class LocalFile implements SourceFile {
  readonly shown: string;
  readonly totalBytes: number | undefined;
  readonly isLocal = true;
  readonly #handle: FileHandle;
  readonly #before: BigIntStats;

  constructor(path: string, handle: FileHandle, stats: BigIntStats) {
    this.shown = path;
    this.totalBytes = stats.isFile() ? Number(stats.size) : undefined;
    this.#handle = handle;
    this.#before = stats;
  }

  /** The next part is read while the one before is used. */
  async *stream(): AsyncGenerator<Uint8Array> {
    const buffers = [Buffer.allocUnsafeSlow(PIECE_BYTES), Buffer.allocUnsafeSlow(PIECE_BYTES)] as const;
    let offset = 0;
    let next = readSome(this.#handle, buffers[0], 0);
    try {
      for (let turn = 1; ; turn++) {
        const piece = await next;
        if (piece.length === 0) return;
        offset += piece.length;
        next = readSome(this.#handle, buffers[turn % 2 === 0 ? 0 : 1], offset);
        yield piece;
      }
    } finally {
      // Whoever stops early closes the file next; its error was thrown above if anybody wants it.
      await next.catch(() => undefined);
    }
  }

  async seekable(): Promise<SeekableFile | undefined> {
    return this.totalBytes === undefined ? undefined : seekableHandle(this.#handle, this.totalBytes);
  }

  async beside(name: string): Promise<SourceFile> {
    return openLocalFile(join(dirname(this.shown), name));
  }

  async requireUnchanged(): Promise<void> {
    if (!this.#before.isFile()) return;
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

/** Empty at the file's end. */
async function readSome(handle: FileHandle, into: Buffer, offset: number): Promise<Buffer> {
  const { bytesRead } = await handle.read(into, 0, into.length, offset);
  return into.subarray(0, bytesRead);
}

function reasonOf(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause);
}
