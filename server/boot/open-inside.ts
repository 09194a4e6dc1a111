import { constants } from 'node:fs';
import { type FileHandle, open, readlink, realpath } from 'node:fs/promises';
import { join, sep } from 'node:path';
import { type LinkListener, linkOutside } from './link-outside.ts';

/**
 * Opens a regular file for reading by its path inside one of the folders; the first that has it. Undefined if none has it, or
 * if a part of the path begins with a dot, as `..` and what programs keep for themselves, or if an absolute path or a symbolic link
 * leads out of the folder (links that stay inside are followed).
 * `onLink` hears of the link in question; a machine is told only that there is no such file.
 * The caller closes the handle. What was opened is what is checked, so that swapping a link at the wrong moment gains nothing.
 */
export async function openInside(
  folders: readonly string[],
  path: string,
  onLink?: LinkListener,
): Promise<FileHandle | undefined> {
  if (path.includes('\0') || path.split('/').some((part) => part.startsWith('.'))) return undefined;
  for (const folder of folders) {
    const handle = await openInFolder(folder, path, onLink);
    if (handle !== undefined) return handle;
  }
  return undefined;
}

async function openInFolder(
  folder: string,
  path: string,
  onLink: LinkListener | undefined,
): Promise<FileHandle | undefined> {
  let handle: FileHandle | undefined;
  let root: string | undefined;
  try {
    root = await realpath(folder);
    // O_NONBLOCK: a named pipe must not make us wait for its writer.
    handle = await open(join(root, path), constants.O_RDONLY | constants.O_NONBLOCK);
    const opened = await readlink(`/proc/self/fd/${handle.fd}`);
    if (opened.startsWith(`${root}${sep}`) && (await handle.stat()).isFile()) return handle;
  } catch {
    // Missing, a folder, no permission, a loop of links: for a machine it all means that there is no such file.
  }
  await handle?.close();
  const outside = root === undefined || onLink === undefined ? undefined : await linkOutside(root, path);
  if (outside !== undefined) onLink?.(outside);
  return undefined;
}
