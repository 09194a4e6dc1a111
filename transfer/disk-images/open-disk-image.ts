import { recognizeCompression } from '../image-format.ts';
import type { DiskImage, ImageLimit, SeekableFile } from './disk-image.ts';
import { isQcow2, openQcow2 } from './qcow2.ts';
import { isVdi, openVdi } from './vdi.ts';
import { isVhdFooter, openVhd } from './vhd.ts';
import { isVhdx, openVhdx } from './vhdx.ts';
import { isVmdk, openVmdk } from './vmdk.ts';

const FOOTER_BYTES = 512;

/**
 * Reads the tables of a disk image in one of the formats that have some; undefined: it is a raw image, or a compressed one. `start`
 * holds the first 64 KiB. Throws `corrupt_image`, or `unsupported` for what only qemu-img can make sense of.
 */
export async function openDiskImage(
  source: SeekableFile,
  start: Buffer,
  limit: ImageLimit,
): Promise<DiskImage | undefined> {
  if (isQcow2(start)) return openQcow2(source, start, limit);
  if (isVmdk(start)) return openVmdk(source, start, limit);
  if (isVhdx(start)) return openVhdx(source, limit);
  if (isVdi(start)) return openVdi(source, start, limit);
  // A fixed VHD begins with the disk itself and is known by its end only.
  if (recognizeCompression(start) !== undefined || source.sizeBytes < 2 * FOOTER_BYTES) return undefined;
  const footer = await source.read(source.sizeBytes - FOOTER_BYTES, FOOTER_BYTES);
  return isVhdFooter(footer) ? openVhd(source, footer, limit) : undefined;
}

/** Whether the file has to be read at any place: without ranges nothing can be made of it. */
export function needsRanges(start: Buffer): boolean {
  return isQcow2(start) || isVmdk(start) || isVhdx(start) || isVdi(start) || isVhdFooter(start);
}
