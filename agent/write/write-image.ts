import { createHash, type Hash } from 'node:crypto';
import type { ProxyParams } from '#proto/actions/proxy.ts';
import { TinsmithError } from '#proto/errors.ts';
import { BATCH_READER_BYTES, readBatches } from '#transfer/batch-reader.ts';
import { withContentCoding } from '#transfer/content-coding.ts';
import { decoders } from '#transfer/decoders.ts';
import { Download, type DownloadOptions, type DownloadTiming } from '#transfer/download.ts';
import { RestartDownloadError } from '#transfer/download-errors.ts';
import type { DownloadAccess } from '#transfer/file-request.ts';
import { type Decoder, type ImageFormat, recognizeCompression, recognizeFormat } from '#transfer/image-format.ts';
import type { ImageSink } from '#transfer/image-sink.ts';
import type { TransferEvents } from '#transfer/standstill.ts';
import { WIDE_BUFFER_BYTES, wideDownload } from '#transfer/wide-download.ts';
import { zstdFrameHead } from '#transfer/zstd-frame.ts';
import type { Disk } from '../machine/machine.ts';
import { DiskEnds, tooSmall } from './disk-ends.ts';
import { DiskWriter } from './disk-writer.ts';
import { fastestDecoder, type StartFilter, UnsureDecoderError } from './program-decoder.ts';
import { type ReadBackEvents, readBack } from './read-back.ts';
import { requireSum } from './require-sum.ts';
import { WriteMemory } from './write-memory.ts';
import { WriteResume } from './write-resume.ts';

/** Which image, from where, and how much it is checked. */
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
  /** How often a journal is kept of what is on the disk; default 5 s. */
  readonly journalEveryMs?: number;
  readonly access?: DownloadAccess;
  /** Whether programs may decode, where they are faster. */
  readonly startFilter?: StartFilter;
  /** What is decompressed goes through it: it may be something that holds the image, such as a tar file. */
  readonly unwrap?: (inner: ImageSink) => UnwrappingSink;
}

/** Takes what holds an image, and passes the image on. */
export interface UnwrappingSink extends ImageSink {
  /** Everything has come. Throws `corrupt_image` if that is no image. */
  finish(): Promise<void>;
  close(): void;
}

/** How far a write is. */
export interface ImageProgress {
  readonly format: ImageFormat;
  /** Downloaded bytes and, if known, how many there are. */
  readonly done: number;
  readonly total?: number;
  /** Bytes of the image that went to the disk. */
  readonly written: number;
}

/** Whom a write tells, and who ends it. */
export interface WriteEvents extends ReadBackEvents, TransferEvents {
  /** After every batch of about 1 MiB. */
  readonly progress: (progress: ImageProgress) => void;
}

/** What was done. */
export interface ImageWritten {
  readonly format: ImageFormat;
  readonly imageBytes: number;
  /** Numbers of the partitions that the kernel should show now. */
  readonly partitions: readonly number[];
  /** What all buffers held together at most, the decoder's own memory aside. */
  readonly bufferBytes: number;
}

/** Whole downloads of a file that cannot be resumed. */
const STARTS = 5;

/**
 * Streams an image to a disk: fetch, recognise, decompress, verify, write; both ends of the disk come last, so that a disk on
 * which anything went wrong does not boot. It keeps no state elsewhere. Run again, it starts from nothing, but for a raw image that
 * its server names by a strong ETag and whose sum is known: of that it fetches what is not on the disk. Throws TinsmithError; after
 * the first byte was written, no partition table is on the disk then.
 */
export async function writeImage(disk: Disk, request: ImageRequest, events: WriteEvents): Promise<ImageWritten> {
  let { startFilter, ...how } = request;
  for (let start = 1; ; start++) {
    try {
      return await writeOnce(disk, startFilter === undefined ? how : { ...how, startFilter }, events);
    } catch (thrown) {
      if (!(thrown instanceof RestartDownloadError)) throw thrown;
      if (start === STARTS) throw thrown.error;
      if (thrown instanceof UnsureDecoderError) startFilter = undefined;
      events.log(`${thrown.error.message}: start ${start + 1} of ${STARTS}`);
    }
  }
}

async function writeOnce(disk: Disk, request: ImageRequest, events: WriteEvents): Promise<ImageWritten> {
  const { signal, log, standstill } = events;
  const hasChecksum = request.sha256 !== undefined || request.rawSha256 !== undefined;
  const ends = new DiskEnds(disk);
  const options = { ...request, signal, hasChecksum, log, standstill };
  const download = new Download(options);
  await download.open();
  await using memory = new WriteMemory();
  const writer = new DiskWriter(disk, {
    memory,
    hash: request.rawSha256 !== undefined,
    sums: request.verifyDisk === true,
    beforeFirstWrite: async (head) => {
      refuseDoubleCompression(head);
      ends.check(head);
      await ends.wipe();
    },
  });
  const { strongEtag: etag, totalBytes } = download;
  const resume =
    request.unwrap === undefined && hasChecksum && etag !== undefined && totalBytes !== undefined
      ? new WriteResume(writer, { url: request.url, etag, totalBytes }, request.journalEveryMs)
      : undefined;
  try {
    const format = await decodeAll({ download, options, writer, ends, resume }, request, events);
    requireSum('IMG_RAW_SHA256', 'the decompressed image', request.rawSha256, await writer.finish());
    if (writer.bytes === 0) throw new TinsmithError('corrupt_image', 'the image decompresses to nothing');
    signal.throwIfAborted();
    await resume?.finish();
    await disk.flush();
    if (request.verifyDisk === true) await readBack(disk, writer, writer.readBackMemory, events);
    const partitions = await ends.commit(writer, log);
    const bufferBytes = writer.memory.peakBytes + BATCH_READER_BYTES + WIDE_BUFFER_BYTES;
    return { format, imageBytes: writer.bytes, partitions, bufferBytes };
  } catch (thrown) {
    download.close();
    await resume?.settle();
    await writer.settle();
    await ends.wipeAgain();
    await resume?.keepAfter(thrown);
    throw withContentCoding(thrown, download.contentCoding);
  }
}

/** What one try works with. */
interface WriteRun {
  readonly download: Download;
  readonly options: DownloadOptions;
  readonly writer: DiskWriter;
  readonly ends: DiskEnds;
  readonly resume: WriteResume | undefined;
}

/** Everything downloaded, decoded and handed to the writer, and known to be complete. */
async function decodeAll(run: WriteRun, request: ImageRequest, events: WriteEvents): Promise<ImageFormat> {
  const { download, options, writer, resume } = run;
  const hash = request.sha256 === undefined ? undefined : createHash('sha256');
  const sink = sinkOf(request, writer);
  let decoding: Decoding | undefined;
  try {
    if (await takeUp(run, hash, events)) decoding = { format: 'raw', decoder: decoders.raw(sink) };
    for await (const batch of readBatches(wideDownload(download, options))) {
      hash?.update(batch);
      decoding ??= await begin(batch, sink, run, { request, events });
      await decoding.decoder.push(batch);
      events.signal.throwIfAborted();
      events.progress({ format: decoding.format, ...progressOf(download), written: writer.bytes });
      await resume?.note();
    }
    requireFileSum(request, hash);
    await decoding?.decoder.end();
    await sink.finish();
  } finally {
    decoding?.decoder.close();
    await decoding?.decoder.settled?.();
    sink.close();
  }
  if (decoding === undefined) throw new TinsmithError('corrupt_image', 'the image is empty');
  return decoding.format;
}

interface Decoding {
  readonly format: ImageFormat;
  readonly decoder: Decoder;
}

/** Knows by the first bytes what the image is. */
async function begin(
  start: Buffer,
  sink: ImageSink,
  { download, writer, resume }: WriteRun,
  { request, events }: { readonly request: ImageRequest; readonly events: WriteEvents },
): Promise<Decoding> {
  const format = request.unwrap === undefined ? imageFormat(start, download, writer) : outerFormat(start);
  if (format === 'raw') resume?.begin();
  const { decoder, program } = await fastestDecoder(format, sink, request.startFilter);
  const how = program === undefined ? format : `${format} and decoded by ${program}`;
  events.log(`the image is ${how}, ${download.totalBytes ?? 'an unknown number of'} bytes to download`);
  return { format, decoder };
}

/** Whether an earlier run left something to go on with: a raw image. */
async function takeUp(
  { download, writer, ends, resume }: WriteRun,
  hash: Hash | undefined,
  { signal, log, progress }: WriteEvents,
): Promise<boolean> {
  const each = (bytes: Buffer): void => {
    hash?.update(bytes);
    const done = writer.bytes + bytes.length;
    progress({ format: 'raw', ...progressOf(download), done, written: done });
  };
  const bytes = (await resume?.takeUp(download, ends, { signal, each })) ?? 0;
  if (bytes > 0) log(`an earlier run left ${bytes} bytes of the image on the disk: read back, not fetched`);
  return bytes > 0;
}

function requireFileSum(request: ImageRequest, hash: Hash | undefined): void {
  requireSum(request.sha256From ?? 'IMG_SHA256', 'the downloaded file', request.sha256, hash?.digest('hex'));
}

function sinkOf({ unwrap }: ImageRequest, writer: DiskWriter): UnwrappingSink {
  if (unwrap !== undefined) return unwrap(writer);
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
  const bytes =
    format === 'raw' ? download.totalBytes : format === 'zst' ? zstdFrameHead(start)?.contentBytes : undefined;
  if (bytes !== undefined && bytes > writer.disk.sizeBytes) throw tooSmall(writer.disk, `has ${bytes}`);
}

function refuseDoubleCompression(head: Buffer): void {
  const inner = recognizeCompression(head);
  if (inner === undefined) return;
  const sentence = `what comes out of the image is ${inner} again and no disk image: compress it once only`;
  throw new TinsmithError('corrupt_image', sentence);
}
