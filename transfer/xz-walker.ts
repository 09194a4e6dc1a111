import { crc32 } from 'node:zlib';
import { TinsmithError } from '#proto/errors.ts';
import { trailingData } from './trailing-data.ts';

// The .xz file format 1.2.1. A file is streams and padding; a stream is a header, blocks, an index and a footer. The data of
// a block is LZMA2: chunks whose heads say how long they are, so the structure is followed without decoding anything.

/** Some bytes of one stream. */
export interface XzPiece {
  readonly bytes: Uint8Array;
  readonly endsStream: boolean;
}

const MAGIC = '\xfd7zXZ\0';

type Parser = Generator<number, void, Buffer>;

/** Cuts a file into its streams. `walk` and `end` throw `corrupt_image` where the structure is broken, cut or followed by anything. */
export class XzWalker {
  /** Where in the file something begins that is neither a stream nor padding; undefined: nothing does, so far. */
  trailingAt: number | undefined;
  /** Bytes of the file that were fed. */
  #position = 0;
  readonly #parser: Parser;
  /** What the parser waits for: a number of bytes to look at (positive) or to pass over (negative). */
  #request: number;
  #collected: Buffer[] = [];
  #collectedBytes = 0;
  #isAtBoundary = true;
  #endedStream = false;
  #streamStart: Buffer | undefined;

  constructor() {
    this.#parser = this.#file();
    this.#request = this.#parser.next().value ?? 0;
  }

  *walk(input: Uint8Array): Generator<XzPiece> {
    let start = 0;
    let at = 0;
    while (at < input.length) {
      at += this.#feed(input.subarray(at));
      if (this.#streamStart !== undefined) {
        // These four bytes may have begun in an earlier input.
        yield { bytes: this.#streamStart, endsStream: false };
        this.#streamStart = undefined;
        start = at;
      } else if (this.#endedStream) {
        this.#endedStream = false;
        yield { bytes: input.subarray(start, at), endsStream: true };
      }
      // What lies between streams is padding, or not yet known to be a stream.
      if (this.#isAtBoundary) start = at;
    }
    if (start < at) yield { bytes: input.subarray(start, at), endsStream: false };
  }

  end(): void {
    const isWhole = this.#isAtBoundary && this.#collectedBytes === 0;
    if (this.#isAtBoundary && !isWhole) this.#requireStreamStart(Buffer.concat(this.#collected));
    if (!isWhole) throw new TinsmithError('corrupt_image', 'the image is cut short: its xz data ends too early');
  }

  /** Returns how many bytes were used up. */
  #feed(input: Uint8Array): number {
    if (this.#request < 0) {
      const count = Math.min(-this.#request, input.length);
      this.#request += count;
      this.#position += count;
      if (this.#request === 0) this.#resume(Buffer.alloc(0));
      return count;
    }
    const count = Math.min(this.#request - this.#collectedBytes, input.length);
    this.#position += count;
    this.#collected.push(Buffer.from(input.subarray(0, count)));
    this.#collectedBytes += count;
    if (this.#collectedBytes === this.#request) {
      const bytes = Buffer.concat(this.#collected);
      this.#collected = [];
      this.#collectedBytes = 0;
      this.#resume(bytes);
    }
    return count;
  }

  #resume(bytes: Buffer): void {
    do {
      this.#request = this.#parser.next(bytes).value ?? 0;
    } while (this.#request === 0);
  }

  /** Throws unless `bytes`, which were fed last, are a stream's first ones. */
  #requireStreamStart(bytes: Buffer): void {
    if (MAGIC.startsWith(bytes.toString('latin1'))) return;
    this.trailingAt = this.#position - bytes.length;
    throw trailingData('xz', this.trailingAt);
  }

  *#file(): Parser {
    for (let isFirst = true; ; isFirst = false) {
      this.#isAtBoundary = true;
      const start = yield 4;
      if (!isFirst && start.every((byte) => byte === 0)) continue;
      this.#requireStreamStart(start);
      this.#isAtBoundary = false;
      this.#streamStart = start;
      const rest = yield 8;
      const checkBytes = streamHeader(Buffer.concat([start, rest]));
      yield* this.#stream(checkBytes, rest.subarray(2, 4));
      this.#endedStream = true;
    }
  }

  *#stream(checkBytes: number, flags: Buffer): Parser {
    let blocks = 0;
    for (;;) {
      const size = (yield 1).readUInt8(0);
      if (size === 0) break;
      const header = yield (size + 1) * 4 - 1;
      const body = Buffer.concat([Buffer.from([size]), header.subarray(0, -4)]);
      if (crc32(body) !== header.readUInt32LE(header.length - 4)) throw broken('a block header has a wrong checksum');
      const dataBytes = yield* lzma2();
      yield -(((4 - (dataBytes % 4)) % 4) + checkBytes) || 0;
      blocks += 1;
    }
    const indexBytes = yield* index(blocks);
    const footer = yield 12;
    const isFooter =
      footer.toString('latin1', 10) === 'YZ' &&
      crc32(footer.subarray(4, 10)) === footer.readUInt32LE(0) &&
      footer.subarray(8, 10).equals(flags) &&
      (footer.readUInt32LE(4) + 1) * 4 === indexBytes;
    if (!isFooter) throw broken('the end of a stream is wrong');
  }
}

/** Returns the length of the block's compressed data. */
function* lzma2(): Generator<number, number, Buffer> {
  for (let total = 0; ; ) {
    const control = (yield 1).readUInt8(0);
    total += 1;
    if (control === 0) return total;
    if (control > 2 && control < 0x80) throw broken(`an LZMA2 chunk starts with ${control}`);
    const isCompressed = control >= 0x80;
    const head = yield isCompressed ? 4 : 2;
    const dataBytes = (isCompressed ? head.readUInt16BE(2) : head.readUInt16BE(0)) + 1;
    // New properties bring a byte of their own.
    const skip = dataBytes + (control >= 0xc0 ? 1 : 0);
    yield -skip;
    total += head.length + skip;
  }
}

/** Returns the length of the index. Its first byte is read already. */
function* index(blocks: number): Generator<number, number, Buffer> {
  const bytes: number[] = [0];
  const number = function* (): Generator<number, number, Buffer> {
    for (let value = 0, shift = 1, i = 0; ; i++, shift *= 128) {
      const byte = (yield 1).readUInt8(0);
      bytes.push(byte);
      value += (byte & 0x7f) * shift;
      if (byte < 0x80) return value;
      if (i === 8) throw broken('the index has an endless number');
    }
  };
  const records = yield* number();
  if (records !== blocks) throw broken(`the index lists ${records} blocks and there are ${blocks}`);
  for (let i = 0; i < records * 2; i++) yield* number();
  while (bytes.length % 4 !== 0) bytes.push((yield 1).readUInt8(0));
  const crc = yield 4;
  if (crc.readUInt32LE(0) !== crc32(Buffer.from(bytes))) throw broken('the index has a wrong checksum');
  return bytes.length + 4;
}

/** Returns the length of the check behind each block. */
function streamHeader(header: Buffer): number {
  if (header.toString('latin1', 0, 6) !== MAGIC) throw broken('the start of a stream is wrong');
  if (crc32(header.subarray(6, 8)) !== header.readUInt32LE(8)) throw broken('a stream header has a wrong checksum');
  const check = header.readUInt8(7) & 0x0f;
  if (check > 4) throw broken('it has a check that is not supported, compress it with xz --check=crc64');
  return [0, 4, 4, 4, 8][check] ?? 0;
}

function broken(fact: string): TinsmithError {
  return new TinsmithError('corrupt_image', `the image cannot be read: ${fact}`);
}
