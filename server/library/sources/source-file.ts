import type { SeekableFile } from '#transfer/disk-images/disk-image.ts';

/** The file that an image is in, wherever it lies. */
export interface SourceFile extends AsyncDisposable {
  /** Without passwords and signatures. */
  readonly shown: string;
  /** Undefined while nobody has said it. */
  readonly totalBytes: number | undefined;
  /** Of a URL: strong ETag or date. */
  readonly validator?: string | undefined;
  /** Of a URL: what its server says that it did to the bytes, which are taken as they come. */
  readonly contentCoding?: string | undefined;
  /** Whether reading it once more costs no network. */
  readonly isLocal: boolean;
  /** All of it, in order; a part is valid until the next one is asked for. Throws unless all of it came. */
  stream(): AsyncIterable<Uint8Array>;
  /** For reading at any place; undefined where that cannot be done. */
  seekable(): Promise<SeekableFile | undefined>;
  /** A file that lies beside this one. Throws `not_found` or `unsupported`. */
  beside(name: string): Promise<SourceFile>;
  /** Throws `conflict` when somebody has written to it since it was opened. */
  requireUnchanged(): Promise<void>;
}
