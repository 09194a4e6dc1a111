import { TinsmithError } from '#proto/errors.ts';

// One header block: POSIX.1-2017 "pax" (ustar) and the GNU and v7 forms that GNU tar, bsdtar and Python write.

/** Headers fill one, data is padded to whole ones. */
export const BLOCK_BYTES = 512;

/** The fields of one header block as they stand there; extended headers before it may overrule them. */
export interface TarHeader {
  /** One character a byte (latin1), as all names here: file names are bytes. */
  readonly name: string;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Bytes that follow the header. */
  readonly sizeBytes: number;
  /** Seconds since 1970. */
  readonly modifiedAt: number;
  /** `\0` and `7` are given as `0`. */
  readonly type: string;
  readonly linkName: string;
  readonly deviceMajor: number;
  readonly deviceMinor: number;
}

/** Undefined: a block of zeros, which ends the archive. Throws `corrupt_image`. */
export function parseTarHeader(block: Buffer): TarHeader | undefined {
  if (block.every((byte) => byte === 0)) return undefined;
  requireChecksum(block);
  const isGnu = block.toString('latin1', 257, 265) === 'ustar  \0';
  const isUstar = block.toString('latin1', 257, 262) === 'ustar';
  const prefix = isUstar && !isGnu ? text(block, 345, 155) : '';
  const name = text(block, 0, 100);
  const hasDevice = isUstar || isGnu;
  return {
    name: prefix === '' ? name : `${prefix}/${name}`,
    mode: number(block, 100, 8) & 0o7777,
    uid: number(block, 108, 8),
    gid: number(block, 116, 8),
    sizeBytes: size(block, 124),
    modifiedAt: number(block, 136, 12),
    type: typeOf(block, name),
    linkName: text(block, 157, 100),
    deviceMajor: hasDevice ? number(block, 329, 8) : 0,
    deviceMinor: hasDevice ? number(block, 337, 8) : 0,
  };
}

/** A piece of a file that is stored; what lies between the pieces is zeros. */
export interface DataPiece {
  readonly offset: number;
  readonly lengthBytes: number;
}

/** The pieces in a GNU sparse header (type S) or in the blocks that go on with them. */
export function gnuSparsePieces(
  block: Buffer,
  place: 'header' | 'more',
): { readonly pieces: readonly DataPiece[]; readonly goesOn: boolean } {
  const { at, count, flag } = place === 'header' ? { at: 386, count: 4, flag: 482 } : { at: 0, count: 21, flag: 504 };
  const pieces: DataPiece[] = [];
  for (let index = 0; index < count; index++) {
    const start = at + index * 24;
    // An unused place is empty, not a piece of no bytes at 0.
    if (block[start] === 0) break;
    pieces.push({ offset: size(block, start), lengthBytes: size(block, start + 12) });
  }
  return { pieces, goesOn: block[flag] === 1 };
}

/** Real length of a file with a GNU sparse header. */
export function gnuSparseRealSize(header: Buffer): number {
  return size(header, 483);
}

/** `fact` says where it is not a tar file. */
export function damaged(fact: string): TinsmithError {
  return new TinsmithError('corrupt_image', `the archive is damaged: ${fact}`);
}

function typeOf(block: Buffer, name: string): string {
  const type = String.fromCharCode(block[156] ?? 0);
  if (type !== '\0' && type !== '7' && type !== '0') return type;
  // Before there was a type, a directory was a name that ends so.
  return name.endsWith('/') ? '5' : '0';
}

/** Historic programs summed signed characters. */
function requireChecksum(block: Buffer): void {
  const stored = number(block, 148, 8);
  let unsigned = 8 * 0x20;
  let signed = 8 * 0x20;
  for (let index = 0; index < BLOCK_BYTES; index++) {
    if (index >= 148 && index < 156) continue;
    const byte = block[index] ?? 0;
    unsigned += byte;
    signed += byte > 127 ? byte - 256 : byte;
  }
  if (stored !== unsigned && stored !== signed) throw damaged('a header has the wrong checksum, so it is no tar file');
}

function text(block: Buffer, offset: number, length: number): string {
  const end = block.indexOf(0, offset);
  return block.toString('latin1', offset, end === -1 || end > offset + length ? offset + length : end);
}

function size(block: Buffer, offset: number): number {
  const value = number(block, offset, 12);
  if (value >= 0) return value;
  throw damaged(`a header names ${value} bytes`);
}

/** Octal digits, or GNU's base 256 for what does not fit: the first bit is set, the rest is a two's complement number. */
function number(block: Buffer, offset: number, length: number): number {
  const first = block[offset] ?? 0;
  if ((first & 0x80) !== 0) return base256(block.subarray(offset, offset + length));
  const digits = block.toString('latin1', offset, offset + length).replaceAll(/[\0 ]/g, '');
  if (digits === '') return 0;
  if (!/^[0-7]+$/.test(digits)) throw damaged(`a header holds ${JSON.stringify(digits)} where a number belongs`);
  return Number.parseInt(digits, 8);
}

function base256(bytes: Buffer): number {
  const isNegative = (bytes[0] ?? 0) === 0xff;
  let value = 0n;
  for (const [index, byte] of bytes.entries()) value = (value << 8n) | BigInt(index === 0 ? byte & 0x7f : byte);
  if (isNegative) value -= 1n << BigInt(bytes.length * 8 - 1);
  const result = Number(value);
  if (!Number.isSafeInteger(result)) throw damaged('a header holds a number beyond all measure');
  return result;
}
