import { promisify } from 'node:util';
import { inflate, inflateRaw, zstdDecompress } from 'node:zlib';
import { messageOf, TinsmithError } from '#proto/errors.ts';
import { zstdFrameBytes } from '../zstd-frame.ts';
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
    const fact = messageOf(thrown);
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
    case 'zstd': {
      // Sectors are filled up behind the frame, and the decoder would take that for another one.
      const bytes = zstdFrameBytes(coded);
      if (bytes === undefined) throw new Error('the zstd frame is cut short');
      return zstdAll(coded.subarray(0, bytes), options);
    }
    case 'grain': {
      const bytes = coded.length < GRAIN_HEADER ? 0 : coded.readUInt32LE(8);
      if (bytes === 0 || GRAIN_HEADER + bytes > coded.length) throw damaged(diskOffset, 'its length is wrong');
      if (coded.readBigUInt64LE(0) * 512n !== BigInt(diskOffset)) throw damaged(diskOffset, 'it belongs elsewhere');
      return inflateAll(coded.subarray(GRAIN_HEADER, GRAIN_HEADER + bytes), options);
    }
  }
}

function damaged(diskOffset: number, fact: string, cause?: unknown): TinsmithError {
  return new TinsmithError('corrupt_image', `the image is damaged: at byte ${diskOffset} of the disk, ${fact}`, {
    cause,
  });
}
