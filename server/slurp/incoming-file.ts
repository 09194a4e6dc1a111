import { createHash, randomBytes } from 'node:crypto';
import { type FileHandle, open, readdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { TinsmithError } from '#proto/errors.ts';

const PREFIX = '.incoming-';
/** Written back so often, so that the end does not wait for the disk longer than a sender does. */
const FLUSH_BYTES = 256 << 20;

/** A file that comes over the network: it gets its name when it is whole, checked and safe on the disk. */
export class IncomingFile implements AsyncDisposable {
  bytes = 0;
  readonly #folder: string;
  readonly #path: string;
  readonly #file: FileHandle;
  readonly #limitBytes: number;
  readonly #hash = createHash('sha256');
  #unflushed = 0;

  private constructor(folder: string, path: string, { file, limitBytes }: { file: FileHandle; limitBytes: number }) {
    this.#folder = folder;
    this.#path = path;
    this.#file = file;
    this.#limitBytes = limitBytes;
  }

  /** What interrupted ones left in the folder is removed first: only one at a time may come into it. */
  static async create(folder: string, limitBytes: number): Promise<IncomingFile> {
    for (const name of await readdir(folder)) if (name.startsWith(PREFIX)) await rm(join(folder, name));
    const path = join(folder, `${PREFIX}${randomBytes(6).toString('hex')}`);
    // What is on a disk may be secret.
    return new IncomingFile(folder, path, { file: await open(path, 'wx', 0o600), limitBytes });
  }

  async write(bytes: Buffer): Promise<void> {
    this.bytes += bytes.length;
    if (this.bytes > this.#limitBytes) {
      throw new TinsmithError('invalid_input', `the upload is longer than ${this.#limitBytes} bytes: raise slurp.max`);
    }
    this.#hash.update(bytes);
    await this.#file.writeFile(bytes);
    this.#unflushed += bytes.length;
    if (this.#unflushed < FLUSH_BYTES) return;
    this.#unflushed = 0;
    await this.#file.datasync();
  }

  /** Replaces an older file of that name in one step. Throws `checksum_mismatch`. */
  async keep(name: string, sha256: string): Promise<void> {
    const found = this.#hash.digest('hex');
    if (found !== sha256) {
      const fact = `${this.bytes} bytes with the SHA-256 ${found} came, and the sender says ${sha256}`;
      throw new TinsmithError('checksum_mismatch', `cannot keep ${name}: ${fact}`);
    }
    await this.#file.sync();
    await rename(this.#path, join(this.#folder, name));
    await using directory = await open(this.#folder, 'r');
    await directory.sync();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#file.close();
    await rm(this.#path, { force: true });
  }
}
