import { cutExtents } from '#transfer/disk-images/cut-extents.ts';
import type { DiskImage, Extent, SeekableFile } from '#transfer/disk-images/disk-image.ts';
import { decodeExtent } from '#transfer/disk-images/extent-decoder.ts';
import type { ImagePiece } from '../image-piece.ts';

/** Read at once; what nobody wants is read through in between when it is little. */
const READ_BYTES = 4 << 20;
const GAP_BYTES = 256 << 10;
/** Of the disk, from one read: a cluster of zeros is a few coded bytes. */
const GROUP_BYTES = 16 << 20;
/** Reads under way at once. */
const AHEAD = 3;

/** Extents in the disk's order that lie together in the file. */
export interface ExtentGroup {
  readonly start: number;
  readonly end: number;
  readonly extents: readonly Extent[];
}

/** What a disk image describes, in the disk's order; what is in no extent comes as a run of zeros and is not read. */
export async function* readExtents(
  image: DiskImage,
  groups: readonly ExtentGroup[],
  file: SeekableFile,
): AsyncGenerator<ImagePiece> {
  const ahead: Promise<readonly Buffer[]>[] = [];
  let next = 0;
  let at = 0;
  for (const { extents } of groups) {
    for (; next < groups.length && ahead.length < AHEAD; next++) {
      const reading = readGroup(groups[next], file);
      // It is awaited in its turn; until then nobody listens.
      reading.catch(() => undefined);
      ahead.push(reading);
    }
    const decoded = (await ahead.shift()) ?? [];
    for (const [i, { diskOffset }] of extents.entries()) {
      if (diskOffset > at) yield { zeros: diskOffset - at };
      // The last cluster may reach beyond the disk's end.
      const bytes = decoded[i]?.subarray(0, image.virtualBytes - diskOffset) ?? Buffer.alloc(0);
      yield bytes;
      at = diskOffset + bytes.length;
    }
  }
  if (at < image.virtualBytes) yield { zeros: image.virtualBytes - at };
}

async function readGroup(group: ExtentGroup | undefined, file: SeekableFile): Promise<readonly Buffer[]> {
  if (group === undefined) return [];
  const { start, end, extents } = group;
  const read = await file.read(start, end - start);
  return Promise.all(
    extents.map((extent) => {
      const at = extent.fileOffset - start;
      return decodeExtent(extent, read.subarray(at, at + extent.fileBytes));
    }),
  );
}

/** Neighbours on the disk that lie near each other in the file become one read. */
export function groupExtents({ extents }: DiskImage): readonly ExtentGroup[] {
  const groups: { start: number; end: number; bytes: number; diskBytes: number; extents: Extent[] }[] = [];
  const inOrder = extents.toSorted((a, b) => a.diskOffset - b.diskOffset);
  for (const extent of cutExtents(inOrder, READ_BYTES)) {
    const { fileOffset, fileBytes, diskBytes } = extent;
    const last = groups.at(-1);
    const start = Math.min(last?.start ?? fileOffset, fileOffset);
    const end = Math.max(last?.end ?? 0, fileOffset + fileBytes);
    const unwanted = end - start - (last?.bytes ?? 0) - fileBytes;
    const isNear = end - start <= READ_BYTES && unwanted <= GAP_BYTES;
    if (last !== undefined && isNear && last.diskBytes + diskBytes <= GROUP_BYTES) {
      last.extents.push(extent);
      Object.assign(last, { start, end, bytes: last.bytes + fileBytes, diskBytes: last.diskBytes + diskBytes });
    } else {
      groups.push({ start: fileOffset, end: fileOffset + fileBytes, bytes: fileBytes, diskBytes, extents: [extent] });
    }
  }
  return groups;
}
