/**
 * Takes languages out of a Node binary that its agent does not speak. Node carries ICU's data for all languages, 31 MB that
 * hardly compress, in one ICU "common data" package (unicode/udata.h, ucmndata.h of ICU). Entries are taken out of the
 * package's table of contents, as `icupkg --remove` does, and their bytes become zeros: the file keeps its length and
 * everything else its place. What is asked for and not there falls back to the root language.
 */

export interface TrimmedIcu {
  /** Entries that were taken out; 0 when the binary holds no such package. */
  readonly removed: number;
  readonly zeroedBytes: number;
}

interface Entry {
  readonly name: string;
  readonly nameAt: number;
  readonly dataAt: number;
}

/** UDataInfo of a little-endian, ASCII common-data package: magic da 27, …, format "CmnD". */
const FORMAT = Buffer.from('CmnD');
const FORMAT_AT = 12;
const NOTHING: TrimmedIcu = { removed: 0, zeroedBytes: 0 };

/**
 * Trims in place. The table is read with suspicion, because the pattern could occur elsewhere in a binary: a package that
 * does not hold together is left alone.
 */
export function trimIcu(binary: Buffer): TrimmedIcu {
  for (let at = binary.indexOf(FORMAT); at !== -1; at = binary.indexOf(FORMAT, at + 1)) {
    const start = at - FORMAT_AT;
    if (start < 0 || binary.readUInt16BE(start + 2) !== 0xda27) continue;
    const table = start + binary.readUInt16LE(start);
    const entries = readTable(binary, table);
    if (entries !== undefined) return removeEntries(binary, table, entries);
  }
  return NOTHING;
}

/** Whether the agent can do without an entry: other languages' texts, their dictionaries, and legacy character sets. */
export function isDispensable(name: string): boolean {
  const [, folder = '', leaf = ''] = /^[^/]*\/(?:(.*)\/)?([^/]*)$/.exec(name) ?? [];
  if (leaf.endsWith('.cnv') || leaf.endsWith('.dict') || folder === 'translit') return true;
  const language = /^([a-z]{2,3})(?:_\w+)?\.(?:res|brk)$/.exec(leaf)?.[1];
  return language !== undefined && language !== 'en';
}

function readTable(binary: Buffer, table: number): readonly Entry[] | undefined {
  if (table + 4 > binary.length) return undefined;
  const count = binary.readUInt32LE(table);
  if (count === 0 || table + 4 + count * 8 > binary.length) return undefined;
  const entries = Array.from({ length: count }, (_, index): Entry => {
    const nameAt = binary.readUInt32LE(table + 4 + index * 8);
    const nameEnd = binary.indexOf(0, table + nameAt);
    const name = binary.toString('latin1', table + nameAt, Math.max(nameEnd, table + nameAt));
    return { name, nameAt, dataAt: binary.readUInt32LE(table + 8 + index * 8) };
  });
  const isSound = entries.every(({ name, dataAt }, index) => {
    const before = entries[index - 1] ?? { name: '', dataAt: count * 8 };
    return (
      /^icudt\w+\/[\w./-]+$/.test(name) &&
      name > before.name &&
      dataAt > before.dataAt &&
      table + dataAt < binary.length
    );
  });
  return isSound ? entries : undefined;
}

function removeEntries(binary: Buffer, table: number, entries: readonly Entry[]): TrimmedIcu {
  // How long the last entry is, the table does not say; so that one stays.
  const isKept = (entry: Entry, index: number): boolean => index === entries.length - 1 || !isDispensable(entry.name);
  const kept = entries.filter(isKept);
  let zeroedBytes = 0;
  for (const [index, entry] of entries.entries()) {
    if (isKept(entry, index)) continue;
    const end = entries[index + 1]?.dataAt ?? entry.dataAt;
    binary.fill(0, table + entry.dataAt, table + end);
    binary.fill(0, table + entry.nameAt, table + entry.nameAt + entry.name.length);
    zeroedBytes += end - entry.dataAt;
  }
  binary.fill(0, table + 4, table + 4 + entries.length * 8);
  binary.writeUInt32LE(kept.length, table);
  for (const [index, { nameAt, dataAt }] of kept.entries()) {
    binary.writeUInt32LE(nameAt, table + 4 + index * 8);
    binary.writeUInt32LE(dataAt, table + 8 + index * 8);
  }
  return { removed: entries.length - kept.length, zeroedBytes };
}
