import { type FileHandle, open, rename } from 'node:fs/promises';
import { dirname } from 'node:path';

export async function writeAll(file: FileHandle, bytes: Uint8Array): Promise<void> {
  for (let done = 0; done < bytes.length; ) done += (await file.write(bytes, done)).bytesWritten;
}

export async function writeSynced(path: string, bytes: Uint8Array): Promise<void> {
  await using file = await open(path, 'w', 0o644);
  await writeAll(file, bytes);
  await file.sync();
}

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
