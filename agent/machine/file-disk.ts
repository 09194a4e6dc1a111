import type { FileHandle } from 'node:fs/promises';
import { messageOf, TinsmithError } from '#proto/errors.ts';
import { alignedBuffer } from '../write/aligned-buffers.ts';
import type { Disk, Waiting } from './machine.ts';

/** Makes zeros of a range without sending them. False: this disk cannot, and nothing was changed. */
export type ZeroOut = (range: ZeroRange, options: Waiting) => Promise<boolean>;

interface ZeroRange {
  readonly offset: number;
  readonly bytes: number;
}

const ZEROS_BYTES = 1 << 20;
const ZEROS_IN_FLIGHT = 4;

/** A disk behind an open file: a block device on a real machine, a file in tests. Closing it closes the file. */
export class FileDisk implements Disk {
  readonly device: string;
  readonly sizeBytes: number;
  readonly logicalBlockBytes: number;
  readonly #file: FileHandle;
  #zeroOut: ZeroOut | undefined;

  constructor(file: FileHandle, about: Pick<Disk, 'device' | 'sizeBytes' | 'logicalBlockBytes'>, zeroOut?: ZeroOut) {
    this.#file = file;
    this.#zeroOut = zeroOut;
    this.device = about.device;
    this.sizeBytes = about.sizeBytes;
    this.logicalBlockBytes = about.logicalBlockBytes;
  }

  async read(buffer: Uint8Array, offset: number): Promise<void> {
    for (let done = 0; done < buffer.length; ) {
      const { bytesRead } = await this.#try('read', offset + done, () =>
        this.#file.read(buffer, done, buffer.length - done, offset + done),
      );
      if (bytesRead === 0) throw this.#failed('read', offset + done, 'it ends there');
      done += bytesRead;
    }
  }

  async write(buffer: Uint8Array, offset: number): Promise<void> {
    if (offset + buffer.length > this.sizeBytes)
      throw this.#failed('write', offset, `it holds ${this.sizeBytes} bytes`);
    for (let done = 0; done < buffer.length; ) {
      const { bytesWritten } = await this.#try('write', offset + done, () =>
        this.#file.write(buffer, done, buffer.length - done, offset + done),
      );
      if (bytesWritten === 0) throw this.#failed('write', offset + done, 'it took nothing');
      done += bytesWritten;
    }
  }

  get makesZeros(): boolean {
    return this.#zeroOut !== undefined;
  }

  async zero(range: ZeroRange, options: Waiting): Promise<void> {
    if ((await this.#zeroOut?.(range, options)) === true) return;
    this.#zeroOut = undefined;
    const zeros = alignedBuffer(ZEROS_BYTES);
    const end = range.offset + range.bytes;
    let next = range.offset;
    const work = async (): Promise<void> => {
      while (next < end) {
        options.signal.throwIfAborted();
        const offset = next;
        next = Math.min(end, offset + ZEROS_BYTES);
        await this.write(zeros.subarray(0, next - offset), offset);
      }
    };
    const results = await Promise.allSettled(Array.from({ length: ZEROS_IN_FLIGHT }, work));
    for (const result of results) if (result.status === 'rejected') throw result.reason;
  }

  async flush(): Promise<void> {
    await this.#try('flush', 0, () => this.#file.datasync());
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#file.close();
  }

  async #try<T>(verb: string, offset: number, work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (thrown) {
      throw this.#failed(verb, offset, messageOf(thrown), thrown);
    }
  }

  #failed(verb: string, offset: number, fact: string, cause?: unknown): TinsmithError {
    return new TinsmithError('write_failed', `cannot ${verb} ${this.device} at byte ${offset}: ${fact}`, { cause });
  }
}
