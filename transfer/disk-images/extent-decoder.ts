import { promisify } from 'node:util';
import { inflate, inflateRaw, zstdDecompress } from 'node:zlib';
import { TinsmithError } from '#proto/errors.ts';
import type { Extent } from './disk-image.ts';

const inflateAll = promisify(inflate);
const inflateRawAll = promisify(inflateRaw);
const zstdAll = promisify(zstdDecompress);

const GRAIN_HEADER = 12;

/** What a coded extent holds: exactly `diskBytes`. `coded` may go on behind its end. Throws `corrupt_image`. */
export async function decodeExtent({ coding, diskOffset, diskBytes }: Extent, coded: Buffer): Promise<Buffer> {
  let decoded: Buffer;
  try {
    decoded = await decode(coding, coded, { diskOffset, diskBytes });
  } catch (thrown) {
    if (thrown instanceof TinsmithError) throw thrown;
    const fact = thrown instanceof Error ? thrown.message : String(thrown);
    throw damaged(diskOffset, fact, thrown);
  }
  if (decoded.length === diskBytes) return decoded;
  throw damaged(diskOffset, `it unpacks to ${decoded.length} bytes instead of ${diskBytes}`);
}

async function decode(
  coding: Extent['coding'],
  coded: Buffer,
  { diskOffset, diskBytes }: Pick<Extent, 'diskOffset' | 'diskBytes'>,
): Promise<Buffer> {
  const options = { maxOutputLength: diskBytes };
  switch (coding) {
    case 'plain':
      return coded;
    case 'deflate':
      return inflateRawAll(coded, options);
    case 'zstd':
      return zstdAll(coded.subarray(0, zstdFrameBytes(coded)), options);
    case 'grain': {
      const bytes = coded.length < GRAIN_HEADER ? 0 : coded.readUInt32LE(8);
      if (bytes === 0 || GRAIN_HEADER + bytes > coded.length) throw damaged(diskOffset, 'its length is wrong');
      if (coded.readBigUInt64LE(0) * 512n !== BigInt(diskOffset)) throw damaged(diskOffset, 'it belongs elsewhere');
      return inflateAll(coded.subarray(GRAIN_HEADER, GRAIN_HEADER + bytes), options);
    }
  }
}

/**
 * Length of the zstd frame at the start (RFC 8878 3.1.1): sectors are filled up behind it, and the decoder would take that for
 * another frame.
 */
function zstdFrameBytes(coded: Buffer): number {
  if (coded.length < 6 || coded.readUInt32LE(0) !== 0xfd2f_b528) throw new Error('no zstd frame');
  const descriptor = coded.readUInt8(4);
  const isSingle = (descriptor & 0x20) !== 0;
  const sizeBytes = [isSingle ? 1 : 0, 2, 4, 8][descriptor >> 6] ?? 0;
  let at = 5 + (isSingle ? 0 : 1) + ([0, 1, 2, 4][descriptor & 3] ?? 0) + sizeBytes;
  for (let isLast = false; !isLast; ) {
    if (at + 3 > coded.length) throw new Error('the zstd frame is cut short');
    const header = coded.readUIntLE(at, 3);
    isLast = (header & 1) !== 0;
    // A block of one repeated byte holds that byte only.
    at += 3 + (((header >> 1) & 3) === 1 ? 1 : header >> 3);
  }
  at += (descriptor & 4) === 0 ? 0 : 4;
  if (at > coded.length) throw new Error('the zstd frame is cut short');
  return at;
}

function damaged(diskOffset: number, fact: string, cause?: unknown): TinsmithError {
  return new TinsmithError('corrupt_image', `the image is damaged: at byte ${diskOffset} of the disk, ${fact}`, {
    cause,
  });
}
