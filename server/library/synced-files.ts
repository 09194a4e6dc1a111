import { type FileHandle, open, rename } from 'node:fs/promises';
import { dirname } from 'node:path';

/** Where the file is; a disk that is nearly full takes less than it is given. */
export async function writeAll(file: FileHandle, bytes: Uint8Array): Promise<void> {
  for (let done = 0; done < bytes.length; ) done += (await file.write(bytes, done)).bytesWritten;
}

/** A file of its own, safe on the disk; its folder is not. */
export async function writeSynced(path: string, bytes: Uint8Array): Promise<void> {
  await using file = await open(path, 'w', 0o644);
  await writeAll(file, bytes);
  await file.sync();
}

/** Makes names that came, went or moved in a folder safe on the disk. */
export async function syncFolder(path: string): Promise<void> {
  await using folder = await open(path, 'r');
  await folder.sync();
}

/** A JSON document in place of what was there: the old one or the new one, whatever happens. */
export async function replaceSynced(path: string, document: unknown): Promise<void> {
  await writeSynced(`${path}.new`, Buffer.from(`${JSON.stringify(document)}\n`));
  await rename(`${path}.new`, path);
  await syncFolder(dirname(path));
}
