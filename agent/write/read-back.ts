import { TinsmithError } from '#proto/errors.ts';
import type { Disk } from '../machine/machine.ts';
import { END_BYTES, type ImageEnds, middleOf } from './disk-ends.ts';
import type { WrittenPiece } from './disk-writer.ts';
import type { WriteMemory } from './write-memory.ts';
import { isZeros } from './zeros.ts';

/** Whom reading back tells, and who ends it. */
export interface ReadBackEvents {
  readonly signal: AbortSignal;
  /** After every piece. */
  readonly readBack?: (progress: { readonly done: number; readonly total: number }) => void;
}

/** What it reads into and sums up with. */
export interface ReadBackMemory {
  /** Aligned, of `PIECE_BYTES`: one for each read in flight. */
  readonly buffers: readonly Buffer[];
  readonly sums: Pick<WriteMemory, 'sha256'>;
}

/**
 * Reads a whole image back from the disk and compares it with the sums of what was meant to be written. The ends, which are not on the
 * disk yet, are taken from memory; whoever writes them reads them back. The disk is flushed and opened past the page cache, so it is
 * the disk that answers. Throws `write_failed`.
 */
export async function readBack(
  disk: Disk,
  { head, tail, bytes, pieces }: ImageEnds & { readonly pieces: Iterable<WrittenPiece> },
  { buffers, sums }: ReadBackMemory,
  events: ReadBackEvents,
): Promise<void> {
  const left = pieces[Symbol.iterator]();
  let done = 0;
  const work = async (memory: Buffer): Promise<void> => {
    for (let next = left.next(); next.done !== true; next = left.next()) {
      const piece = next.value;
      events.signal.throwIfAborted();
      const found = await readPiece(disk, { head, tail }, piece, memory);
      const isSame = piece.sha256 === undefined ? isZeros(found) : (await sums.sha256(found)) === piece.sha256;
      if (!isSame) throw differs(disk, piece);
      done += piece.imageBytes;
      events.readBack?.({ done, total: bytes });
    }
  };
  const results = await Promise.allSettled(buffers.map(work));
  for (const result of results) if (result.status === 'rejected') throw result.reason;
}

/** Into `memory`, which is aligned. What belongs into an end of the disk is taken from there. */
export async function readPiece(
  disk: Disk,
  { head, tail }: Pick<ImageEnds, 'head' | 'tail'>,
  { imageOffset, imageBytes }: Pick<WrittenPiece, 'imageOffset' | 'imageBytes'>,
  memory: Buffer,
): Promise<Buffer> {
  const block = disk.logicalBlockBytes;
  const padded = Math.ceil(imageBytes / block) * block;
  const tailOffset = disk.sizeBytes - END_BYTES;
  const { from, to } = middleOf(disk, imageOffset, padded);
  if (to > from) await disk.read(memory.subarray(from, to), imageOffset + from);
  if (from > 0) head.copy(memory, 0, imageOffset, imageOffset + from);
  if (to < padded) tail.copy(memory, to, imageOffset + to - tailOffset, imageOffset + padded - tailOffset);
  return memory.subarray(0, imageBytes);
}

function differs(disk: Disk, { imageOffset, imageBytes }: WrittenPiece): TinsmithError {
  const range = `bytes ${imageOffset} to ${imageOffset + imageBytes - 1}`;
  const fact = `${range} read back differently from what was written: the disk is faulty`;
  return new TinsmithError('write_failed', `cannot trust ${disk.device}: ${fact}`);
}
