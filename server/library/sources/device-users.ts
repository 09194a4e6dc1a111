import { readdir, readFile, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { numberText } from './device-writes.ts';

/** Who has a block device; the first of them that counts. */
export type DeviceUse =
  | { readonly kind: 'none' }
  /** Mounted, and nobody writes to it. */
  | { readonly kind: 'read' }
  /** With the fix. */
  | { readonly kind: 'write'; readonly fact: string };

interface Mount {
  readonly number: string;
  readonly source: string;
  readonly place: string;
  readonly isWritable: boolean;
}

/** `folders`: in /sys, of a device and its partitions. Only mounts of this namespace are seen. */
export async function deviceUse(folders: readonly string[]): Promise<DeviceUse> {
  const names = new Map<string, string>();
  for (const folder of folders) names.set((await readFile(join(folder, 'dev'), 'utf8')).trim(), basename(folder));
  const mounts = await mountsOf(names);
  const writable = mounts.find(({ isWritable }) => isWritable);
  const fact = (writable && mountedFact(writable)) ?? (await swapFact(names)) ?? (await holderFact(folders));
  if (fact !== undefined) return { kind: 'write', fact };
  return { kind: mounts.length > 0 ? 'read' : 'none' };
}

/** `names`: of devices, by their numbers. */
async function mountsOf(names: ReadonlyMap<string, string>): Promise<readonly (Mount & { readonly name: string })[]> {
  const mounts = parseMounts(await readFile('/proc/self/mountinfo', 'utf8'));
  // A file system on several devices has a number of its own, and names one of them.
  const found = mounts.map(async (mount) => {
    const name = names.get(mount.number) ?? names.get((await numberOf(mount.source)) ?? '');
    return name === undefined ? [] : [{ ...mount, name }];
  });
  return (await Promise.all(found)).flat();
}

function mountedFact({ name, place }: { readonly name: string; readonly place: string }): string {
  const fix = `unmount it, or mount it read-only (mount -o remount,ro ${place})`;
  return `/dev/${name} is mounted on ${place} and may be written to: ${fix}`;
}

async function swapFact(names: ReadonlyMap<string, string>): Promise<string | undefined> {
  const numbers = await Promise.all((await swaps()).map(numberOf));
  const [name] = numbers.flatMap((number) => names.get(number ?? '') ?? []);
  return name === undefined ? undefined : `/dev/${name} is swap space: end that with swapoff /dev/${name}`;
}

async function holderFact(folders: readonly string[]): Promise<string | undefined> {
  for (const folder of folders) {
    const [holder] = await readdir(join(folder, 'holders')).catch(() => []);
    if (holder !== undefined) return `/dev/${basename(folder)} belongs to /dev/${holder}: import that one, or stop it`;
  }
  return undefined;
}

/** Of /proc/self/mountinfo, proc(5). */
export function parseMounts(mountinfo: string): readonly Mount[] {
  return mountinfo.split('\n').flatMap((line) => {
    const [place, system] = line.split(' - ').map((part) => part.split(' '));
    const [, , number, , mounted] = place ?? [];
    const [, source, options] = system ?? [];
    if (number === undefined || mounted === undefined || source === undefined || options === undefined) return [];
    // The mount itself may be read-only where another one of the same file system is not.
    const isWritable = options.split(',').includes('rw');
    return [{ number, source: unescaped(source), place: unescaped(mounted), isWritable }];
  });
}

async function swaps(): Promise<readonly string[]> {
  const [, ...lines] = (await readFile('/proc/swaps', 'utf8').catch(() => '')).split('\n');
  return lines.map((line) => unescaped(line.split(/\s/)[0] ?? ''));
}

/** Undefined: it is no block device. */
async function numberOf(path: string): Promise<string | undefined> {
  // A file of another host might be waited for.
  if (!path.startsWith('/dev/')) return undefined;
  const stats = await stat(path, { bigint: true }).catch(() => undefined);
  return stats?.isBlockDevice() === true ? numberText(stats.rdev) : undefined;
}

/** Blanks and the like stand there as their octal numbers. */
function unescaped(text: string): string {
  return text.replaceAll(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 8)));
}
