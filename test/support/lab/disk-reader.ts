import { open } from 'node:fs/promises';
import { runProgram } from '#images/packages/run-program.ts';

const SECTOR = 512;

/** One row of a disk image's GPT. */
export interface DiskPartition {
  readonly number: number;
  readonly firstSector: number;
  readonly name: string;
}

/** The partitions of a raw disk image by its primary GPT, in the table's order. @throws Error when there is none. */
export async function listPartitions(image: string): Promise<readonly DiskPartition[]> {
  await using handle = await open(image);
  const { buffer } = await handle.read(Buffer.alloc(34 * SECTOR), 0, 34 * SECTOR, 0);
  if (buffer.toString('latin1', SECTOR, SECTOR + 8) !== 'EFI PART') throw new Error(`${image} has no GPT`);
  const partitions: DiskPartition[] = [];
  for (let number = 1; number <= 128; number += 1) {
    const entry = buffer.subarray((2 + (number - 1) / 4) * SECTOR, (2 + number / 4) * SECTOR);
    const firstSector = Number(entry.readBigUInt64LE(32));
    const name = entry.toString('utf16le', 56, 128).replace(/\0.*$/s, '');
    if (firstSector !== 0) partitions.push({ number, firstSector, name });
  }
  return partitions;
}

/**
 * Reads a file out of an ext4 partition of a raw disk image, without mounting anything. The machine should be off: what it
 * has not written yet is not there.
 * @throws Error when partition or file are missing.
 */
export async function readFileFromDisk(image: string, partition: number, path: string): Promise<Buffer> {
  const start = (await listPartitions(image)).find(({ number }) => number === partition)?.firstSector;
  if (start === undefined) throw new Error(`${image} has no partition ${partition}`);
  const device = `${image}?offset=${start * SECTOR}`;
  const found = await runProgram(['debugfs', '-R', `stat ${path}`, device]);
  if (!found.includes('Inode:')) throw new Error(`partition ${partition} of ${image} holds no ${path}`);
  return Buffer.from(await runProgram(['debugfs', '-R', `cat ${path}`, device], { encoding: 'latin1' }), 'latin1');
}

/** Mode and owner of a file in an ext4 partition, as `0644 0:0`. @throws Error when it is missing. */
export async function statFileOnDisk(image: string, partition: number, path: string): Promise<string> {
  const start = (await listPartitions(image)).find(({ number }) => number === partition)?.firstSector;
  if (start === undefined) throw new Error(`${image} has no partition ${partition}`);
  const found = await runProgram(['debugfs', '-R', `stat ${path}`, `${image}?offset=${start * SECTOR}`]);
  const [, mode, uid, gid] = /Mode: +(\d+)[\s\S]*?User: +(\d+) +Group: +(\d+)/.exec(found) ?? [];
  if (mode === undefined) throw new Error(`partition ${partition} of ${image} holds no ${path}`);
  return `${mode} ${uid}:${gid}`;
}
