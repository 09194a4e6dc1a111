import { createHash, type Hash } from 'node:crypto';
import type { ProxyParams } from '#proto/actions/proxy.ts';
import { TinsmithError } from '#proto/errors.ts';
import { readBatches } from '#transfer/batch-reader.ts';
import { decoders } from '#transfer/decoders.ts';
import { Download, type DownloadAccess, type DownloadTiming } from '#transfer/download.ts';
import { RestartDownloadError } from '#transfer/download-errors.ts';
import { type ImageFormat, recognizeCompression, recognizeFormat, zstdContentBytes } from '#transfer/image-format.ts';
import type { ImageSink } from '#transfer/image-sink.ts';
import type { Disk } from '../machine/machine.ts';
import { DiskEnds } from './disk-ends.ts';
import { DiskWriter, tooSmall } from './disk-writer.ts';
import { type ReadBackEvents, readBack } from './read-back.ts';

export interface ImageRequest {
  readonly url: string;
  readonly proxy: ProxyParams;
  /** Lower-case hex, of the downloaded bytes. */
  readonly sha256?: string;
  /** Who says so; default: the variable of the action. */
  readonly sha256From?: string;
  /** Lower-case hex, of the image. */
  readonly rawSha256?: string;
  /** Whether everything is read back from the disk before it is made bootable. */
  readonly verifyDisk?: boolean;
  readonly retryForMs: number;
  readonly timing?: DownloadTiming;
  readonly access?: DownloadAccess;
  /** What is decompressed goes through it: it may be something that holds the image, such as a tar file. */
  readonly unwrap?: (inner: ImageSink) => UnwrappingSink;
}

export interface UnwrappingSink extends ImageSink {
  /** Everything has come. Throws `corrupt_image` if that is no image. */
  finish(): Promise<void>;
  close(): void;
}

export interface ImageProgress {
  readonly format: ImageFormat;
  /** Downloaded bytes and, if known, how many there are. */
  readonly done: number;
  readonly total?: number;
  /** Bytes of the image that went to the disk. */
  readonly written: number;
}

export interface WriteEvents extends ReadBackEvents {
  readonly log: (text: string) => void;
  /** After every batch of about 1 MiB. */
  readonly progress: (progress: ImageProgress) => void;
}

export interface ImageWritten {
  readonly format: ImageFormat;
  readonly imageBytes: number;
  /** Numbers of the partitions that the kernel should show now. */
  readonly partitions: readonly number[];
}

/** Whole downloads of a file that cannot be resumed. */
const STARTS = 5;

/**
 * Streams an image to a disk: fetch, recognise, decompress, verify, write; both ends of the disk come last, so that a disk on
 * which anything went wrong does not boot. It holds no state elsewhere: run again, it starts from nothing. Throws
 * TinsmithError; after the first byte was written the ends of the disk are zeros then.
 */
export async function writeImage(disk: Disk, request: ImageRequest, events: WriteEvents): Promise<ImageWritten> {
  for (let start = 1; ; start++) {
    try {
      return await writeOnce(disk, request, events);
    } catch (thrown) {
      if (!(thrown instanceof RestartDownloadError)) throw thrown;
      if (start === STARTS) throw thrown.error;
      events.log(`${thrown.error.message}: start ${start + 1} of ${STARTS}`);
    }
  }
}

async function writeOnce(disk: Disk, request: ImageRequest, events: WriteEvents): Promise<ImageWritten> {
  const { signal, log } = events;
  const hasChecksum = request.sha256 !== undefined || request.rawSha256 !== undefined;
  const download = new Download({ ...request, signal, hasChecksum, log });
  await download.open();
  const ends = new DiskEnds(disk);
  const writer = new DiskWriter(disk, {
    hash: request.rawSha256 !== undefined,
    sums: request.verifyDisk === true,
    beforeFirstWrite: async (head) => {
      refuseDoubleCompression(head);
      ends.check(head);
      await ends.wipe();
    },
  });
  try {
    const format = await decodeAll(download, writer, request, events);
    requireSum('IMG_RAW_SHA256', 'the decompressed image', request.rawSha256, await writer.finish());
    if (writer.bytes === 0) throw new TinsmithError('corrupt_image', 'the image is empty');
    signal.throwIfAborted();
    await disk.flush();
    if (request.verifyDisk === true) await readBack(disk, writer, writer.readBackMemory, events);
    const partitions = await ends.commit(writer);
    return { format, imageBytes: writer.bytes, partitions };
  } catch (thrown) {
    download.close();
    await writer.settle();
    await ends.wipeAgain();
    throw thrown;
  }
}

/** Everything downloaded, decoded and handed to the writer, and known to be complete. */
async function decodeAll(
  download: Download,
  writer: DiskWriter,
  request: ImageRequest,
  events: WriteEvents,
): Promise<ImageFormat> {
  const hash = request.sha256 === undefined ? undefined : createHash('sha256');
  let format: ImageFormat = 'raw';
  let decoder: ReturnType<(typeof decoders)['raw']> | undefined;
  const sink = request.unwrap?.(writer) ?? asItIs(writer);
  const formatOf = request.unwrap === undefined ? imageFormat : outerFormat;
  try {
    for await (const batch of readBatches(download)) {
      hash?.update(batch);
      if (decoder === undefined) {
        format = formatOf(batch, download, writer);
        decoder = decoders[format](sink);
        events.log(`the image is ${format}, ${download.totalBytes ?? 'an unknown number of'} bytes to download`);
      }
      await decoder.push(batch);
      events.signal.throwIfAborted();
      events.progress({ format, ...progressOf(download), written: writer.bytes });
    }
    requireFileSum(request, hash);
    await decoder?.end();
    await sink.finish();
  } finally {
    decoder?.close();
    sink.close();
  }
  return format;
}

function requireFileSum(request: ImageRequest, hash: Hash | undefined): void {
  requireSum(request.sha256From ?? 'IMG_SHA256', 'the downloaded file', request.sha256, hash?.digest('hex'));
}

function requireSum(variable: string, what: string, expected: string | undefined, found: string | undefined): void {
  if (expected === undefined || expected === found) return;
  const sentence = `${what} has the SHA-256 ${found} and ${variable} says ${expected}: use the right image or the right sum`;
  throw new TinsmithError('checksum_mismatch', sentence);
}

function asItIs(writer: DiskWriter): UnwrappingSink {
  return {
    space: () => writer.space(),
    advance: (bytes) => writer.advance(bytes),
    finish: async () => undefined,
    close: () => undefined,
  };
}

function progressOf({ bytes, totalBytes }: Download): Pick<ImageProgress, 'done' | 'total'> {
  return { done: bytes, ...(totalBytes === undefined ? {} : { total: totalBytes }) };
}

/** Of an image as it is. Throws for what is none, and for one that the disk cannot hold. */
function imageFormat(start: Buffer, download: Download, writer: DiskWriter): ImageFormat {
  const format = recognizeFormat(start);
  refuseTooLong(format, start, download, writer);
  return format;
}

/** Of what holds the image: whoever unwraps it judges what comes out. */
function outerFormat(start: Buffer): ImageFormat {
  return recognizeCompression(start) ?? 'raw';
}

/** As soon as the size is known, before anything is written. */
function refuseTooLong(format: ImageFormat, start: Buffer, download: Download, writer: DiskWriter): void {
  const bytes = format === 'raw' ? download.totalBytes : format === 'zst' ? zstdContentBytes(start) : undefined;
  if (bytes !== undefined && bytes > writer.disk.sizeBytes) throw tooSmall(writer.disk, `has ${bytes}`);
}

function refuseDoubleCompression(head: Buffer): void {
  const inner = recognizeCompression(head);
  if (inner === undefined) return;
  const sentence = `what comes out of the image is ${inner} again and no disk image: compress it once only`;
  throw new TinsmithError('corrupt_image', sentence);
}
