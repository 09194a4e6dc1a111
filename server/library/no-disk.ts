import { recognizeFileSystem } from '#transfer/file-system-probe.ts';

/** Of the text that an image begins with: enough to know it again, and less than a secret has. */
const TEXT_SHOWN = 24;
const BYTES_SHOWN = 16;

/**
 * How an image begins that looks like no disk at all, in words; undefined: something at its start is known. `head`: as much of it as
 * holds a partition table. It is a reason to look twice and none to refuse it: a disk may hold what nobody else knows.
 */
export function noDisk(head: Buffer): string | undefined {
  if (hasBootSector(head) || recognizeFileSystem(head) !== undefined || hasOtherMark(head)) return undefined;
  const text = /^(?:\xef\xbb\xbf)?([\t\n\r\x20-\x7e]{8,})/.exec(head.toString('latin1', 0, BYTES_SHOWN * 4))?.[1];
  if (text !== undefined) return `it begins with the text ${JSON.stringify(text.slice(0, TEXT_SHOWN))}`;
  if (head.every((byte) => byte === 0)) return 'it begins with nothing but zeros';
  return `it begins with the bytes ${head.subarray(0, BYTES_SHOWN).toString('hex')}`;
}

/** Ends an MBR, the one that protects a GPT, and the boot sectors of FAT, exFAT and NTFS. */
function hasBootSector(head: Buffer): boolean {
  return head.length >= 512 && head.readUInt16LE(510) === 0xaa55;
}

function hasOtherMark(head: Buffer): boolean {
  return OTHER_MARKS.some(([, at, mark]) => head.toString('latin1', at, at + mark.length) === mark);
}

/** What agents neither mount nor make: name, offset, bytes. Marks that a text could hold by chance are none. */
const OTHER_MARKS: readonly (readonly [string, number, string])[] = [
  // A GPT without the MBR that protects it, for either size of blocks.
  ['GPT', 512, 'EFI PART'],
  ['GPT', 4096, 'EFI PART'],
  // LVM's label is in one of four sectors; pvcreate takes the second one.
  ['LVM', 24, 'LVM2 001'],
  ['LVM', 1024 + 24, 'LVM2 001'],
  ['LVM', 1536 + 24, 'LVM2 001'],
  ['Apple partition map', 0, 'ER\x02\x00'],
  ['BSD label', 512, '\x57\x45\x56\x82'],
  ['f2fs', 1024, '\x10\x20\xf5\xf2'],
  ['erofs', 1024, '\xe2\xe1\xf5\xe0'],
  ['bcache and bcachefs', 4096 + 24, '\xc6\x85\x73\xf6'],
  ['UDF', 32_768 + 1, 'BEA01'],
  ['cramfs', 0, '\x45\x3d\xcd\x28'],
  ['romfs', 0, '-rom1fs-'],
  ['HFS+', 1024, 'H+\x00\x04'],
  ['APFS', 32, 'NXSB'],
  ['JFS', 32_768, 'JFS1'],
  ['reiserfs', 65_536 + 52, 'ReIsEr'],
  ['UFS', 65_536 + 1372, '\x19\x01\x54\x19'],
];
