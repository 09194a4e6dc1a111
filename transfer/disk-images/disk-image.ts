import { TinsmithError } from '#proto/errors.ts';

/** A file that can be read at any place: over HTTP on a machine, from memory in tests. */
export interface SeekableFile {
  readonly sizeBytes: number;
  /** Exactly these bytes. The caller has checked that they lie in the file. */
  read(offset: number, bytes: number): Promise<Buffer>;
}

/** Formats with tables; all else is raw or compressed. */
export type DiskImageFormat = 'qcow2' | 'vmdk' | 'vhdx' | 'vhd' | 'vdi';

/** The image as a disk: what is in no extent reads as zeros. */
export interface DiskImage {
  readonly format: DiskImageFormat;
  readonly virtualBytes: number;
  /** Every extent begins at a multiple of it. */
  readonly granularity: number;
  /** No two overlap on the disk; all lie in the file and on the disk. In no order. */
  readonly extents: readonly Extent[];
  /** Where the data lies when it is not in this file: a name beside it. */
  readonly dataFile?: string;
}

/** A part of the disk that the file has bytes of. */
export interface Extent {
  /** On the disk. The last one of a disk may be cut at its end. */
  readonly diskOffset: number;
  readonly diskBytes: number;
  readonly fileOffset: number;
  /** As many as `diskBytes` when it is not coded; else the most that the coded bytes can be. */
  readonly fileBytes: number;
  readonly coding: Coding;
}

/** `grain`: zlib behind a header of twelve bytes, as in streamOptimized VMDK. */
export type Coding = 'plain' | 'deflate' | 'zstd' | 'grain';

/** What an image may claim to be, before its tables are believed. */
export interface ImageLimit {
  /** Throws when the disk is too small for it. */
  readonly requireFits: (virtualBytes: number) => void;
}

/** More pieces than this take more memory than a small machine has. */
const MOST_EXTENTS = 1_000_000;
/** Tables of a disk of 8 TiB in qcow2's usual clusters. */
const MOST_TABLE_BYTES = 1 << 30;

/** Collects what the tables of an image say, and believes none of it unchecked. */
export class ExtentList {
  readonly extents: Extent[] = [];
  readonly #format: DiskImageFormat;
  readonly #virtualBytes: number;
  readonly #fileBytes: number;

  constructor(format: DiskImageFormat, virtualBytes: number, fileBytes: number) {
    this.#format = format;
    this.#virtualBytes = virtualBytes;
    this.#fileBytes = fileBytes;
  }

  /**
   * `diskOffset` ascends from call to call. What reaches beyond the disk's end is cut; plain neighbours become one.
   * Throws `corrupt_image` for what lies outside of the file.
   */
  add(extent: Extent): void {
    const cut = Math.min(extent.diskBytes, this.#virtualBytes - extent.diskOffset);
    if (cut <= 0) return;
    const isPlain = extent.coding === 'plain';
    const fileBytes = isPlain ? cut : Math.min(extent.fileBytes, this.#fileBytes - extent.fileOffset);
    const end = extent.fileOffset + fileBytes;
    if (extent.fileOffset <= 0 || fileBytes <= 0 || end > this.#fileBytes) {
      throw damaged(
        this.#format,
        `byte ${extent.diskOffset} of the disk would lie at byte ${extent.fileOffset} of a file of ${this.#fileBytes}`,
      );
    }
    const last = this.extents.at(-1);
    if (isPlain && last?.coding === 'plain' && isBehind(last, extent)) {
      const diskBytes = last.diskBytes + cut;
      this.extents[this.extents.length - 1] = { ...last, diskBytes, fileBytes: diskBytes };
      return;
    }
    if (this.extents.length >= MOST_EXTENTS) {
      throw new TinsmithError(
        'unsupported',
        `the ${this.#format} image is in more than ${MOST_EXTENTS} pieces: convert it to a raw image`,
      );
    }
    // Coded extents keep their full length: that is what decodes.
    this.extents.push({ ...extent, diskBytes: isPlain ? cut : extent.diskBytes, fileBytes });
  }
}

function isBehind(last: Extent, next: Extent): boolean {
  return last.fileOffset + last.fileBytes === next.fileOffset && last.diskOffset + last.diskBytes === next.diskOffset;
}

/** Reads a part of the image's own structures. Throws `corrupt_image` when the file does not have it. */
export async function readPart(
  source: SeekableFile,
  format: DiskImageFormat,
  part: { readonly what: string; readonly offset: number; readonly bytes: number },
): Promise<Buffer> {
  const { what, offset, bytes } = part;
  if (bytes > MOST_TABLE_BYTES) throw damaged(format, `its ${what} would have ${bytes} bytes`);
  if (!(offset >= 0 && bytes > 0 && offset + bytes <= source.sizeBytes)) {
    throw damaged(format, `its ${what} would lie at byte ${offset} and the file has ${source.sizeBytes}`);
  }
  return source.read(offset, bytes);
}

/**
 * Reads tables of one size that may lie anywhere, neighbours with one request. Gives them with their offset, by ascending offset; one
 * that is asked for twice is given once.
 */
export async function* readTables(
  source: SeekableFile,
  format: DiskImageFormat,
  tables: { readonly what: string; readonly offsets: Iterable<number>; readonly bytes: number },
): AsyncGenerator<readonly [number, Buffer]> {
  const { what, bytes } = tables;
  const offsets = Array.from(new Set(tables.offsets)).toSorted((a, b) => a - b);
  if (offsets.length * bytes > MOST_TABLE_BYTES) throw damaged(format, `it has ${offsets.length} tables`);
  for (let at = 0; at < offsets.length; ) {
    const start = offsets[at] ?? 0;
    let last = at;
    while (last + 1 < offsets.length && isNear(start, offsets[last] ?? 0, offsets[last + 1] ?? 0, bytes)) last += 1;
    const part = await readPart(source, format, { what, offset: start, bytes: (offsets[last] ?? 0) + bytes - start });
    for (; at <= last; at++) {
      const offset = offsets[at] ?? 0;
      yield [offset, part.subarray(offset - start, offset - start + bytes)];
    }
  }
}

/** One request of at most 4 MiB, without more than 64 KiB in it that nobody asked for. */
function isNear(start: number, last: number, next: number, bytes: number): boolean {
  return next - (last + bytes) <= 65_536 && next + bytes - start <= 4 << 20;
}

/** The image contradicts itself or its file: no program can read it right. */
export function damaged(format: DiskImageFormat, fact: string): TinsmithError {
  return new TinsmithError('corrupt_image', `the ${format} image is damaged: ${fact}`);
}

/** The image may be whole; qemu-img can make sense of it. */
export function unsupported(format: DiskImageFormat, fact: string): TinsmithError {
  const fix = 'convert it with qemu-img convert -O qcow2';
  return new TinsmithError('unsupported', `cannot use the ${format} image: ${fact}: ${fix}`);
}

/** A 64-bit number that JavaScript can hold; what is larger is no place in any file. */
export function bigNumber(value: bigint): number {
  return value > BigInt(Number.MAX_SAFE_INTEGER) ? Number.MAX_SAFE_INTEGER : Number(value);
}
