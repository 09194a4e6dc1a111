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
 * that partitions lie behind the image's end. An image without a table passes. Throws `corrupt_image`.
 */
export async function* requireWholeImage(image: AsyncIterable<ImagePiece>): AsyncGenerator<ImagePiece> {
  const head = Buffer.alloc(HEAD_BYTES);
  let bytes = 0;
  let table: PartitionTable | undefined;
  for await (const piece of image) {
    const length = 'zeros' in piece ? piece.zeros : piece.length;
    if (bytes < HEAD_BYTES) {
      if (!('zeros' in piece)) head.set(piece.subarray(0, HEAD_BYTES - bytes), bytes);
      if (bytes + length >= HEAD_BYTES) table = tableIn(head);
    }
    bytes += length;
    yield piece;
  }
  if (bytes < HEAD_BYTES) table = tableIn(head);
  requireWhole(table, bytes);
}

/** It may be made for disks with blocks of either size. What an MBR counts in it does not say: the smaller ones refuse nothing that is whole. */
function tableIn(head: Buffer): PartitionTable | undefined {
  const isFor4k = readGptHeader(head, 512) === undefined && readGptHeader(head, 4096) !== undefined;
  const table = readPartitionTable(head, isFor4k ? 4096 : 512);
  if (table === undefined) requireNoDamagedGpt(head);
  return table;
}
