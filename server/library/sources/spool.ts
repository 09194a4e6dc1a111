import { type FileHandle, mkdtemp, open, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { messageOf, TinsmithError } from '#proto/errors.ts';
import type { SeekableFile } from '#transfer/disk-images/disk-image.ts';
import { cannotWrite } from '../cannot-write.ts';
import { writeAll } from '../synced-files.ts';
import { seekableHandle } from './local-file.ts';

/** A file without a name; disposing it frees its bytes. */
export interface Spool extends AsyncDisposable {
  readonly file: SeekableFile;
}

/**
 * Keeps a stream in a file without a name, so that it can be read at any place; it is gone with its owner, however that ends. For the
 * file that an image is in, never for the image itself. Throws what the stream throws; `write_failed` for a full disk.
 */
export async function spool(stream: AsyncIterable<Uint8Array>, folder: string): Promise<Spool> {
  const handle = await openNameless(folder);
  try {
    let bytes = 0;
    for await (const piece of stream) {
      await keep(handle, piece, bytes);
      bytes += piece.length;
    }
    return { file: seekableHandle(handle, bytes), [Symbol.asyncDispose]: () => handle.close() };
  } catch (thrown) {
    await handle.close();
    throw thrown;
  }
}

async function openNameless(folder: string): Promise<FileHandle> {
  const place = await mkdtemp(join(folder, 'spool-')).catch(cannotWrite(folder));
  try {
    return await open(join(place, 'source'), 'wx+', 0o600);
  } finally {
    await rm(place, { recursive: true, force: true });
  }
}

async function keep(handle: FileHandle, piece: Uint8Array, keptBytes: number): Promise<void> {
  try {
    await writeAll(handle, piece);
  } catch (cause) {
    const reason = messageOf(cause);
    const sentence = `cannot keep the source of the image beside the library, ${keptBytes} bytes so far: ${reason}: free some space`;
    throw new TinsmithError('write_failed', sentence, { cause });
  }
}
