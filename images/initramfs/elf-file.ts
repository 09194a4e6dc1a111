/**
 * Reads what a boot environment's builder must know of an ELF file: which shared libraries a program needs and what a
 * kernel module says about itself. System V ABI "Object Files" and "Dynamic Linking"; 64-bit little-endian files only.
 */
import { TinsmithError } from '#proto/errors.ts';

export interface ElfFacts {
  /** DT_NEEDED: names of the shared libraries, in the file's order. */
  readonly needed: readonly string[];
  /** Path of the program loader (PT_INTERP); absent in static programs, libraries and modules. */
  readonly interpreter?: string;
  /** `.modinfo` of a kernel module: key → values, in the file's order. */
  readonly modinfo: ReadonlyMap<string, readonly string[]>;
}

interface Section {
  readonly name: string;
  readonly link: number;
  readonly bytes: Buffer;
}

const SHT_NOBITS = 8;
const DT_NEEDED = 1n;

/** True when the file starts like an ELF file; scripts and data do not. */
export function isElf(bytes: Buffer): boolean {
  return bytes.length >= 4 && bytes.readUInt32BE(0) === 0x7f454c46;
}

/** @throws TinsmithError `invalid_input` naming `title` when the bytes are cut short or not a 64-bit little-endian ELF. */
export function readElf(bytes: Buffer, title: string): ElfFacts {
  const isReadable = bytes.length >= 64 && isElf(bytes) && bytes[4] === 2 && bytes[5] === 1;
  if (!isReadable) {
    throw new TinsmithError('invalid_input', `cannot read ${title}: it is not a 64-bit little-endian ELF file`);
  }
  try {
    const sections = readSections(bytes);
    const interpreter = sections.find(({ name }) => name === '.interp')?.bytes;
    return {
      needed: readNeeded(sections),
      modinfo: readModinfo(sections.find(({ name }) => name === '.modinfo')?.bytes ?? Buffer.alloc(0)),
      ...(interpreter === undefined ? {} : { interpreter: textAt(interpreter, 0) }),
    };
  } catch (error) {
    throw new TinsmithError('invalid_input', `cannot read ${title}: its ELF headers point outside the file`, {
      cause: error,
    });
  }
}

function readSections(bytes: Buffer): readonly Section[] {
  const tableOffset = Number(bytes.readBigUInt64LE(40));
  const entrySize = bytes.readUInt16LE(58);
  const count = bytes.readUInt16LE(60);
  const namesIndex = bytes.readUInt16LE(62);
  if (tableOffset + entrySize * count > bytes.length)
    throw new RangeError('the section table ends after the end of the file');
  const rows = Array.from({ length: count }, (_, index) => {
    const at = tableOffset + index * entrySize;
    const offset = Number(bytes.readBigUInt64LE(at + 24));
    const size = bytes.readUInt32LE(at + 4) === SHT_NOBITS ? 0 : Number(bytes.readBigUInt64LE(at + 32));
    if (offset + size > bytes.length) throw new RangeError(`section ${index} ends after the end of the file`);
    return {
      nameAt: bytes.readUInt32LE(at),
      link: bytes.readUInt32LE(at + 40),
      bytes: bytes.subarray(offset, offset + size),
    };
  });
  const names = rows[namesIndex]?.bytes ?? Buffer.alloc(0);
  return rows.map(({ nameAt, link, bytes: content }) => ({ name: textAt(names, nameAt), link, bytes: content }));
}

function readNeeded(sections: readonly Section[]): readonly string[] {
  const dynamic = sections.find(({ name }) => name === '.dynamic');
  if (dynamic === undefined) return [];
  const strings = sections[dynamic.link]?.bytes ?? Buffer.alloc(0);
  const needed: string[] = [];
  for (let at = 0; at + 16 <= dynamic.bytes.length; at += 16) {
    if (dynamic.bytes.readBigUInt64LE(at) !== DT_NEEDED) continue;
    needed.push(textAt(strings, Number(dynamic.bytes.readBigUInt64LE(at + 8))));
  }
  return needed;
}

function readModinfo(bytes: Buffer): ReadonlyMap<string, readonly string[]> {
  const modinfo = new Map<string, string[]>();
  for (const entry of bytes.toString('utf8').split('\0')) {
    const equals = entry.indexOf('=');
    if (equals === -1) continue;
    const key = entry.slice(0, equals);
    const values = modinfo.get(key) ?? [];
    values.push(entry.slice(equals + 1));
    modinfo.set(key, values);
  }
  return modinfo;
}

function textAt(bytes: Buffer, start: number): string {
  const end = bytes.indexOf(0, start);
  return bytes.toString('utf8', start, end === -1 ? bytes.length : end);
}
