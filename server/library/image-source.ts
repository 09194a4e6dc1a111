import { tmpdir } from 'node:os';
import { isAbsolute } from 'node:path';
import { oneProxy } from '#proto/actions/proxy.ts';
import { TinsmithError } from '#proto/errors.ts';
import { parseHttpUrl } from '#proto/http-url.ts';
import { REDACTED, withoutUrlSecrets } from '#proto/url-secrets.ts';
import { type OutsideChecks, outsideChecks } from './checks/outside-checks.ts';
import { type SourceCheck, SourceSum, sumCheck } from './checks/source-check.ts';
import type { SourceFacts } from './image-library.ts';
import type { ImagePiece } from './image-piece.ts';
import { openLocalFile } from './sources/local-file.ts';
import { isOciSource, openOciFile, type RegistryCredentials } from './sources/oci-file.ts';
import { openRemoteFile, type SourceContact } from './sources/remote-file.ts';
import type { SourceFile } from './sources/source-file.ts';
import { SourceReading } from './sources/source-reading.ts';

/** A source that is open; disposing it ends its download. */
export interface ImageSource extends AsyncDisposable {
  /** The image that comes out of it, once. Throws unless all of it came, its sum is right and it did not change meanwhile. */
  readonly image: AsyncIterable<ImagePiece>;
  /** Without passwords and signatures. */
  readonly shown: string;
  /** Of the source, and of the disk that a disk image describes, so far. */
  readonly bytes: number;
  /** Of the same, as far as that is known by now. */
  readonly totalBytes: number | undefined;
  /** For when the image has ended. */
  facts(): SourceFacts;
}

export interface SourceOptions extends OutsideChecks {
  readonly signal: AbortSignal;
  /** Whether its SHA-256 is wanted where all of it is read anyway. */
  readonly isSummed?: boolean;
  /** For URLs: `http://host:port`. */
  readonly proxy?: string;
  /** Of the registry, for OCI references. */
  readonly credentials?: RegistryCredentials;
  /** Of the machines, for OCI references that name several; default: amd64. */
  readonly architecture?: 'amd64' | 'arm64';
  /** Folder for sources that cannot be read as they come; as large as the source is. */
  readonly scratch?: string;
  /** For sources on other hosts. */
  readonly contact?: SourceContact;
  /** Told of `bytes` and `totalBytes`. */
  readonly progress?: (bytes: number, totalBytes: number | undefined) => void;
}

/**
 * Opens a file on this host (absolute path), an http or https URL, or what an OCI reference names. What it is, compressed (gz, xz, zst,
 * bz2), a disk image (qcow2, VMDK, VHDX, VHD, VDI), in a tar file or several of that, is seen from its bytes. Throws `not_found`,
 * `invalid_input`, `download_failed` or the signal's reason.
 */
export async function openImageSource(source: string, options: SourceOptions): Promise<ImageSource> {
  const given = await outsideChecks(source, options, options);
  const { file, checks, isPinned = false } = await openFile(source, options, given.checks);
  const { signal, scratch = tmpdir(), progress } = options;
  const sum = options.isSummed === true ? new SourceSum() : undefined;
  const reading = new SourceReading(file, {
    signal,
    scratch,
    checks,
    ...(sum && { sum }),
    ...(progress && { progress }),
  });
  return {
    image: reading.image(),
    shown: file.shown,
    get bytes() {
      return reading.bytes;
    },
    get totalBytes() {
      return reading.totalBytes;
    },
    facts: () => ({
      ...factsOf(file, sum),
      vouchedBy: [...given.vouchedBy(), ...(isPinned ? [{ kind: 'digest' } as const] : [])],
    }),
    [Symbol.asyncDispose]: () => file[Symbol.asyncDispose](),
  };
}

/** Throws `invalid_input` for URLs that no request could be made of, so that whoever gives them hears it at once. */
export function requireUsableUrls(...sources: readonly (string | undefined)[]): void {
  for (const source of sources) if (source !== undefined && !isAbsolute(source)) parseHttpUrl(source);
}

function factsOf({ validator, totalBytes }: SourceFile, sum: SourceSum | undefined): SourceFacts {
  return {
    ...(sum?.sha256 !== undefined && { sourceSha256: sum.sha256 }),
    ...(totalBytes !== undefined && { sourceBytes: totalBytes }),
    ...(validator !== undefined && { validator }),
  };
}

interface CheckedFile {
  readonly file: SourceFile;
  readonly checks: readonly SourceCheck[];
  /** The source's own name says its digest. */
  readonly isPinned?: boolean;
}

async function openFile(source: string, options: SourceOptions, checks: readonly SourceCheck[]): Promise<CheckedFile> {
  const { signal, credentials, contact } = options;
  const reached = contact && { contact };
  if (isAbsolute(source)) return { file: await openLocalFile(source), checks };
  const proxy = oneProxy(options.proxy);
  const url = parseHttpUrl(source);
  if (url !== undefined) {
    return { file: await openRemoteFile({ url, proxy, signal, hasChecksum: checks.length > 0, ...reached }), checks };
  }
  if (isOciSource(source)) {
    const { architecture = 'amd64' } = options;
    const access = { architecture, proxy, signal, ...(credentials && { credentials }), ...reached };
    const { file, sha256, isPinned } = await openOciFile(source, access);
    return { file, checks: [...checks, sumCheck('sha256', sha256)], isPinned };
  }
  const fix = 'use an absolute path on the server, an http or https URL, or an OCI reference (oci://registry/name:tag)';
  const shown = JSON.stringify(
    withoutUrlSecrets(source)
      .replace(/^[^/]*@/, `${REDACTED}@`)
      .slice(0, 200),
  );
  throw new TinsmithError('invalid_input', `an image cannot be read from ${shown}: ${fix}`);
}
