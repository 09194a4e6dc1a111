import { TinsmithError } from '#proto/errors.ts';
import { noDisk, noDiskWarning } from '#transfer/no-disk.ts';
import {
  type PartitionTable,
  readGptHeader,
  readPartitionTable,
  requireNoDamagedGpt,
  requireWhole,
} from '#transfer/partition-table.ts';
import type { ImagePiece } from './image-piece.ts';

/** Where a partition table lies; machines read it from as much. */
const HEAD_BYTES = 1 << 20;

/**
 * Passes an image on, and refuses what machines would refuse when all of it was written: a partition table that is damaged, or that says
 * that partitions lie behind the image's end. An image without a table passes; `warn` hears, before the end, of one that looks like no
 * disk at all. Throws `corrupt_image`.
 */
export async function* requireWholeImage(
  image: AsyncIterable<ImagePiece>,
  warn: (warning: string) => void,
): AsyncGenerator<ImagePiece> {
  const head = Buffer.alloc(HEAD_BYTES);
  let bytes = 0;
  let start: ImageStart | undefined;
  for await (const piece of image) {
    const length = 'zeros' in piece ? piece.zeros : piece.length;
    if (bytes < HEAD_BYTES) {
      if (!('zeros' in piece)) head.set(piece.subarray(0, HEAD_BYTES - bytes), bytes);
      if (bytes + length >= HEAD_BYTES) start = startOf(head, HEAD_BYTES);
    }
    bytes += length;
    yield piece;
  }
  const { table, doubt } = start ?? startOf(head, bytes);
  if (doubt !== undefined && bytes % 512 !== 0) {
    const fact = `it has ${bytes} bytes, no multiple of 512, and ${doubt}`;
    throw new TinsmithError('corrupt_image', `the image is cut short, or none at all: ${fact}`);
  }
  requireWhole(table, bytes);
  if (doubt !== undefined && bytes > 0) {
    warn(`it ${noDiskWarning(doubt)}`);
  }
}

/** What is known of an image by its first bytes. */
interface ImageStart {
  readonly table: PartitionTable | undefined;
  /** See `noDisk`. */
  readonly doubt: string | undefined;
}

/** Behind `bytes` the head is zeros. */
function startOf(head: Buffer, bytes: number): ImageStart {
  const table = tableIn(head);
  return { table, doubt: table === undefined ? noDisk(head.subarray(0, bytes)) : undefined };
}

/** It may be made for disks with blocks of either size. What an MBR counts in it does not say: the smaller ones refuse nothing that is whole. */
function tableIn(head: Buffer): PartitionTable | undefined {
  const isFor4k = readGptHeader(head, 512) === undefined && readGptHeader(head, 4096) !== undefined;
  const table = readPartitionTable(head, isFor4k ? 4096 : 512);
  if (table === undefined) requireNoDamagedGpt(head);
  return table;
}
