export type FileSystemName =
  | 'ext2'
  | 'ext3'
  | 'ext4'
  | 'vfat'
  | 'xfs'
  | 'btrfs'
  | 'swap'
  | 'ntfs'
  | 'iso9660'
  | 'squashfs'
  | 'crypto_LUKS'
  | 'LVM2_member'
  | 'linux_raid_member';

/** How much of a partition's start `recognizeFileSystem` looks at. */
export const PROBE_BYTES = 72 * 1024;

/** The file system (or what else) at the start of a partition; undefined when nothing is recognised. */
export function recognizeFileSystem(start: Buffer): FileSystemName | undefined {
  return (
    SIGNATURES.find(([, offset, magic]) => start.toString('latin1', offset, offset + magic.length) === magic)?.[0] ??
    recognizeExtOrFat(start)
  );
}

/** Name, offset and bytes of the mark. Containers come first: what is inside must not be taken for the whole. */
const SIGNATURES: readonly (readonly [FileSystemName, number, string])[] = [
  ['crypto_LUKS', 0, 'LUKS\xba\xbe'],
  // LVM's label is in one of four sectors; pvcreate takes the second one.
  ['LVM2_member', 24, 'LVM2 001'],
  ['LVM2_member', 512 + 24, 'LVM2 001'],
  ['LVM2_member', 1024 + 24, 'LVM2 001'],
  ['LVM2_member', 1536 + 24, 'LVM2 001'],
  ['linux_raid_member', 4096, '\xfc\x4e\x2b\xa9'],
  ['linux_raid_member', 0, '\xfc\x4e\x2b\xa9'],
  ['xfs', 0, 'XFSB'],
  ['squashfs', 0, 'hsqs'],
  ['btrfs', 65_536 + 64, '_BHRfS_M'],
  ['swap', 4096 - 10, 'SWAPSPACE2'],
  ['iso9660', 32_768 + 1, 'CD001'],
  ['ntfs', 3, 'NTFS    '],
];

function recognizeExtOrFat(start: Buffer): FileSystemName | undefined {
  if (start.length >= 2048 && start.readUInt16LE(1024 + 56) === 0xef53) return extVersion(start.subarray(1024));
  const isBootSector = start.length >= 512 && start.readUInt16LE(510) === 0xaa55;
  const sayFat = [start.toString('latin1', 54, 57), start.toString('latin1', 82, 85)].includes('FAT');
  return isBootSector && sayFat ? 'vfat' : undefined;
}

/** By features, as the kernel and blkid tell them apart. */
function extVersion(superblock: Buffer): FileSystemName {
  const [compatible, incompatible, readOnly] = [92, 96, 100].map((at) => superblock.readUInt32LE(at));
  // ext4: extents, 64bit, flex_bg and others; huge_file and newer in the read-only set.
  const isExt4 = ((incompatible ?? 0) & ~0x001f & 0xffff_ffff) !== 0 || ((readOnly ?? 0) & ~0x0007 & 0xffff_ffff) !== 0;
  if (isExt4) return 'ext4';
  return ((compatible ?? 0) & 0x0004) === 0 ? 'ext2' : 'ext3';
}

/** Where the UUID stands; containers and what nobody mounts by UUID have none here. */
const UUID_AT: Readonly<Partial<Record<FileSystemName, number>>> = {
  ext2: 1024 + 104,
  ext3: 1024 + 104,
  ext4: 1024 + 104,
  xfs: 32,
  btrfs: 65_536 + 32,
  swap: 1024 + 12,
};

/** The UUID of a file system or swap area as udev names it below /dev/disk/by-uuid: FAT has a serial number instead. */
export function fileSystemUuid(start: Buffer): string | undefined {
  const found = recognizeFileSystem(start);
  if (found === undefined) return undefined;
  if (found === 'vfat') return fatSerial(start);
  const at = UUID_AT[found];
  return at === undefined ? undefined : uuidAt(start, at);
}

function uuidAt(start: Buffer, at: number): string | undefined {
  const hex = start.toString('hex', at, at + 16);
  if (hex.length < 32 || /^0+$/.test(hex)) return undefined;
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}

function fatSerial(start: Buffer): string | undefined {
  const at = start.toString('latin1', 82, 85) === 'FAT' ? 67 : 39;
  const digits = start.readUInt32LE(at).toString(16).toUpperCase().padStart(8, '0');
  return digits === '00000000' ? undefined : `${digits.slice(0, 4)}-${digits.slice(4)}`;
}

/** Whether a file system may be mounted as `expected`. ext4 mounts the older two. */
export function isMountableAs(found: FileSystemName, expected: string): boolean {
  if (found === expected) return true;
  const ext = ['ext2', 'ext3', 'ext4'];
  if (ext.includes(found)) return expected === 'ext4' || (found === 'ext2' && expected === 'ext3');
  return found === 'vfat' && ['msdos', 'fat', 'fat32'].includes(expected);
}
