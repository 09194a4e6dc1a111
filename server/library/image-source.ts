import { tmpdir } from 'node:os';
import { isAbsolute } from 'node:path';
import { TinsmithError } from '#proto/errors.ts';
import type { ImagePiece } from './image-piece.ts';
import { openLocalFile } from './sources/local-file.ts';
import { openRemoteFile } from './sources/remote-file.ts';
import { type SourceCheck, sumCheck } from './sources/source-checks.ts';
import type { SourceFile } from './sources/source-file.ts';
import { SourceReading } from './sources/source-reading.ts';

/** A source that is open; disposing it ends its download. */
export interface ImageSource extends AsyncDisposable {
  /** The image that comes out of it, once. Throws unless all of it came, its sum is right and it did not change meanwhile. */
  readonly image: AsyncIterable<ImagePiece>;
  /** Without passwords and signatures. */
  readonly shown: string;
  /** Of what has to be read, so far. */
  readonly bytes: number;
  /** Of what has to be read, as far as that is known by now. */
  readonly totalBytes: number | undefined;
}

export interface SourceOptions {
  readonly signal: AbortSignal;
  /** Of the source as it is; lower-case hex. */
  readonly sha256?: string;
  /** For URLs: `http://host:port`. */
  readonly proxy?: string;
  /** Folder for sources that cannot be read as they come; as large as the source is. */
  readonly scratch?: string;
  /** Told of bytes of the source, and of how many there are. */
  readonly progress?: (bytes: number, totalBytes: number | undefined) => void;
}

/**
 * Opens a file on this host (absolute path) or an http or https URL. What it is, compressed (gz, xz, zst, bz2) or a disk image (qcow2,
 * VMDK, VHDX, VHD, VDI) or both, is seen from its bytes. Throws `not_found`, `invalid_input`, `download_failed` or the signal's reason.
 */
export async function openImageSource(source: string, options: SourceOptions): Promise<ImageSource> {
  const checks = options.sha256 === undefined ? [] : [sumCheck('sha256', options.sha256)];
  const file = await openFile(source, options, checks);
  const { signal, scratch = tmpdir(), progress } = options;
  const reading = new SourceReading(file, { signal, scratch, checks, ...(progress && { progress }) });
  return {
    image: reading.image(),
    shown: file.shown,
    get bytes() {
      return reading.bytes;
    },
    get totalBytes() {
      return reading.totalBytes;
    },
    [Symbol.asyncDispose]: () => file[Symbol.asyncDispose](),
  };
}

async function openFile(
  source: string,
  { signal, proxy }: SourceOptions,
  checks: readonly SourceCheck[],
): Promise<SourceFile> {
  if (isAbsolute(source)) return openLocalFile(source);
  const url = URL.parse(source);
  if (url !== null && ['http:', 'https:'].includes(url.protocol)) {
    const proxies = proxy === undefined ? {} : { http: proxy, https: proxy };
    return openRemoteFile({ url, proxy: proxies, signal, hasChecksum: checks.length > 0 });
  }
  throw new TinsmithError(
    'invalid_input',
    `an image cannot be read from ${JSON.stringify(source.slice(0, 200))}: use an absolute path on the server, or an http or https URL`,
  );
}
