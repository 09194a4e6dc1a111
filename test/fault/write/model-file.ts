import type { FileHandle } from 'node:fs/promises';
import type { Random } from '../fault-run.ts';

const SECTOR_BYTES = 512;
const BLOCK_BYTES = 4096;

/** What is wrong with a disk. Operations are its writes and flushes, counted from 1. */
export interface DiskFaults {
  /** From this operation on so many fail: one bad moment, or (Infinity) a cable that came off. */
  readonly failing?: { readonly from: number; readonly count: number };
  /** Every write that touches this byte fails, from this operation on. */
  readonly badByte?: { readonly at: number; readonly from: number };
  /** Reads of this byte fail until it was written: a sector that lost its contents. */
  readonly unreadableByte?: number;
  /** Every read fails from this operation on. */
  readonly unreadableFrom?: number;
  /** A thin disk whose pool has room for so many bytes beside what was written before; freed by nothing. */
  readonly roomBytes?: number;
  /** Reads and writes do only a part of what they are asked for. */
  readonly isShort?: boolean;
  /** The power goes at this operation: it and all later ones never come back. */
  readonly powerCutAt?: number;
  /** Flushes do nothing. What is written becomes permanent in order and late. */
  readonly isLying?: boolean;
  /** From this operation on the sector of this byte keeps what it has, without an error. */
  readonly lost?: { readonly at: number; readonly from: number };
}

/** A disk with a volatile cache, as the file that `FileDisk` works on. Errors are those that the kernel gives. */
export class ModelFile {
  operations = 0;
  readonly #faults: DiskFaults;
  readonly #random: Random;
  /** What the disk answers reads from. */
  readonly #visible: Buffer;
  readonly #durable: Buffer;
  /** Since the last flush. */
  #cached: { readonly bytes: Buffer; readonly offset: number }[] = [];
  readonly #writtenBlocks = new Set<number>();
  #isUnreadable: boolean;

  constructor(contents: Buffer, faults: DiskFaults, random: Random) {
    this.#visible = Buffer.from(contents);
    this.#durable = Buffer.from(contents);
    this.#faults = faults;
    this.#random = random;
    this.#isUnreadable = faults.unreadableByte !== undefined;
  }

  /** The part of a file that `FileDisk` uses. */
  handle(): FileHandle {
    const handle: Pick<FileHandle, 'datasync' | 'close'> & Record<'read' | 'write', unknown> = {
      read: async (buffer: Uint8Array, at: number, length: number, offset: number) => ({
        bytesRead: this.#read(buffer.subarray(at, at + length), offset),
      }),
      write: async (buffer: Uint8Array, at: number, length: number, offset: number) => ({
        bytesWritten: this.#write(buffer.subarray(at, at + length), offset),
      }),
      datasync: async () => this.#flush(),
      close: async () => undefined,
    };
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- FileDisk calls these four methods only, in these forms
    return handle as unknown as FileHandle;
  }

  /** While the power is on. */
  contents(): Buffer {
    return this.#visible;
  }

  /** What is found when the power is back: of what was not flushed, some sectors made it and some did not. */
  afterPowerCut(): Buffer {
    const found = Buffer.from(this.#durable);
    const inOrder = this.#faults.isLying === true ? this.#random.between(0, this.#cached.length + 1) : undefined;
    for (const [number, { bytes, offset }] of this.#cached.entries()) {
      if (inOrder !== undefined && number > inOrder) break;
      for (let at = 0; at < bytes.length; at += SECTOR_BYTES) {
        const isKept =
          inOrder === undefined ? this.#random.fraction() < 0.5 : number < inOrder || this.#random.fraction() < 0.5;
        if (isKept) bytes.copy(found, offset + at, at, at + SECTOR_BYTES);
      }
    }
    return found;
  }

  #read(into: Uint8Array, offset: number): number {
    const { unreadableByte = -1, unreadableFrom = Number.POSITIVE_INFINITY } = this.#faults;
    const isHit = this.#isUnreadable && unreadableByte >= offset && unreadableByte < offset + into.length;
    if (isHit || this.operations >= unreadableFrom) throw ioError('EIO: i/o error, read');
    const bytes = this.#part(into.length);
    into.set(this.#visible.subarray(offset, offset + bytes));
    return bytes;
  }

  #write(from: Uint8Array, offset: number): number {
    this.#operate();
    const { badByte, unreadableByte = -1, lost } = this.#faults;
    const isBad = badByte !== undefined && badByte.at >= offset && badByte.at < offset + from.length;
    if (isBad && this.operations >= badByte.from) throw ioError('EIO: i/o error, write');
    this.#takeRoom(offset, from.length);
    const bytes = Buffer.from(from.subarray(0, this.#part(from.length)));
    if (unreadableByte >= offset && unreadableByte < offset + bytes.length) this.#isUnreadable = false;
    if (lost !== undefined && this.operations >= lost.from) this.#lose(bytes, offset, lost.at);
    bytes.copy(this.#visible, offset);
    this.#cached.push({ bytes, offset });
    return bytes.length;
  }

  /** What is written to the sector of this byte is what is there already. */
  #lose(bytes: Buffer, offset: number, at: number): void {
    const sector = Math.floor(at / SECTOR_BYTES) * SECTOR_BYTES;
    if (sector < offset || sector >= offset + bytes.length) return;
    this.#visible.copy(bytes, sector - offset, sector, sector + SECTOR_BYTES);
  }

  #flush(): void {
    this.#operate();
    if (this.#faults.isLying === true) return;
    for (const { bytes, offset } of this.#cached) bytes.copy(this.#durable, offset);
    this.#cached = [];
  }

  #operate(): void {
    this.operations += 1;
    const { failing, powerCutAt } = this.#faults;
    if (powerCutAt !== undefined && this.operations >= powerCutAt) throw ioError('EIO: the power is off');
    if (failing === undefined || this.operations < failing.from) return;
    if (this.operations < failing.from + failing.count) throw ioError('EIO: i/o error, write');
  }

  #takeRoom(offset: number, bytes: number): void {
    const { roomBytes } = this.#faults;
    if (roomBytes === undefined) return;
    const fresh: number[] = [];
    for (let block = Math.floor(offset / BLOCK_BYTES); block * BLOCK_BYTES < offset + bytes; block++) {
      if (!this.#writtenBlocks.has(block)) fresh.push(block);
    }
    if ((this.#writtenBlocks.size + fresh.length) * BLOCK_BYTES > roomBytes) {
      throw ioError('ENOSPC: no space left on device, write');
    }
    for (const block of fresh) this.#writtenBlocks.add(block);
  }

  #part(bytes: number): number {
    if (this.#faults.isShort !== true || bytes <= SECTOR_BYTES) return bytes;
    return SECTOR_BYTES * this.#random.between(1, bytes / SECTOR_BYTES + 1);
  }
}

function ioError(message: string): Error {
  return new Error(message);
}
