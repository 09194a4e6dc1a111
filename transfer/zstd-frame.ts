/** What the head of a zstd frame says (RFC 8878, section 3.1.1). */
export interface ZstdFrameHead {
  /** Bytes of the frame before its first block. */
  readonly headBytes: number;
  /** Undefined: it does not say. */
  readonly contentBytes: number | undefined;
  /** Whether the frame ends with the sum of its contents (XXH64), which every decoder compares. */
  readonly hasSum: boolean;
}

const MAGIC = 0xfd2f_b528;
const SUM_BYTES = 4;
const RUN_BLOCK = 1;

/** Undefined: `start` is no zstd frame, or too short for a head, which has 18 bytes at most. */
export function zstdFrameHead(start: Uint8Array): ZstdFrameHead | undefined {
  const bytes = Buffer.from(start.buffer, start.byteOffset, start.byteLength);
  if (bytes.length < 6 || bytes.readUInt32LE(0) !== MAGIC) return undefined;
  const descriptor = bytes.readUInt8(4);
  const isSingleSegment = (descriptor & 0x20) !== 0;
  const dictionaryBytes = [0, 1, 2, 4][descriptor & 3] ?? 0;
  const at = 5 + (isSingleSegment ? 0 : 1) + dictionaryBytes;
  const lengthBytes = [isSingleSegment ? 1 : 0, 2, 4, 8][descriptor >> 6] ?? 0;
  const headBytes = at + lengthBytes;
  if (headBytes > bytes.length) return undefined;
  return { headBytes, contentBytes: contentBytes(bytes, at, lengthBytes), hasSum: (descriptor & 4) !== 0 };
}

function contentBytes(bytes: Buffer, at: number, lengthBytes: number): number | undefined {
  if (lengthBytes === 0) return undefined;
  if (lengthBytes === 8) return Number(bytes.readBigUInt64LE(at));
  return bytes.readUIntLE(at, lengthBytes) + (lengthBytes === 2 ? 256 : 0);
}

/** Length of the zstd frame at the start, its sum included. Undefined: there is none, or it is cut short. */
export function zstdFrameBytes(bytes: Buffer): number | undefined {
  const head = zstdFrameHead(bytes);
  if (head === undefined) return undefined;
  let at = head.headBytes;
  for (let isLast = false; !isLast; ) {
    if (at + 3 > bytes.length) return undefined;
    const block = bytes.readUIntLE(at, 3);
    isLast = (block & 1) !== 0;
    // A block of one repeated byte holds that byte only.
    at += 3 + (((block >> 1) & 3) === RUN_BLOCK ? 1 : block >> 3);
  }
  at += head.hasSum ? SUM_BYTES : 0;
  return at > bytes.length ? undefined : at;
}

/**
 * Whether `bytes` are one zstd frame and nothing else that says it holds `contentBytes` and ends with their sum: a decoder that took all
 * of it has compared that sum with what it made.
 */
export function hasOwnSum(bytes: Buffer, contentBytes: number): boolean {
  const head = zstdFrameHead(bytes);
  return head?.hasSum === true && head.contentBytes === contentBytes && zstdFrameBytes(bytes) === bytes.length;
}
