import { TinsmithError } from '#proto/errors.ts';
import { withContentCoding } from '#transfer/content-coding.ts';
import { cutExtents } from '#transfer/disk-images/cut-extents.ts';
import type { DiskImage, Extent } from '#transfer/disk-images/disk-image.ts';
import { decodeExtent } from '#transfer/disk-images/extent-decoder.ts';
import { needsRanges, openDiskImage } from '#transfer/disk-images/open-disk-image.ts';
import { RangedFile } from '#transfer/ranged-file.ts';
import type { Disk } from '../../machine/machine.ts';
import { DiskEnds, END_BYTES, tooSmall } from '../disk-ends.ts';
import { FrameStore } from '../library/frame-store.ts';
import { type ImageRequest, type WriteEvents, writeImage } from '../write-image.ts';
import { WriteMemory } from '../write-memory.ts';
import { type PlacedFile, SummedFile } from './summed-file.ts';

/** As for a streamed image; of a decoded one nobody knows a sum. */
export type DiskImageRequest = Omit<ImageRequest, 'rawSha256'>;

/** What was done. */
export interface DiskImageWritten {
  readonly format: string;
  /** Of the disk that the image describes. */
  readonly imageBytes: number;
  /** Of the file, that were asked for beside its tables. */
  readonly fetchedBytes: number;
  readonly partitions: readonly number[];
}

/** With one request; what nobody wants is read through in between when it is little. */
const REQUEST_BYTES = 8 << 20;
const GAP_BYTES = 256 << 10;
/** One write. */
const PIECE_BYTES = 4 << 20;
/** Requests under way at once, each with memory for what it fetches and what it writes: 36 MiB. */
const SLOTS = 3;
const ZERO_BYTES = 1 << 30;

/**
 * Writes a disk image in a format with tables (qcow2, VMDK, VHDX, VHD, VDI) to a disk: its tables are read first and checked, then what
 * is allocated is fetched in the order of the file, several requests at once; everything else is made zeros. Both ends of the disk
 * come last. A raw or compressed image is streamed as by `writeImage`. Throws TinsmithError; after the first byte was written the ends
 * of the disk are zeros then.
 */
export async function writeDiskImage(
  disk: Disk,
  request: DiskImageRequest,
  events: WriteEvents,
): Promise<DiskImageWritten> {
  const file = await RangedFile.open({ ...request, ...events });
  if (!file.hasRanges && needsRanges(file.start)) {
    const sentence =
      'the server gives only whole files and this image has to be read in places: use a server with ranges';
    throw new TinsmithError('download_failed', `cannot fetch the image: ${sentence}`);
  }
  const requireFits = (virtualBytes: number): void => {
    if (virtualBytes > disk.sizeBytes) throw tooSmall(disk, `has ${virtualBytes}`);
  };
  const image = file.hasRanges ? await openDiskImage(file, file.start, { requireFits }) : undefined;
  if (image === undefined) {
    const written = await writeImage(disk, request, events);
    return { ...written, fetchedBytes: written.imageBytes };
  }
  refuseUnaligned(disk, image);
  if (request.sha256 === undefined) {
    return writeExtents(disk, image, await openDataFile(image, file, request, events), events);
  }
  refuseDataBeside(image);
  const summed = await checked(file, request.sha256, events);
  // Its tables, too, are read anew: those from before say what they like.
  const start = await summed.read(0, file.start.length);
  const same = await openDiskImage(summed, start, { requireFits });
  if (same === undefined) throw new TinsmithError('corrupt_image', 'the image changed while it was read');
  refuseDataBeside(same);
  refuseUnaligned(disk, same);
  return writeExtents(disk, same, summed, events);
}

function refuseDataBeside({ format, dataFile }: DiskImage): void {
  if (dataFile === undefined) return;
  const fact = `its data is in ${dataFile}, which IMG_SHA256 of the descriptor says nothing about`;
  throw new TinsmithError('unsupported', `cannot check the ${format} image: ${fact}: convert it to one file`);
}

/** The file that holds the data: the same one, or one that lies beside it. */
async function openDataFile(
  image: DiskImage,
  file: RangedFile,
  request: DiskImageRequest,
  events: WriteEvents,
): Promise<RangedFile> {
  if (image.dataFile === undefined) return file;
  const beside = await RangedFile.open({
    ...request,
    ...events,
    url: new URL(encodeURIComponent(image.dataFile), request.url).href,
  });
  const end = Math.max(...image.extents.map(({ fileOffset, fileBytes }) => fileOffset + fileBytes));
  if (beside.hasRanges && end <= beside.sizeBytes) return beside;
  const fact = beside.hasRanges
    ? `has ${beside.sizeBytes} bytes instead of ${end}`
    : 'comes from a server without ranges';
  throw new TinsmithError('corrupt_image', `the ${image.format} image is damaged: its file ${image.dataFile} ${fact}`);
}

/** Clusters smaller than the disk's blocks could only be written by reading first. No tool makes them unless it is told to. */
function refuseUnaligned(disk: Disk, { format, granularity, virtualBytes }: DiskImage): void {
  if (virtualBytes === 0) throw new TinsmithError('corrupt_image', 'the image is empty');
  if (granularity % disk.logicalBlockBytes === 0) return;
  const fact = `its clusters have ${granularity} bytes and the blocks of ${disk.device} have ${disk.logicalBlockBytes}`;
  throw new TinsmithError('device_unfit', `cannot write the ${format} image: ${fact}: convert it with larger clusters`);
}

/** The whole file, before anything is touched: ranges of it prove nothing. It is downloaded once more for that. */
async function checked(file: RangedFile, expected: string, { signal, log }: WriteEvents): Promise<SummedFile> {
  if (!file.hasValidator) {
    const fix = 'use a server that gives an ETag or Last-Modified, or leave out IMG_SHA256';
    throw new TinsmithError(
      'download_failed',
      `the server does not say whether the checked file is the written one: ${fix}`,
    );
  }
  log('reading the whole file for IMG_SHA256');
  const memory = Buffer.allocUnsafeSlow(REQUEST_BYTES);
  return SummedFile.check(file, expected, { memory, signal }).catch((thrown: unknown) => {
    throw withContentCoding(thrown, file.contentCoding);
  });
}

async function writeExtents(
  disk: Disk,
  image: DiskImage,
  file: PlacedFile,
  events: WriteEvents,
): Promise<DiskImageWritten> {
  const ends = new DiskEnds(disk);
  const run = new ExtentRun(disk, image, file, events);
  try {
    await run.readHead();
    ends.check(run.store.head);
    await ends.wipe();
    await run.writeAll();
    events.signal.throwIfAborted();
    await disk.flush();
    const partitions = await ends.commit({ ...run.ends, bytes: image.virtualBytes }, events.log);
    return { format: image.format, imageBytes: image.virtualBytes, fetchedBytes: run.fetchedBytes, partitions };
  } catch (thrown) {
    await ends.wipeAgain();
    throw thrown;
  }
}

interface Slot {
  readonly fetched: Buffer;
  readonly piece: Buffer;
}

class ExtentRun {
  readonly store: FrameStore;
  fetchedBytes = 0;
  readonly #image: DiskImage;
  readonly #file: PlacedFile;
  readonly #events: WriteEvents;
  readonly #groups: readonly (readonly Extent[])[];
  readonly #slots: readonly Slot[];
  readonly #totalBytes: number;
  #next = 0;
  #isFailed = false;
  #writtenBytes = 0;

  constructor(disk: Disk, image: DiskImage, file: PlacedFile, events: WriteEvents) {
    const memory = new WriteMemory();
    this.store = new FrameStore(disk, memory);
    this.#image = image;
    this.#file = file;
    this.#events = events;
    this.#groups = groupsOf(image.extents);
    this.#totalBytes = this.#groups.reduce((sum, group) => sum + spanOf(group).bytes, 0);
    this.#slots = memory.aligned(SLOTS, PIECE_BYTES).map((piece) => ({
      piece,
      fetched: Buffer.allocUnsafeSlow(REQUEST_BYTES),
    }));
  }

  get ends(): { readonly head: Buffer; readonly tail: Buffer } {
    return { head: this.store.head, tail: this.store.tail };
  }

  /** What belongs into the first MiB: the partition table is looked at before anything is written. */
  async readHead(): Promise<void> {
    const [slot] = this.#slots;
    const pieces = [...cutExtents(this.#image.extents, PIECE_BYTES)];
    const head = pieces.filter(({ diskOffset }) => diskOffset < END_BYTES);
    if (slot === undefined) return;
    for (const extent of head) {
      const coded = slot.fetched.subarray(0, extent.fileBytes);
      await this.#file.readInto(extent.fileOffset, coded);
      const bytes = await decodeExtent(extent, coded);
      bytes.copy(this.store.head, extent.diskOffset, 0, Math.min(bytes.length, END_BYTES - extent.diskOffset));
    }
  }

  async writeAll(): Promise<void> {
    const zeros = this.#writeZeros().catch((thrown: unknown) => {
      this.#isFailed = true;
      throw thrown;
    });
    const work = this.#slots.map((slot) => this.#work(slot));
    for (const result of await Promise.allSettled([zeros, ...work])) {
      if (result.status === 'rejected') throw result.reason;
    }
  }

  async #work(slot: Slot): Promise<void> {
    try {
      for (let group = this.#take(); group !== undefined; group = this.#take()) {
        const { start, bytes } = spanOf(group);
        const fetched = slot.fetched.subarray(0, bytes);
        await this.#file.readInto(start, fetched);
        for (const extent of group) {
          const coded = fetched.subarray(extent.fileOffset - start, extent.fileOffset - start + extent.fileBytes);
          await this.#put(extent, await decodeExtent(extent, coded), slot.piece);
        }
        this.fetchedBytes += bytes;
        this.#tell();
      }
    } catch (thrown) {
      // The others need not go on: what is missing is missing.
      this.#isFailed = true;
      throw thrown;
    }
  }

  #take(): readonly Extent[] | undefined {
    this.#events.signal.throwIfAborted();
    const group = this.#isFailed ? undefined : this.#groups[this.#next];
    this.#next += 1;
    return group;
  }

  async #put(extent: Extent, bytes: Buffer, piece: Buffer): Promise<void> {
    // The last cluster may reach beyond the disk's end.
    const imageBytes = Math.min(bytes.length, this.#image.virtualBytes - extent.diskOffset);
    bytes.copy(piece, 0, 0, imageBytes);
    await this.store.put({ imageOffset: extent.diskOffset, imageBytes }, piece);
    this.#writtenBytes += imageBytes;
  }

  async #writeZeros(): Promise<void> {
    const { signal } = this.#events;
    for (const { from, to } of gapsOf(this.#image)) {
      for (let at = from; at < to && !this.#isFailed; at += ZERO_BYTES) {
        signal.throwIfAborted();
        const imageBytes = Math.min(ZERO_BYTES, to - at);
        await this.store.putZeros([{ imageOffset: at, imageBytes }], signal);
        this.#writtenBytes += imageBytes;
        this.#tell();
      }
    }
  }

  #tell(): void {
    const { progress } = this.#events;
    progress({ format: 'raw', done: this.fetchedBytes, total: this.#totalBytes, written: this.#writtenBytes });
  }
}

/** In the order of the file; neighbours are fetched with one request. */
function groupsOf(extents: readonly Extent[]): readonly (readonly Extent[])[] {
  const groups: Extent[][] = [];
  let end = 0;
  const pieces = [...cutExtents(extents, PIECE_BYTES)];
  for (const extent of pieces.toSorted((a, b) => a.fileOffset - b.fileOffset)) {
    const group = groups.at(-1);
    const start = group?.[0]?.fileOffset ?? 0;
    const reach = Math.max(end, extent.fileOffset + extent.fileBytes);
    if (group !== undefined && extent.fileOffset - end <= GAP_BYTES && reach - start <= REQUEST_BYTES)
      group.push(extent);
    else groups.push([extent]);
    end = groups.at(-1)?.length === 1 ? extent.fileOffset + extent.fileBytes : reach;
  }
  return groups;
}

function spanOf(group: readonly Extent[]): { readonly start: number; readonly bytes: number } {
  const start = group[0]?.fileOffset ?? 0;
  return {
    start,
    bytes: group.reduce((end, { fileOffset, fileBytes }) => Math.max(end, fileOffset + fileBytes), 0) - start,
  };
}

/** What no extent covers. */
function gapsOf({ extents, virtualBytes }: DiskImage): readonly { readonly from: number; readonly to: number }[] {
  const gaps: { from: number; to: number }[] = [];
  let at = 0;
  for (const { diskOffset, diskBytes } of extents.toSorted((a, b) => a.diskOffset - b.diskOffset)) {
    if (diskOffset > at) gaps.push({ from: at, to: diskOffset });
    at = diskOffset + diskBytes;
  }
  if (at < virtualBytes) gaps.push({ from: at, to: virtualBytes });
  return gaps;
}
