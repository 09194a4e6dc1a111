import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { messageOf, TinsmithError } from '#proto/errors.ts';

/** A library that no other server works on; disposing it lets the next one in. */
export interface LibraryLock extends Disposable {
  /** Why nobody is kept out: the folder takes no locks, as a read-only one. */
  readonly whyOpen?: string;
}

/** How long a former server may need to let go of the library when it is replaced. */
const WAIT_MS = 2000;
const SQLITE_BUSY = 5;

/**
 * Keeps other servers out of a library's folder, which each would empty of what the other imports. Node has no locks of files, but
 * SQLite: the lock is the kernel's, so it ends with the process however that ends. Throws `conflict` while another process has it.
 */
export async function lockLibrary(folder: string, waitMs = WAIT_MS): Promise<LibraryLock> {
  const path = join(folder, 'library.lock');
  let database: DatabaseSync | undefined;
  try {
    const opened = new DatabaseSync(path, { timeout: waitMs });
    database = opened;
    // Nothing is ever written to it: the transaction never ends.
    opened.exec('begin exclusive');
    return { [Symbol.dispose]: () => opened.close() };
  } catch (cause) {
    database?.close();
    if (!isBusy(cause)) return { whyOpen: messageOf(cause), [Symbol.dispose]: () => undefined };
    const pid = await holderOf(path);
    const holder = pid === undefined ? 'another tinsmith serve' : `another tinsmith serve (process ${pid})`;
    const fix = 'stop that one, or give this one a folder of its own with --library-dir';
    throw new TinsmithError('conflict', `cannot use the image library in ${folder}: ${holder} has it: ${fix}`, {
      cause,
    });
  }
}

function isBusy(thrown: unknown): boolean {
  if (!(thrown instanceof Error) || !('errcode' in thrown) || typeof thrown.errcode !== 'number') return false;
  return (thrown.errcode & 0xff) === SQLITE_BUSY;
}

/** Undefined: it runs on another host or in another container, or its file system has other names for its files in /proc. */
async function holderOf(path: string): Promise<number | undefined> {
  const [{ dev, ino }, locks] = await Promise.all([
    stat(path, { bigint: true }),
    // See proc_locks(5).
    readFile('/proc/locks', 'latin1').catch(() => ''),
  ]);
  const file = `${hex((dev >> 8n) & 0xfffn)}:${hex((dev & 0xffn) | ((dev >> 12n) & 0xfff00n))}:${ino}`;
  const pid = new RegExp(`^\\d+: POSIX +\\w+ +WRITE (\\d+) ${file} `, 'm').exec(locks)?.[1];
  return pid === undefined ? undefined : Number(pid);
}

function hex(number: bigint): string {
  return number.toString(16).padStart(2, '0');
}
