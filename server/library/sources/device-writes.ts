import { readdir, readFile, realpath } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';

/** What differs between two looks at a block device that somebody wrote to in between, or that was exchanged. */
export interface DeviceMark {
  /** Written and discarded, of 512 bytes, since the kernel knows it. */
  readonly sectors: number;
  /** The same of its disk beside all of its partitions, for a partition; undefined: they change too fast to tell. */
  readonly diskSectors: number | undefined;
  /** In sectors. */
  readonly size: string;
  /** Of the medium, or what lies behind the device. */
  readonly sequence: string;
}

/** Other partitions may be written to while their counts are added up. */
const TRIES = 20;
/** Columns of Documentation/block/stat.rst. */
const [WRITTEN, DISCARDED] = [6, 13];

/** The folder in /sys of the device with a number as stat(2) gives it. */
export async function deviceFolder(rdev: bigint): Promise<string> {
  return realpath(`/sys/dev/block/${numberText(rdev)}`);
}

/** `major:minor`. */
export function numberText(rdev: bigint): string {
  // As glibc puts them together, makedev(3).
  const major = ((rdev >> 8n) & 0xfffn) | ((rdev >> 32n) & 0xfffff000n);
  const minor = (rdev & 0xffn) | ((rdev >> 12n) & 0xffffff00n);
  return `${major}:${minor}`;
}

/** Of a folder in /sys: that of the disk, which is the same for one that is no partition. */
export async function diskFolder(folder: string): Promise<string> {
  return (await readdir(folder)).includes('partition') ? dirname(folder) : folder;
}

/** Folders of the partitions of a disk. */
export async function partitionFolders(disk: string): Promise<readonly string[]> {
  const folders = (await readdir(disk))
    .filter((name) => name.startsWith(basename(disk)))
    .map((name) => join(disk, name));
  const parents = await Promise.all(folders.map((folder) => diskFolder(folder).catch(() => folder)));
  return folders.filter((folder, index) => parents[index] !== folder);
}

/** Why writes to the device cannot be seen, with the fix; undefined: they can. */
export async function whyUncounted(folder: string): Promise<string | undefined> {
  const switchFile = join(await diskFolder(folder), 'queue/iostats');
  const isCounted = await readFile(switchFile, 'utf8').catch(() => '1');
  return isCounted.trim() === '0' ? `its statistics are off: switch them on with echo 1 > ${switchFile}` : undefined;
}

/** Throws the system's error where the kernel counts nothing of it. */
export async function deviceMark(folder: string): Promise<DeviceMark> {
  const disk = await diskFolder(folder);
  return {
    sectors: await sectorsOf(folder),
    diskSectors: disk === folder ? 0 : await sectorsBeside(disk),
    size: await readLine(join(folder, 'size')),
    // Kernels before 5.15 have none.
    sequence: await readLine(join(disk, 'diskseq')).catch(() => ''),
  };
}

/** What happened to the device between two marks; undefined: nothing. */
export function changeBetween(before: DeviceMark, after: DeviceMark): string | undefined {
  if (before.sequence !== after.sequence) return 'what lies behind it was exchanged';
  if (before.size !== after.size) return `it had ${before.size} sectors and has ${after.size} now`;
  const written = after.sectors - before.sectors;
  if (written !== 0) return `${written} sectors of 512 bytes were written to it`;
  if (before.diskSectors === undefined || after.diskSectors === undefined) return undefined;
  const beside = after.diskSectors - before.diskSectors;
  return beside === 0
    ? undefined
    : `${beside} sectors of 512 bytes were written to its disk, outside of any partition’s name`;
}

/** What was written to a disk by its own name: its count has those of its partitions in it. */
async function sectorsBeside(disk: string): Promise<number | undefined> {
  const partitions = await partitionFolders(disk);
  const sum = async (): Promise<number> =>
    (await Promise.all(partitions.map(sectorsOf))).reduce((all, sectors) => all + sectors, 0);
  for (let tries = 0; tries < TRIES; tries++) {
    const before = await sum();
    const all = await sectorsOf(disk);
    if ((await sum()) === before) return all - before;
  }
  return undefined;
}

async function sectorsOf(folder: string): Promise<number> {
  const columns = (await readFile(join(folder, 'stat'), 'latin1')).trim().split(/\s+/).map(Number);
  // Kernels before 4.18 do not count what is discarded.
  return (columns[WRITTEN] ?? Number.NaN) + (columns[DISCARDED] ?? 0);
}

async function readLine(file: string): Promise<string> {
  return (await readFile(file, 'utf8')).trim();
}
