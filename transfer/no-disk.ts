import { recognizeFileSystem } from './file-system-probe.ts';
import { isOtherFormat } from './other-formats.ts';

/** Of the text that an image begins with: enough to know it again, and less than a secret has. */
const TEXT_SHOWN = 24;
const BYTES_SHOWN = 16;

/**
 * How an image begins that looks like no disk at all, in words; undefined: something at its start is known. `head`: as much of it as
 * holds a partition table. It is a reason to look twice and none to refuse it: a disk may hold what nobody else knows.
 */
export function noDisk(head: Buffer): string | undefined {
  if (hasBootSector(head) || recognizeFileSystem(head) !== undefined || isOtherFormat(head)) return undefined;
  const text = /^(?:\xef\xbb\xbf)?([\t\n\r\x20-\x7e]{8,})/.exec(head.toString('latin1', 0, BYTES_SHOWN * 4))?.[1];
  if (text !== undefined) return `it begins with the text ${JSON.stringify(text.slice(0, TEXT_SHOWN))}`;
  if (head.every((byte) => byte === 0)) return 'it begins with nothing but zeros';
  return `it begins with the bytes ${head.subarray(0, BYTES_SHOWN).toString('hex')}`;
}

/** What people are told of it. `doubt` is what `noDisk` said. */
export function noDiskWarning(doubt: string): string {
  return `looks like no disk: it has no partition table, boot sector or file system that is known, ${doubt}`;
}

/** Ends an MBR, the one that protects a GPT, and the boot sectors of FAT, exFAT and NTFS. */
function hasBootSector(head: Buffer): boolean {
  return head.length >= 512 && head.readUInt16LE(510) === 0xaa55;
}
