import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { messageOf, systemCodeOf, TinsmithError } from '#proto/errors.ts';

/** Gives what the system said of a write in the library a folder and a fix. Throws `write_failed`. */
export function cannotWrite(folder: string): (cause: unknown) => never {
  return (cause) => {
    if (cause instanceof TinsmithError) throw cause;
    throw new TinsmithError('write_failed', `cannot write to the library in ${folder}: ${reasonOf(cause)}`, { cause });
  };
}

/** Why nothing can be written to the library, with the fix; undefined: it can. `scratch` is a folder of it. */
export async function whyReadOnly(scratch: string): Promise<string | undefined> {
  try {
    await rm(await mkdtemp(join(scratch, 'probe-')), { recursive: true });
    return undefined;
  } catch (thrown) {
    return reasonOf(thrown);
  }
}

function reasonOf(cause: unknown): string {
  const fix = FIXES[systemCodeOf(cause) ?? ''];
  return fix ?? `${messageOf(cause)}: look after that folder and its disk`;
}

const FULL = 'it is full: free some space there, for example by tinsmith image gc';
const FORBIDDEN = 'the server may not write there: give the folder to the user that tinsmith serve runs as';
const FIXES: Readonly<Record<string, string>> = {
  ENOSPC: FULL,
  EDQUOT: FULL,
  EACCES: FORBIDDEN,
  EPERM: FORBIDDEN,
  EROFS: 'its file system is read-only: mount it so that it can be written, and see the kernel’s log if it was',
};
