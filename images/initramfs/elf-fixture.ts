/** Makes tiny ELF files for tests: only the headers and sections that readElf looks at. */

export interface ElfFixture {
  readonly needed?: readonly string[];
  readonly interpreter?: string;
  /** `key=value` lines of a kernel module. */
  readonly modinfo?: readonly string[];
}

interface Part {
  readonly name: string;
  readonly type: number;
  readonly link: number;
  readonly bytes: Buffer;
}

/** A 64-bit little-endian ELF file with the given facts in it. */
export function elfFixture({ needed = [], interpreter, modinfo = [] }: ElfFixture): Buffer {
  const strings = Buffer.from(['', ...needed, ''].join('\0'));
  const dynamic = Buffer.alloc((needed.length + 1) * 16);
  let at = 1;
  for (const [index, name] of needed.entries()) {
    dynamic.writeBigUInt64LE(1n, index * 16);
    dynamic.writeBigUInt64LE(BigInt(at), index * 16 + 8);
    at += name.length + 1;
  }
  const parts: Part[] = [
    { name: '', type: 0, link: 0, bytes: Buffer.alloc(0) },
    { name: '.dynstr', type: 3, link: 0, bytes: strings },
    { name: '.dynamic', type: 6, link: 1, bytes: dynamic },
    { name: '.modinfo', type: 1, link: 0, bytes: Buffer.from(modinfo.map((line) => `${line}\0`).join('')) },
  ];
  if (interpreter !== undefined)
    parts.push({ name: '.interp', type: 1, link: 0, bytes: Buffer.from(`${interpreter}\0`) });
  return assembleElf(parts);
}

function assembleElf(given: readonly Part[]): Buffer {
  const names = Buffer.from([...given.map(({ name }) => name), '.shstrtab', ''].join('\0'));
  const parts = [...given, { name: '.shstrtab', type: 3, link: 0, bytes: names }];
  const head = Buffer.alloc(64);
  head.writeUInt32BE(0x7f454c46, 0);
  head.set([2, 1, 1], 4);
  head.writeUInt16LE(64, 58);
  head.writeUInt16LE(parts.length, 60);
  head.writeUInt16LE(parts.length - 1, 62);
  const table = Buffer.alloc(parts.length * 64);
  let offset = 64;
  let nameAt = 0;
  for (const [index, part] of parts.entries()) {
    table.writeUInt32LE(nameAt, index * 64);
    table.writeUInt32LE(part.type, index * 64 + 4);
    table.writeBigUInt64LE(BigInt(offset), index * 64 + 24);
    table.writeBigUInt64LE(BigInt(part.bytes.length), index * 64 + 32);
    table.writeUInt32LE(part.link, index * 64 + 40);
    offset += part.bytes.length;
    nameAt += part.name.length + 1;
  }
  head.writeBigUInt64LE(BigInt(offset), 40);
  return Buffer.concat([head, ...parts.map(({ bytes }) => bytes), table]);
}
