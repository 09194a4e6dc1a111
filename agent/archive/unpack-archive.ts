import { createHash, type Hash } from 'node:crypto';
import type { TarChecksum } from '#proto/actions/archive2disk.ts';
import type { ProxyParams } from '#proto/actions/proxy.ts';
import { TinsmithError } from '#proto/errors.ts';
import { damaged } from '#transfer/archive/tar-header.ts';
import { type TarEntry, type TarHandler, TarParser } from '#transfer/archive/tar-parser.ts';
import { readBatches } from '#transfer/batch-reader.ts';
import { withContentCoding } from '#transfer/content-coding.ts';
import { Download, type DownloadTiming } from '#transfer/download.ts';
import { RestartDownloadError } from '#transfer/download-errors.ts';
import { type Decoder, type ImageFormat, recognizeCompression } from '#transfer/image-format.ts';
import type { ImageSink } from '#transfer/image-sink.ts';
import type { TransferEvents } from '#transfer/standstill.ts';
import type { StagedFile, StagedTree, TargetRoot } from '../machine/machine.ts';
import { fastestDecoder, type StartFilter, UnsureDecoderError } from '../write/program-decoder.ts';

export interface ArchiveRequest {
  readonly url: string;
  readonly proxy: ProxyParams;
  /** Directory of the target; made when it is missing. */
  readonly path: string;
  /** Of the whole uncompressed file, what pads it included. */
  readonly checksum?: TarChecksum;
  readonly retryForMs: number;
  readonly timing?: DownloadTiming;
  /** Whether programs may decode, where they are faster. */
  readonly startFilter?: StartFilter;
}

export interface UnpackEvents extends TransferEvents {
  readonly signal: AbortSignal;
  /** Downloaded bytes and, if known, how many there are. */
  readonly progress: (done: number, total: number | undefined) => void;
}

export interface Unpacked {
  readonly format: ImageFormat;
  readonly tarBytes: number;
  readonly entries: number;
}

/** Whole downloads of a file that cannot be resumed. */
const STARTS = 5;
const BLOCK_BYTES = 1 << 20;

/**
 * Streams a tar archive into a file system: fetch, recognise, decompress, unpack aside, verify, and only then move everything
 * to its place. Throws TinsmithError; unless the last step had begun, the target is as it was.
 */
export async function unpackArchive(
  root: TargetRoot,
  request: ArchiveRequest,
  events: UnpackEvents,
): Promise<Unpacked> {
  let { startFilter, ...how } = request;
  for (let start = 1; ; start++) {
    try {
      return await unpackOnce(root, startFilter === undefined ? how : { ...how, startFilter }, events);
    } catch (thrown) {
      if (!(thrown instanceof RestartDownloadError)) throw thrown;
      if (start === STARTS) throw thrown.error;
      if (thrown instanceof UnsureDecoderError) startFilter = undefined;
      events.log(`${thrown.error.message}: start ${start + 1} of ${STARTS}`);
    }
  }
}

async function unpackOnce(root: TargetRoot, request: ArchiveRequest, events: UnpackEvents): Promise<Unpacked> {
  const { signal, log, standstill } = events;
  const { checksum } = request;
  const download = new Download({ ...request, signal, hasChecksum: checksum !== undefined, log, standstill });
  try {
    await download.open();
    await using tree = await root.stage(request.path, { signal });
    const unpacker = new Unpacker(tree);
    const parser = new TarParser(unpacker);
    const sink = new TarSink(parser, checksum === undefined ? undefined : createHash(checksum.algorithm));
    const format = await decodeAll(download, sink, { ...events, startFilter: request.startFilter });
    await sink.finish();
    parser.end();
    // Without a checksum the end mark is all that tells a whole archive from one that was cut between two files.
    if (checksum === undefined && !parser.hasEnded) throw damaged('it is cut short: its end mark is missing');
    requireSum(checksum, sink.digest());
    if (unpacker.entries === 0) throw damaged('it is empty');
    signal.throwIfAborted();
    await tree.commit();
    return { format, tarBytes: sink.bytes, entries: unpacker.entries };
  } catch (thrown) {
    throw withContentCoding(thrown, download.contentCoding);
  } finally {
    download.close();
  }
}

async function decodeAll(
  download: Download,
  sink: TarSink,
  { startFilter, ...events }: UnpackEvents & { readonly startFilter: StartFilter | undefined },
): Promise<ImageFormat> {
  let format: ImageFormat | undefined;
  let decoder: Decoder | undefined;
  try {
    for await (const batch of readBatches(download)) {
      if (decoder === undefined) {
        format = recognizeCompression(batch) ?? 'raw';
        const fastest = await fastestDecoder(format, sink, startFilter);
        ({ decoder } = fastest);
        const how = fastest.program === undefined ? format : `${format} and decoded by ${fastest.program}`;
        const size = download.totalBytes ?? 'an unknown number of';
        events.log(`the archive is ${format === 'raw' ? 'not compressed' : how}, ${size} bytes to download`);
      }
      await decoder.push(batch);
      events.signal.throwIfAborted();
      events.progress(download.bytes, download.totalBytes);
    }
    await decoder?.end();
  } finally {
    decoder?.close();
    await decoder?.settled?.();
  }
  return format ?? 'raw';
}

function requireSum(checksum: TarChecksum | undefined, found: string | undefined): void {
  if (checksum === undefined || checksum.hex === found) return;
  const { algorithm, hex } = checksum;
  const fact = `the uncompressed archive has the ${algorithm} ${found} and TARFILE_CHECKSUM says ${hex}`;
  throw new TinsmithError('checksum_mismatch', `${fact}: use the right archive or the right sum; nothing was replaced`);
}

/** Between a decoder and the parser: gathers what is decoded into blocks, and sums it up. */
class TarSink implements ImageSink {
  bytes = 0;
  readonly #parser: TarParser;
  readonly #hash: Hash | undefined;
  readonly #block = Buffer.allocUnsafeSlow(BLOCK_BYTES);
  #filled = 0;

  constructor(parser: TarParser, hash: Hash | undefined) {
    this.#parser = parser;
    this.#hash = hash;
  }

  space(): Buffer {
    return this.#block.subarray(this.#filled);
  }

  async advance(bytes: number): Promise<void> {
    this.#filled += bytes;
    if (this.#filled === BLOCK_BYTES) await this.finish();
  }

  async finish(): Promise<void> {
    const block = this.#block.subarray(0, this.#filled);
    this.#filled = 0;
    this.bytes += block.length;
    this.#hash?.update(block);
    await this.#parser.push(block);
  }

  digest(): string | undefined {
    return this.#hash?.digest('hex');
  }
}

/** Makes what the archive holds in the staged tree. */
class Unpacker implements TarHandler {
  entries = 0;
  readonly #tree: StagedTree;
  #file: { readonly staged: StagedFile; readonly sizeBytes: number } | undefined;

  constructor(tree: StagedTree) {
    this.#tree = tree;
  }

  async entry(entry: TarEntry): Promise<void> {
    this.entries += 1;
    const { name, linkName, deviceMajor: major, deviceMinor: minor } = entry;
    switch (entry.kind) {
      case 'file':
        this.#file = { staged: await this.#tree.makeFile(name, entry), sizeBytes: entry.sizeBytes };
        break;
      case 'directory':
        await this.#tree.makeDirectory(name, entry);
        break;
      case 'symbolicLink':
        await this.#tree.makeSymbolicLink(name, linkName, entry);
        break;
      case 'hardLink':
        await this.#tree.makeHardLink(name, linkName);
        break;
      case 'character':
      case 'block':
      case 'fifo':
        await this.#tree.makeNode(name, { kind: entry.kind, major, minor }, entry);
        break;
    }
  }

  async data(bytes: Buffer, offset: number): Promise<void> {
    await this.#file?.staged.write(bytes, offset);
  }

  async entryEnd(): Promise<void> {
    await this.#file?.staged.finish(this.#file.sizeBytes);
    this.#file = undefined;
  }
}
