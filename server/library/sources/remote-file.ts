import type { ProxyParams } from '#proto/actions/proxy.ts';
import { TinsmithError } from '#proto/errors.ts';
import { shownUrl } from '#proto/url-secrets.ts';
import { readBatches } from '#transfer/batch-reader.ts';
import type { SeekableFile } from '#transfer/disk-images/disk-image.ts';
import { Download, type DownloadFixes } from '#transfer/download.ts';
import { RestartDownloadError } from '#transfer/download-errors.ts';
import type { DownloadAccess } from '#transfer/file-request.ts';
import { RangedFile } from '#transfer/ranged-file.ts';
import type { SourceFile } from './source-file.ts';

/** Which file, and how it is reached. */
export interface RemoteFileOptions {
  readonly url: URL;
  /** For sentences and the record, where the URL is not what was asked for. */
  readonly shown?: string;
  readonly proxy: ProxyParams;
  readonly signal: AbortSignal;
  /** Whether all of it is checked against a sum: then a length that nobody announced does not matter. */
  readonly hasChecksum: boolean;
  readonly access?: DownloadAccess;
  readonly contact?: SourceContact;
}

/** How a source on another host is reached. */
export interface SourceContact {
  /** Whether a refused connection or an unknown name ends it at once: somebody waits who can correct it. */
  readonly endsUnreached?: boolean;
  /** Told why it makes no headway, each time before it is tried again. */
  readonly trouble?: (text: string) => void;
}

/** A server that is away for so long is given up. */
const RETRY_MS = 10 * 60_000;
/** A server that is not there at all is more likely a wrong address than a restart. */
const CONTACT_MS = 30_000;

/** Asks for the file, so that a wrong address is known at once. Throws `download_failed` or the signal's reason. */
export async function openRemoteFile(options: RemoteFileOptions): Promise<SourceFile> {
  const file = new RemoteFile(options);
  await file.open();
  return file;
}

class RemoteFile implements SourceFile {
  readonly shown: string;
  readonly isLocal = false;
  readonly #options: RemoteFileOptions;
  #download: Download;
  #isStreamed = false;

  constructor(options: RemoteFileOptions) {
    this.#options = options;
    this.shown = options.shown ?? shownUrl(options.url);
    this.#download = this.#newDownload();
  }

  get totalBytes(): number | undefined {
    return this.#download.totalBytes;
  }

  get validator(): string | undefined {
    return this.#download.validator;
  }

  get contentCoding(): string | undefined {
    return this.#download.contentCoding;
  }

  async open(): Promise<void> {
    await this.#download.open();
  }

  async *stream(): AsyncGenerator<Uint8Array> {
    if (this.#isStreamed) this.#download = this.#newDownload();
    this.#isStreamed = true;
    try {
      yield* readBatches(unwrapped(this.#download));
    } finally {
      this.#download.close();
    }
  }

  async seekable(): Promise<SeekableFile | undefined> {
    const { url, contact, ...options } = this.#options;
    const log = contact?.trouble ?? (() => undefined);
    const file = await RangedFile.open({ ...options, ...fixesFor(contact), url: url.href, retryForMs: RETRY_MS, log });
    return file.hasRanges ? file : undefined;
  }

  async beside(name: string): Promise<SourceFile> {
    const { url, proxy, signal, access, contact } = this.#options;
    if (access !== undefined) throw new TinsmithError('unsupported', `no file ${name} lies beside a layer`);
    const beside = { url: new URL(encodeURIComponent(name), url), proxy, signal, hasChecksum: false };
    return openRemoteFile({ ...beside, ...(contact && { contact }) });
  }

  /** Every answer was one for the same version of the file, or the download failed. */
  async requireUnchanged(): Promise<void> {
    this.#options.signal.throwIfAborted();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#download.close();
  }

  #newDownload(): Download {
    const { url, shown: _shown, contact = {}, ...options } = this.#options;
    const { endsUnreached = false, trouble = () => undefined } = contact;
    const times = { retryForMs: RETRY_MS, contactForMs: CONTACT_MS };
    return new Download({ ...options, ...times, ...fixesFor(contact), url: url.href, endsUnreached, log: trouble });
  }
}

/** Of an import on first use they are the action's. */
function fixesFor(contact: SourceContact | undefined): { readonly fixes?: DownloadFixes } {
  return contact?.endsUnreached === true ? { fixes: { sum: 'give its sum with --sha256', again: 'add it again' } } : {};
}

/** A file that cannot be resumed would have to be read from its start, and half of it is packed already. */
async function* unwrapped(download: Download): AsyncGenerator<Uint8Array> {
  try {
    yield* download;
  } catch (thrown) {
    throw thrown instanceof RestartDownloadError ? thrown.error : thrown;
  }
}
