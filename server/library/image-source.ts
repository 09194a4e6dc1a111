import { createHash } from 'node:crypto';
import { open } from 'node:fs/promises';
import { isAbsolute } from 'node:path';
import { TinsmithError } from '#proto/errors.ts';
import { shownUrl } from '#proto/url-secrets.ts';
import { readBatches } from '#transfer/batch-reader.ts';
import { decodeStream } from '#transfer/decode-stream.ts';
import { Download } from '#transfer/download.ts';
import { RestartDownloadError } from '#transfer/download-errors.ts';

/** A source that is open; disposing it ends its download. */
export interface ImageSource extends AsyncDisposable {
  /** The image that comes out of it, once. Throws unless all of it came and its sum is right. */
  readonly image: AsyncIterable<Uint8Array>;
  /** Without passwords and signatures. */
  readonly shown: string;
  /** Of the source, so far. */
  readonly bytes: number;
  readonly totalBytes: number | undefined;
}

export interface SourceOptions {
  readonly signal: AbortSignal;
  /** Of the source as it is; lower-case hex. */
  readonly sha256?: string;
  /** For URLs: `http://host:port`. */
  readonly proxy?: string;
}

/** A server that is away for so long is given up. */
const RETRY_MS = 10 * 60_000;
/** A server that is not there at all is more likely a wrong address than a restart. */
const CONTACT_MS = 30_000;

/**
 * Opens a file on this host (absolute path) or an http or https URL; what it is compressed with is seen from its first bytes. Throws
 * `not_found`, `invalid_input`, `download_failed` or the signal's reason.
 */
export async function openImageSource(source: string, options: SourceOptions): Promise<ImageSource> {
  if (isAbsolute(source)) return openFile(source, options);
  const url = URL.parse(source);
  if (url !== null && ['http:', 'https:'].includes(url.protocol)) return openUrl(url, options);
  throw new TinsmithError(
    'invalid_input',
    `an image cannot be read from ${JSON.stringify(source.slice(0, 200))}: use an absolute path on the server, or an http or https URL`,
  );
}

async function openFile(path: string, options: SourceOptions): Promise<ImageSource> {
  const handle = await open(path, 'r').catch((cause: unknown) => {
    throw new TinsmithError('not_found', `cannot read the image ${path} on the server: ${reasonOf(cause)}`, { cause });
  });
  const stats = await handle.stat();
  if (!stats.isFile() && !stats.isBlockDevice()) {
    await handle.close();
    throw new TinsmithError('invalid_input', `cannot read the image ${path}: it is no file`);
  }
  const counted = new Counted(handle.createReadStream({ highWaterMark: 1 << 20, autoClose: false }), options);
  return {
    image: decodeStream(counted),
    shown: path,
    get bytes() {
      return counted.bytes;
    },
    totalBytes: stats.isFile() ? stats.size : undefined,
    [Symbol.asyncDispose]: () => handle.close(),
  };
}

async function openUrl(url: URL, options: SourceOptions): Promise<ImageSource> {
  const download = new Download({
    url: url.href,
    proxy: options.proxy === undefined ? {} : { http: options.proxy, https: options.proxy },
    signal: options.signal,
    retryForMs: RETRY_MS,
    contactForMs: CONTACT_MS,
    hasChecksum: options.sha256 !== undefined,
    log: () => undefined,
  });
  await download.open();
  const counted = new Counted(readBatches(unwrapped(download)), options);
  return {
    image: decodeStream(counted),
    shown: shownUrl(url),
    get bytes() {
      return counted.bytes;
    },
    totalBytes: download.totalBytes,
    [Symbol.asyncDispose]: async () => download.close(),
  };
}

/** A file that cannot be resumed would have to be read from its start, and half of it is packed already. */
async function* unwrapped(download: Download): AsyncGenerator<Uint8Array> {
  try {
    yield* download;
  } catch (thrown) {
    throw thrown instanceof RestartDownloadError ? thrown.error : thrown;
  }
}

/** Counts and sums what passes; at its end the sum must be the expected one. */
class Counted implements AsyncIterable<Uint8Array> {
  bytes = 0;
  readonly #source: AsyncIterable<Uint8Array>;
  readonly #options: SourceOptions;

  constructor(source: AsyncIterable<Uint8Array>, options: SourceOptions) {
    this.#source = source;
    this.#options = options;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array> {
    const { sha256: expected, signal } = this.#options;
    const hash = expected === undefined ? undefined : createHash('sha256');
    for await (const bytes of this.#source) {
      signal.throwIfAborted();
      hash?.update(bytes);
      this.bytes += bytes.length;
      yield bytes;
    }
    const found = hash?.digest('hex');
    if (found === expected) return;
    const sentence = `the source has the SHA-256 ${found ?? ''}, expected was ${expected ?? ''}: use the right file or the right sum`;
    throw new TinsmithError('checksum_mismatch', sentence);
  }
}

function reasonOf(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause);
}
