import { TinsmithError } from '#proto/errors.ts';

/** Turns what is downloaded into the image. `end` throws `corrupt_image` unless the data was complete. */
export interface Decoder {
  /** Decodes all of `input` before it resolves; the memory may be used again then. */
  push(input: Uint8Array): Promise<void>;
  end(): Promise<void>;
  /** Frees native memory; no push may be under way. */
  close(): void;
  /** Resolves when nothing more goes to the sink. Absent: that is so whenever no push is under way. */
  settled?(): Promise<void>;
}

/** What an image may be compressed with. */
export type ImageFormat = 'raw' | 'gz' | 'xz' | 'zst' | 'bz2';

/** Enough to recognise every format below. */
export const FORMAT_BYTES = 512;

/**
 * What the first bytes say; neither the URL's suffix nor COMPRESSED is asked. Throws `corrupt_image` for formats that are no
 * disk image as it is, such as qcow2 or a web page.
 */
export function recognizeFormat(start: Uint8Array): ImageFormat {
  const found = recognizeCompression(start);
  if (found !== undefined) return found;
  const bytes = Buffer.from(start.subarray(0, FORMAT_BYTES));
  const foreign =
    FOREIGN_BYTES.find(([mark]) => bytes.toString('hex').startsWith(mark)) ??
    FOREIGN_TEXTS.find(([pattern]) => pattern.test(bytes.toString('latin1')));
  if (foreign !== undefined) throw new TinsmithError('corrupt_image', `the image is ${foreign[1]}: ${foreign[2]}`);
  return 'raw';
}

/** Undefined: not compressed. */
export function recognizeCompression(start: Uint8Array): ImageFormat | undefined {
  const hex = Buffer.from(start.subarray(0, 8)).toString('hex');
  return COMPRESSIONS.find(([pattern]) => pattern.test(hex))?.[1];
}

/** Of the first bytes in hex. */
const COMPRESSIONS: readonly (readonly [RegExp, ImageFormat])[] = [
  [/^1f8b08/, 'gz'],
  [/^fd377a585a00/, 'xz'],
  // The second is a skippable frame (RFC 8878 3.1.2).
  [/^(28b52ffd|5.2a4d18)/, 'zst'],
  // Level, then a block or the end of the stream.
  [/^425a683[1-9](314159|177245)/, 'bz2'],
];

const CONVERT = 'use the action qemuimg2disk, or convert it with qemu-img convert -O raw';

const FOREIGN_BYTES: readonly (readonly [string, string, string])[] = [
  ['514649fb', 'a qcow2 file', CONVERT],
  ['504b0304', 'a zip archive', 'unpack it'],
  ['377abcaf271c', 'a 7z archive', 'unpack it'],
  ['04224d18', 'compressed with lz4', 'use zst, gz, xz or bz2'],
];

const FOREIGN_TEXTS: readonly (readonly [RegExp, string, string])[] = [
  [/^(KDMV|COWD|# Disk Descriptor)/, 'a VMDK file', CONVERT],
  [/^vhdxfile/, 'a VHDX file', CONVERT],
  [/^conectix/, 'a VHD file', CONVERT],
  [/^<<< .* VirtualBox Disk Image/, 'a VDI file', CONVERT],
  [/^[^]{257}ustar/, 'a tar archive', 'unpack the image from it'],
  [/^\s*<(!doctype|html|\?xml)/i, 'a web page', 'check the URL'],
];
