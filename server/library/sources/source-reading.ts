import { TinsmithError } from '#proto/errors.ts';
import { tarContent } from '#transfer/archive/tar-content.ts';
import { isTar } from '#transfer/archive/tar-parser.ts';
import { withContentCoding } from '#transfer/content-coding.ts';
import { decodeStream } from '#transfer/decode-stream.ts';
import type { DiskImage, SeekableFile } from '#transfer/disk-images/disk-image.ts';
import { needsRanges, openDiskImage } from '#transfer/disk-images/open-disk-image.ts';
import { recognizeCompression, recognizeFormat } from '#transfer/image-format.ts';
import type { SourceCheck, SourceSum } from '../checks/source-check.ts';
import type { ImagePiece } from '../image-piece.ts';
import { type Peeked, peek } from './peek.ts';
import { type ExtentGroup, groupExtents, readExtents } from './read-extents.ts';
import type { SourceFile } from './source-file.ts';
import { spool } from './spool.ts';
import { withoutVhdFooter } from './vhd-footer.ts';

/** What the bytes pass on their way. */
export interface SourceReadingOptions {
  readonly signal: AbortSignal;
  readonly checks: readonly SourceCheck[];
  /** Told of all bytes, if they are read in order; it makes nothing be read that would not be. */
  readonly sum?: SourceSum;
  /** Folder for files that can be read only when all of them is there. */
  readonly scratch: string;
  readonly progress?: (bytes: number, totalBytes: number | undefined) => void;
}

/** More is no disk that anybody has, and its zeros would be summed up for hours. */
const MOST_BYTES = 2 ** 44;
/** Wrapped more often than this is no mistake of a publisher. */
const MOST_WRAPS = 4;
/** A remote file in more pieces than these for each MiB is fetched as a whole: every request costs a connection. */
const REQUESTS_PER_MIB = 0.5;
const FEW_REQUESTS = 64;
const RUN_BYTES = 64 << 20;

/** Reads a file once and gives the image that is in it. */
export class SourceReading {
  /** Done: of the file as it streams by, and of the disk that the tables of an image describe. */
  bytes = 0;
  totalBytes: number | undefined;
  readonly #file: SourceFile;
  readonly #options: SourceReadingOptions;
  #isChecked: boolean;

  constructor(file: SourceFile, options: SourceReadingOptions) {
    this.#file = file;
    this.#options = options;
    this.#isChecked = options.checks.length === 0;
    this.totalBytes = file.totalBytes;
  }

  async *image(): AsyncGenerator<ImagePiece> {
    const peeked = await peek(this.#checked());
    if (needsRanges(peeked.start)) yield* this.#tables(peeked);
    else yield* this.#unwrap(peeked.all, 0);
    await this.#file.requireUnchanged();
    if (!this.#isChecked) throw new TinsmithError('internal', `${this.#file.shown} was not read to its end`);
  }

  /** The file as it is. */
  async *#checked(): AsyncGenerator<Uint8Array> {
    const { signal, checks, sum } = this.#options;
    sum?.begin();
    for await (const bytes of this.#file.stream()) {
      signal.throwIfAborted();
      for (const check of checks) await check.update(bytes);
      sum?.update(bytes);
      this.#count(bytes.length);
      yield bytes;
    }
    await this.#finish();
    sum?.finish();
    this.#isChecked = true;
  }

  async #finish(): Promise<void> {
    try {
      for (const check of this.#options.checks) await check.finish();
    } catch (thrown) {
      throw withContentCoding(thrown, this.#file.contentCoding);
    }
  }

  /** Decodes layer after layer until the image is there. */
  async *#unwrap(stream: AsyncIterable<Uint8Array>, wraps: number): AsyncGenerator<ImagePiece> {
    const peeked = await peek(stream);
    const { start, all } = peeked;
    if (needsRanges(start)) {
      yield* this.#spooled(all);
    } else if (recognizeCompression(start) === undefined && !isTar(start)) {
      recognizeFormat(start);
      yield* withoutVhdFooter(all, LIMIT);
    } else if (wraps < MOST_WRAPS) {
      yield* this.#unwrap(isTar(start) ? tarContent(all) : decodeStream(all), wraps + 1);
    } else {
      await peeked.close();
      throw new TinsmithError('corrupt_image', `the image is wrapped up more than ${MOST_WRAPS} times: unpack it`);
    }
  }

  /** A format with tables, which is read in places. */
  async *#tables({ start, all, ...peeked }: Peeked): AsyncGenerator<ImagePiece> {
    const { isLocal } = this.#file;
    const hasChecks = this.#options.checks.length > 0;
    // What was checked is what is read: a server could give another file the next time, also where it is a short one.
    if (hasChecks && !isLocal) {
      yield* this.#spooled(all);
      return;
    }
    // What was read so far says only what it is.
    if (!hasChecks) {
      await peeked.close();
      this.bytes = 0;
      this.totalBytes = undefined;
    } else {
      for await (const _ of all) this.#options.signal.throwIfAborted();
    }
    const seekable = await this.#file.seekable();
    const image = seekable && (await openTables(seekable, start));
    const groups = image === undefined ? [] : groupExtents(image);
    if (seekable === undefined || image === undefined || (!isLocal && isScattered(groups))) {
      this.totalBytes = this.#file.totalBytes;
      yield* this.#spooled(this.#checked());
      return;
    }
    if (image.dataFile === undefined) yield* this.#extents(image, groups, seekable);
    else yield* this.#dataBeside(image.dataFile, image, groups);
  }

  async *#spooled(stream: AsyncIterable<Uint8Array>): AsyncGenerator<ImagePiece> {
    await using kept = await spool(stream, this.#options.scratch);
    const start = await kept.file.read(0, Math.min(65_536, kept.file.sizeBytes));
    const image = await openTables(kept.file, start);
    if (image.dataFile !== undefined) throw inSeveralFiles(image, 'and comes alone here');
    yield* this.#extents(image, groupExtents(image), kept.file);
  }

  /** As a descriptor that says where the data is. A sum of it would say nothing about the data. */
  async *#dataBeside(name: string, image: DiskImage, groups: readonly ExtentGroup[]): AsyncGenerator<ImagePiece> {
    if (this.#options.checks.length > 0)
      throw inSeveralFiles(image, 'which no sum or signature of the first one covers');
    await using beside = await this.#file.beside(name);
    const seekable = await beside.seekable();
    const end = Math.max(0, ...image.extents.map(({ fileOffset, fileBytes }) => fileOffset + fileBytes));
    if (seekable === undefined) throw inSeveralFiles(image, 'and its server gives only whole files');
    if (end > seekable.sizeBytes) {
      const fact = `its file ${name} has ${seekable.sizeBytes} bytes instead of ${end}`;
      throw new TinsmithError('corrupt_image', `the ${image.format} image is damaged: ${fact}`);
    }
    yield* this.#extents(image, groups, seekable);
    await beside.requireUnchanged();
  }

  async *#extents(image: DiskImage, groups: readonly ExtentGroup[], file: SeekableFile): AsyncGenerator<ImagePiece> {
    this.totalBytes = this.bytes + image.virtualBytes;
    for await (const piece of readExtents(image, groups, file)) {
      for (const part of shortRuns(piece)) {
        this.#options.signal.throwIfAborted();
        yield part;
        this.#count('zeros' in part ? part.zeros : part.length);
      }
    }
  }

  #count(bytes: number): void {
    this.bytes += bytes;
    this.#options.progress?.(this.bytes, this.totalBytes);
  }
}

/** Long runs of zeros in parts, so that it can be seen how far one is: their sum takes its time. */
function* shortRuns(piece: ImagePiece): Generator<ImagePiece> {
  if (!('zeros' in piece)) yield piece;
  else for (let left = piece.zeros; left > 0; left -= RUN_BYTES) yield { zeros: Math.min(left, RUN_BYTES) };
}

const LIMIT = {
  requireFits(virtualBytes: number): void {
    if (virtualBytes <= MOST_BYTES) return;
    const sentence = `the image describes a disk of ${virtualBytes} bytes, and ${MOST_BYTES} are the most that an image may have`;
    throw new TinsmithError('unsupported', sentence);
  },
};

/** Of a file that began like a disk image. */
async function openTables(file: SeekableFile, start: Buffer): Promise<DiskImage> {
  const image = await openDiskImage(file, start, LIMIT);
  if (image !== undefined) return image;
  throw new TinsmithError('corrupt_image', 'the disk image is cut short: the footer at its end is missing');
}

function isScattered(groups: readonly ExtentGroup[]): boolean {
  const mib = groups.reduce((sum, { start, end }) => sum + end - start, 0) / (1 << 20);
  return groups.length > FEW_REQUESTS + mib * REQUESTS_PER_MIB;
}

function inSeveralFiles({ format, dataFile }: DiskImage, fact: string): TinsmithError {
  const fix = 'convert it with qemu-img convert -O qcow2';
  const sentence = `cannot import the ${format} image: its data is in the file ${dataFile}, ${fact}: ${fix}`;
  return new TinsmithError('unsupported', sentence);
}
