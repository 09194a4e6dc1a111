import { TinsmithError } from '#proto/errors.ts';
import { shownName, type TarEntry, type TarHandler } from './tar-parser.ts';

const ZEROS = Buffer.alloc(64 * 1024);

/** The content of the only file of an archive, holes as zeros. Throws `corrupt_image` for an archive with more than one or none. */
export class SingleFile implements TarHandler {
  readonly #put: (bytes: Buffer) => Promise<void>;
  #name: string | undefined;
  #isCurrent = false;
  #position = 0;
  #sizeBytes = 0;

  /** `put`: told the bytes in order; valid until it resolves. */
  constructor(put: (bytes: Buffer) => Promise<void>) {
    this.#put = put;
  }

  async entry({ kind, name, sizeBytes }: TarEntry): Promise<void> {
    this.#isCurrent = kind === 'file';
    if (kind !== 'file') return;
    if (this.#name !== undefined) {
      const fact = `it holds ${shownName(this.#name)} and ${shownName(name)}`;
      throw new TinsmithError('corrupt_image', `the image is in a tar file with more than one file: ${fact}`);
    }
    this.#name = name;
    this.#sizeBytes = sizeBytes;
  }

  async data(bytes: Buffer, offset: number): Promise<void> {
    await this.#fillTo(offset);
    await this.#put(bytes);
    this.#position = offset + bytes.length;
  }

  async entryEnd(): Promise<void> {
    if (this.#isCurrent) await this.#fillTo(this.#sizeBytes);
  }

  /** The archive has ended. */
  finish(): void {
    if (this.#name === undefined) throw new TinsmithError('corrupt_image', 'the image is a tar file without a file');
  }

  async #fillTo(offset: number): Promise<void> {
    while (this.#position < offset) {
      const gap = Math.min(offset - this.#position, ZEROS.length);
      await this.#put(ZEROS.subarray(0, gap));
      this.#position += gap;
    }
  }
}
