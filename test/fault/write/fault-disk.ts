import { execFile } from 'node:child_process';
import { open, rm } from 'node:fs/promises';
import { promisify } from 'node:util';
import type { DiskContents, DiskState } from './disk-contents.ts';

const run = promisify(execFile);

/** A disk with an old system on it: a loop device where we are root, a file elsewhere. */
export class FaultDisk {
  /** For the agent. */
  readonly device: string;
  readonly #file: string;
  readonly #contents: DiskContents;

  private constructor(device: string, file: string, contents: DiskContents) {
    this.device = device;
    this.#file = file;
    this.#contents = contents;
  }

  static async attach(file: string, contents: DiskContents, cleanup: AsyncDisposableStack): Promise<FaultDisk> {
    await writeAt(file, contents.old, 'w');
    cleanup.defer(() => rm(file, { force: true }));
    return new FaultDisk(await attachLoop(file, cleanup), file, contents);
  }

  /** The old system again. */
  async reset(): Promise<void> {
    await writeAt(this.#file, this.#contents.old, 'r+');
  }

  async read(): Promise<Buffer> {
    await using file = await open(this.#file, 'r');
    const all = Buffer.allocUnsafe(this.#contents.old.length);
    for (let done = 0; done < all.length; ) done += (await file.read(all, done, all.length - done, done)).bytesRead;
    return all;
  }

  async state(): Promise<DiskState> {
    return this.#contents.judge(await this.read());
  }
}

/** The file itself where there are no loop devices for us. */
export async function attachLoop(file: string, cleanup: AsyncDisposableStack): Promise<string> {
  if (process.getuid?.() !== 0) return file;
  const attached = await run('losetup', ['--find', '--show', file]).catch(() => undefined);
  if (attached === undefined) return file;
  const device = attached.stdout.trim();
  cleanup.defer(async () => {
    await run('losetup', ['--detach', device]);
  });
  return device;
}

async function writeAt(path: string, bytes: Buffer, flags: 'w' | 'r+'): Promise<void> {
  await using file = await open(path, flags);
  for (let done = 0; done < bytes.length; )
    done += (await file.write(bytes, done, bytes.length - done, done)).bytesWritten;
}
