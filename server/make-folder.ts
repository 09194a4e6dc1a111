import { mkdir } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { systemCodeOf } from '#proto/errors.ts';

/**
 * Makes a folder and the ones above it; one that is there already is fine. Node's own recursive mkdir never ends on file
 * systems that answer ENOENT for a folder whose parent exists (/proc). Rejects with the system's error.
 */
export async function makeFolder(path: string, mode = 0o755): Promise<void> {
  const missing: string[] = [];
  for (let folder = resolve(path); !(await makeOne(folder, mode, { mayMissParent: true })); folder = dirname(folder)) {
    missing.push(folder);
  }
  for (const folder of missing.toReversed()) await makeOne(folder, mode, { mayMissParent: false });
}

/** True when the folder is there now, false when the one above it is missing first. */
async function makeOne(folder: string, mode: number, options: { readonly mayMissParent: boolean }): Promise<boolean> {
  try {
    await mkdir(folder, { mode });
    return true;
  } catch (error) {
    const code = systemCodeOf(error);
    if (code === 'EEXIST') return true;
    if (code === 'ENOENT' && options.mayMissParent && folder !== dirname(folder)) return false;
    throw error;
  }
}
