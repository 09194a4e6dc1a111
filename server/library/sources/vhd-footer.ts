import { TinsmithError } from '#proto/errors.ts';
import type { ImageLimit } from '#transfer/disk-images/disk-image.ts';
import { isVhdFooter, openVhd } from '#transfer/disk-images/vhd.ts';

const FOOTER_BYTES = 512;

/**
 * A fixed VHD is a raw image with a footer, which is known when it comes: it is left out, everything else passes. Throws
 * `corrupt_image` when the footer does not fit what came before it.
 */
export async function* withoutVhdFooter(
  stream: AsyncIterable<Uint8Array>,
  limit: ImageLimit,
): AsyncGenerator<Uint8Array> {
  let kept = Buffer.alloc(0);
  let bytes = 0;
  for await (const piece of stream) {
    bytes += piece.length;
    const passing = kept.length + piece.length - FOOTER_BYTES;
    if (passing <= 0) {
      kept = Buffer.concat([kept, piece]);
      continue;
    }
    const ofKept = Math.min(kept.length, passing);
    const tail = Buffer.concat([kept.subarray(ofKept), piece.subarray(passing - ofKept)]);
    if (ofKept > 0) yield kept.subarray(0, ofKept);
    if (passing > ofKept) yield piece.subarray(0, passing - ofKept);
    kept = tail;
  }
  if (kept.length < FOOTER_BYTES || !isVhdFooter(kept)) {
    yield kept;
    return;
  }
  const { virtualBytes } = await openVhd({ sizeBytes: bytes, read: refuseRead }, kept, limit);
  if (virtualBytes === bytes - FOOTER_BYTES) return;
  const fact = `its footer says ${virtualBytes} bytes, before it are ${bytes - FOOTER_BYTES}`;
  throw new TinsmithError('corrupt_image', `the vhd image is damaged: ${fact}: copy it again`);
}

/** Only a fixed one has a footer and no header. */
async function refuseRead(): Promise<Buffer> {
  throw new TinsmithError('corrupt_image', 'the vhd image is damaged: its header is missing at its start');
}
