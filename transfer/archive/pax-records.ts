import { BLOCK_BYTES, type DataPiece, damaged, type TarHeader } from './tar-header.ts';

// Extended headers, POSIX.1-2017 "pax" and the vendor keys that GNU tar, star and bsdtar use.

const NEWLINE = 0x0a;

/** Key → value as bytes: the values of extended attributes are no text. */
export type PaxRecords = ReadonlyMap<string, Buffer>;

/** Throws `corrupt_image`. */
export function parsePaxRecords(body: Buffer): Map<string, Buffer> {
  const records = new Map<string, Buffer>();
  for (let at = 0; at < body.length && body[at] !== 0; ) {
    const space = body.indexOf(0x20, at);
    const length = Number(/^\d{1,10}$/.exec(body.toString('latin1', at, space))?.[0]);
    const equals = body.indexOf(0x3d, space);
    const end = at + length;
    const isWhole = space !== -1 && end <= body.length && equals !== -1 && equals < end && body[end - 1] === 0x0a;
    if (!isWhole) throw damaged('an extended header is malformed');
    records.set(body.toString('utf8', space + 1, equals), body.subarray(equals + 1, end - 1));
    at = end;
  }
  return records;
}

/** The header with what the extended headers before it say; an empty value takes a global one back. */
export function overrule(header: TarHeader, pax: PaxRecords): TarHeader {
  const text = (key: string): string | undefined => {
    const value = pax.get(key);
    return value === undefined || value.length === 0 ? undefined : value.toString('latin1');
  };
  const whole = (key: string): number | undefined => {
    const value = text(key);
    if (value === undefined) return undefined;
    if (!/^-?\d{1,16}$/.test(value) || !Number.isSafeInteger(Number(value)))
      throw damaged(`${key} is ${JSON.stringify(value)} in an extended header`);
    return Number(value);
  };
  const sizeBytes = whole('size') ?? header.sizeBytes;
  if (sizeBytes < 0) throw damaged(`an extended header names ${sizeBytes} bytes`);
  return {
    ...header,
    name: text('GNU.sparse.name') ?? text('path') ?? header.name,
    linkName: text('linkpath') ?? header.linkName,
    uid: whole('uid') ?? header.uid,
    gid: whole('gid') ?? header.gid,
    sizeBytes,
    modifiedAt: parseTime(text('mtime')) ?? header.modifiedAt,
  };
}

function parseTime(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  if (!/^-?\d{1,13}(\.\d*)?$/.test(text)) throw damaged(`a time is ${JSON.stringify(text)} in an extended header`);
  return Number(text);
}

/** Extended attributes by their kernel names: of GNU tar and star (SCHILY), of bsdtar (LIBARCHIVE) and SELinux labels (RHT). */
export function extendedAttributes(pax: PaxRecords): Map<string, Buffer> {
  const attributes = new Map<string, Buffer>();
  for (const [key, value] of pax) {
    if (key.startsWith('LIBARCHIVE.xattr.')) {
      const name = decodeURIComponentOf(key.slice('LIBARCHIVE.xattr.'.length));
      if (!attributes.has(name)) attributes.set(name, Buffer.from(value.toString('latin1'), 'base64'));
    } else if (key.startsWith('SCHILY.xattr.')) {
      // Exact bytes; bsdtar writes both forms.
      attributes.set(key.slice('SCHILY.xattr.'.length), value);
    } else if (key === 'RHT.security.selinux') {
      // The kernel keeps the label with the NUL that ends it.
      const hasEnd = value.at(-1) === 0;
      attributes.set('security.selinux', hasEnd ? value : Buffer.concat([value, Buffer.of(0)]));
    }
  }
  return attributes;
}

function decodeURIComponentOf(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw damaged(`an extended attribute is called ${JSON.stringify(text)}`);
  }
}

/** How the stored bytes of a sparse file are described. */
export type PaxSparse =
  /** Formats 0.0 and 0.1: in the header. */
  | { readonly realBytes: number; readonly pieces: readonly DataPiece[] }
  /** Format 1.0: in blocks before the data. */
  | { readonly realBytes: number; readonly pieces: 'inData' };

/** Undefined: no sparse file. */
export function paxSparse(pax: PaxRecords): PaxSparse | undefined {
  const text = (key: string): string | undefined => pax.get(key)?.toString('latin1');
  const real = text('GNU.sparse.realsize') ?? text('GNU.sparse.size');
  if (real === undefined) return undefined;
  const realBytes = sparseNumber(real);
  if (text('GNU.sparse.major') === '1') return { realBytes, pieces: 'inData' };
  const map = text('GNU.sparse.map');
  if (map === undefined) throw damaged('a sparse file comes without its map');
  return { realBytes, pieces: piecesOf(map === '' ? [] : map.split(',').map(sparseNumber)) };
}

/** GNU format 0.0 repeats two keys, which a map of records would lose: joins them as format 0.1 does. */
export function joinRepeatedSparse(body: Buffer): Buffer | undefined {
  const numbers = [...body.toString('latin1').matchAll(/GNU\.sparse\.(?:offset|numbytes)=(\d+)\n/g)];
  return numbers.length === 0 ? undefined : Buffer.from(numbers.map(([, value]) => value).join(','));
}

/**
 * The map of format 1.0 at the start of the data: how many pieces, then offset and length of each, one number a line. It comes
 * block by block and is read once, when it is whole.
 */
export class PaxMapReader {
  #blocks: Buffer[] = [];
  #lines = 0;

  get lengthBytes(): number {
    return this.#blocks.length * BLOCK_BYTES;
  }

  /** Undefined: it goes on in the next block. After its end it is ready for another map. */
  take(block: Buffer): readonly DataPiece[] | undefined {
    this.#blocks.push(Buffer.from(block));
    for (const byte of block) if (byte === NEWLINE) this.#lines += 1;
    if (this.#lines === 0) return undefined;
    const first = this.#blocks[0]?.toString('latin1').split('\n', 1)[0] ?? '';
    const count = sparseNumber(first) * 2;
    if (this.#lines <= count) return undefined;
    const numbers = Buffer.concat(this.#blocks).toString('latin1').split('\n');
    this.#blocks = [];
    this.#lines = 0;
    return piecesOf(numbers.slice(1, count + 1).map(sparseNumber));
  }
}

function sparseNumber(text: string): number {
  if (!/^\d{1,16}$/.test(text)) throw damaged(`the map of a sparse file holds ${JSON.stringify(text.slice(0, 40))}`);
  return Number(text);
}

function piecesOf(numbers: readonly number[]): DataPiece[] {
  const pieces: DataPiece[] = [];
  for (let index = 0; index + 1 < numbers.length; index += 2) {
    pieces.push({ offset: numbers[index] ?? 0, lengthBytes: numbers[index + 1] ?? 0 });
  }
  return pieces;
}
