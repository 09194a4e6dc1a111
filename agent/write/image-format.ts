import { TinsmithError } from '#proto/errors.ts';

/** Turns what is downloaded into the image. `end` throws `corrupt_image` unless the data was complete. */
export interface Decoder {
  /** Decodes all of `input` before it resolves; the memory may be used again then. */
  push(input: Uint8Array): Promise<void>;
  end(): Promise<void>;
  /** Frees native memory; no push may be under way. */
  close(): void;
}

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
  const text = Buffer.from(start.subarray(0, FORMAT_BYTES)).toString('latin1');
  for (const [pattern, name, fix] of FOREIGN) {
    if (pattern.test(text)) throw new TinsmithError('corrupt_image', `the image is ${name}: ${fix}`);
  }
  return 'raw';
}

/** Undefined: not compressed. */
export function recognizeCompression(start: Uint8Array): ImageFormat | undefined {
  const starts = (...bytes: number[]): boolean => bytes.every((byte, i) => start[i] === byte);
  if (starts(0x1f, 0x8b, 0x08)) return 'gz';
  if (starts(0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00)) return 'xz';
  if (starts(0x28, 0xb5, 0x2f, 0xfd)) return 'zst';
  // A skippable frame may come first (RFC 8878 3.1.2).
  if (start[0] !== undefined && start[0] >> 4 === 5 && start[1] === 0x2a && start[2] === 0x4d && start[3] === 0x18)
    return 'zst';
  const isLevel = start[3] !== undefined && start[3] >= 0x31 && start[3] <= 0x39;
  const isBlock = start[4] === 0x31 && start[5] === 0x41 && start[6] === 0x59;
  const isEmpty = start[4] === 0x17 && start[5] === 0x72 && start[6] === 0x45;
  if (starts(0x42, 0x5a, 0x68) && isLevel && (isBlock || isEmpty)) return 'bz2';
  return undefined;
}

const CONVERT = 'convert it to a raw image, for example with qemu-img convert -O raw';

const FOREIGN: readonly (readonly [RegExp, string, string])[] = [
  [/^QFI\xfb/, 'a qcow2 file', CONVERT],
  [/^(KDMV|COWD|# Disk Descriptor)/, 'a VMDK file', CONVERT],
  [/^vhdxfile/, 'a VHDX file', CONVERT],
  [/^conectix/, 'a VHD file', CONVERT],
  [/^<<< .* VirtualBox Disk Image/, 'a VDI file', CONVERT],
  [/^PK\x03\x04/, 'a zip archive', 'unpack it'],
  [/^7z\xbc\xaf\x27\x1c/, 'a 7z archive', 'unpack it'],
  [/^[^]{257}ustar/, 'a tar archive', 'unpack the image from it'],
  [/^\s*<(!doctype|html|\?xml)/i, 'a web page', 'check the URL'],
  [/^\x04\x22\x4d\x18/, 'compressed with lz4', 'use zst, gz, xz or bz2'],
];

/** Content size that the first zstd frame announces, if it does (RFC 8878 3.1.1.1). */
export function zstdContentBytes(start: Uint8Array): number | undefined {
  const view = new DataView(start.buffer, start.byteOffset, start.byteLength);
  if (start.length < 18 || view.getUint32(0, true) !== 0xfd2fb528) return undefined;
  const descriptor = view.getUint8(4);
  const isSingleSegment = (descriptor & 0x20) !== 0;
  const dictionaryBytes = [0, 1, 2, 4][descriptor & 3] ?? 0;
  const at = 5 + (isSingleSegment ? 0 : 1) + dictionaryBytes;
  switch (descriptor >> 6) {
    case 0:
      return isSingleSegment ? view.getUint8(at) : undefined;
    case 1:
      return view.getUint16(at, true) + 256;
    case 2:
      return view.getUint32(at, true);
    default:
      return Number(view.getBigUint64(at, true));
  }
}
