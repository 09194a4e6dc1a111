import { readdir, readlink } from 'node:fs/promises';
import { join } from 'node:path';
import { waitUntil } from './wait-until.ts';

const GRACE_MS = 2000;
const KILL_MS = 5000;

/**
 * Ends every process whose root directory is `directory` or lies below it: what a command in a chroot has left running, such
 * as the service of a package that it installed. Otherwise it would keep the file system busy. TERM, then KILL. Returns
 * their names.
 */
export async function endProcessesIn(directory: string): Promise<readonly string[]> {
  const names = new Set<string>();
  const send = async (signal: NodeJS.Signals): Promise<true | undefined> => {
    const found = await processesIn(directory);
    for (const { pid, name } of found) {
      names.add(name);
      endOne(pid, signal);
    }
    return found.length === 0 ? true : undefined;
  };
  // Not cancellable: it is what has to happen before anything may be unmounted, and bounded.
  const { signal } = new AbortController();
  const isEnded = await waitUntil(() => send('SIGTERM'), { timeoutMs: GRACE_MS, signal });
  if (isEnded === undefined) await waitUntil(() => send('SIGKILL'), { timeoutMs: KILL_MS, signal });
  return [...names];
}

function endOne(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch {
    // It has ended meanwhile.
  }
}

async function processesIn(directory: string): Promise<{ pid: number; name: string }[]> {
  const found: { pid: number; name: string }[] = [];
  for (const entry of await readdir('/proc')) {
    if (!/^\d+$/.test(entry)) continue;
    // Kernel threads have no root to read, and dead processes no more.
    const root = await readlink(join('/proc', entry, 'root')).catch(() => undefined);
    if (root === undefined || (root !== directory && !root.startsWith(`${directory}/`))) continue;
    const program = await readlink(join('/proc', entry, 'exe')).catch(() => entry);
    found.push({ pid: Number(entry), name: program.replace(directory, '') });
  }
  return found;
}
