import { copyFile, open } from 'node:fs/promises';
import { stretchGpt, writeGpt } from '#agent/write/partition-table.ts';
import { readPartitionTable } from '#transfer/partition-table.ts';
import { listPartitions } from './lab/disk-reader.ts';

const MIB = 2 ** 20;
const BLOCK_BYTES = 4096;
const TYPES: Readonly<Record<string, string>> = { 'EFI-SYSTEM': 'c12a7328-f81f-11d2-ba4b-00a0c93ec93b' };
const LINUX = '0fc63daf-8483-4772-8e79-3d69d8477de4';

/**
 * Copies a disk image whose GPT counts blocks of 512 bytes and gives the copy one that counts blocks of 4096, with the same
 * partitions: as an image for 4Kn disks is published. Partitions lie on whole MiB; it starts by UEFI only.
 */
export async function copyForFourK(image: string, target: string): Promise<void> {
  await copyFile(image, target);
  const names = await listPartitions(image);
  await using file = await open(target, 'r+');
  const sizeBytes = (await file.stat()).size;
  const head = (await file.read(Buffer.alloc(MIB), 0, MIB, 0)).buffer;
  const partitions = (readPartitionTable(head, 512)?.partitions ?? []).map(({ number, firstBlock, lastBlock }) => {
    const name = names.find((partition) => partition.number === number)?.name ?? '';
    return {
      type: TYPES[name] ?? LINUX,
      guid: `7e571057-4096-4000-8000-${String(number).padStart(12, '0')}`,
      name,
      firstBlock: (firstBlock * 512) / BLOCK_BYTES,
      lastBlock: ((lastBlock + 1) * 512) / BLOCK_BYTES - 1,
    };
  });
  const [newHead, tail] = [Buffer.alloc(MIB), Buffer.alloc(MIB)];
  writeGpt(newHead, partitions, { guid: '7e571057-4096-4000-8000-0000000000d1', blockBytes: BLOCK_BYTES });
  stretchGpt(newHead, tail, { sizeBytes, blockBytes: BLOCK_BYTES });
  await file.write(newHead, 0, MIB, 0);
  await file.write(tail, 0, MIB, sizeBytes - MIB);
}
