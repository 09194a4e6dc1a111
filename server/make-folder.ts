import { mkdir } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { TinsmithError } from '#proto/errors.ts';

/**
 * Makes a folder and the ones above it; one that is there already is fine. Node's own recursive mkdir never ends on file
 * systems that answer ENOENT for a folder whose parent exists (/proc). Throws `write_failed`.
 */
export async function makeFolder(path: string, mode = 0o755): Promise<void> {
  const missing: string[] = [];
  for (let folder = resolve(path); ; folder = dirname(folder)) {
    const code = await makeOne(folder, mode);
    if (code === undefined || code === 'EEXIST') break;
    if (code !== 'ENOENT' || folder === dirname(folder)) refuse(path, code);
    missing.push(folder);
  }
  for (const folder of missing.toReversed()) {
    const code = await makeOne(folder, mode);
    if (code !== undefined && code !== 'EEXIST') refuse(path, code);
  }
}

/** The error code, if it was not made. */
async function makeOne(folder: string, mode: number): Promise<string | undefined> {
  try {
    await mkdir(folder, { mode });
    return undefined;
  } catch (error) {
    if (error instanceof Error && 'code' in error && typeof error.code === 'string') return error.code;
    throw error;
  }
}

function refuse(path: string, code: string): never {
  throw new TinsmithError(
    'write_failed',
    `cannot make the folder ${path}: ${code}; name another one or make it yourself`,
  );
}
