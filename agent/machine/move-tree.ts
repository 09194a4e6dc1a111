import type { Stats } from 'node:fs';
import { lstat, mkdir, readdir, rename, rmdir, unlink } from 'node:fs/promises';
import { systemCodeOf, TinsmithError } from '#proto/errors.ts';

export interface MoveTarget {
  readonly device: string;
  /** In the agent's own tree; made when it is missing. */
  readonly destination: string;
  /** The same as a path of the target. */
  readonly destinationPath: string;
  /** Whether a path of the target is a directory in the end. */
  readonly isDirectory: (path: string) => Promise<boolean>;
  /** Where a path of the target is, links followed inside it. */
  readonly follow: (path: string) => Promise<string>;
}

/**
 * Moves the content of `folder` into the destination by renames on one file system. A directory that does not exist yet comes
 * in one step with all that is in it; one that exists is entered, also through a link of the target, which stays. `boot`
 * comes last, so that what starts a machine does not come before what is started. Names have one character a byte.
 * Conflicts are found before anything is moved: throws `write_failed`.
 */
export async function moveTree(folder: string, target: MoveTarget): Promise<void> {
  await walk(folder, target.destinationPath, { ...target, isRehearsal: true });
  await mkdir(target.destination, { recursive: true, mode: 0o755 });
  await walk(folder, target.destinationPath, { ...target, isRehearsal: false });
  await rmdir(bytes(folder));
}

interface Move extends MoveTarget {
  readonly isRehearsal: boolean;
}

async function walk(folder: string, path: string, move: Move): Promise<void> {
  const names = (await readdir(bytes(folder), 'latin1')).toSorted(
    (a, b) => Number(a === 'boot') - Number(b === 'boot'),
  );
  const directory = await move.follow(path);
  for (const name of names) {
    const from = `${folder}/${name}`;
    const toPath = `${path === '/' ? '' : path}/${name}`;
    const moved = await lstat(bytes(from));
    const found = await lstatOf(`${directory}/${name}`);
    if (moved.isDirectory() && found !== undefined && (await move.isDirectory(toPath))) {
      await walk(from, toPath, move);
      if (!move.isRehearsal) await rmdir(bytes(from));
    } else if (move.isRehearsal) {
      if (found?.isDirectory() === true) await requireEmpty(`${directory}/${name}`, toPath, move.device);
    } else {
      await replace({ from, to: `${directory}/${name}` }, moved, found);
    }
  }
}

async function requireEmpty(place: string, path: string, device: string): Promise<void> {
  if ((await readdir(bytes(place))).length === 0) return;
  const fact = 'the archive has a file of that name and the target a directory that is not empty';
  throw new TinsmithError('write_failed', `cannot unpack ${bytes(path).toString('utf8')} to ${device}: ${fact}`);
}

/** A rename replaces a file in one step; one kind for the other it does not. */
async function replace(
  { from, to }: { readonly from: string; readonly to: string },
  moved: Stats,
  found: Stats | undefined,
): Promise<void> {
  if (found?.isDirectory() === true) await rmdir(bytes(to));
  else if (found !== undefined && moved.isDirectory()) await unlink(bytes(to));
  await rename(bytes(from), bytes(to));
}

async function lstatOf(place: string): Promise<Stats | undefined> {
  try {
    return await lstat(bytes(place));
  } catch (thrown) {
    // The directory above may be what this rehearsal only pretends to have made.
    if (['ENOENT', 'ENOTDIR'].includes(systemCodeOf(thrown) ?? '')) return undefined;
    throw thrown;
  }
}

function bytes(path: string): Buffer {
  return Buffer.from(path, 'latin1');
}
