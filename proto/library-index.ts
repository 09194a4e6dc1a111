import { TinsmithError } from './errors.ts';

/**
 * The index of a library image: what the server makes at import, signs, and every agent checks each byte by. The image lies beside
 * it as a zstd file of independent frames (RFC 8878, with the seek table of zstd's "seekable format"), so that any part of it can be
 * fetched, checked and decoded by itself, and `zstd -d` gives the image back.
 */
export interface LibraryIndex {
  /** Of the image, as the disk will hold it. */
  readonly imageBytes: number;
  /** SHA-256 of the image, lower-case hex. */
  readonly imageSha256: string;
  /** Of the zstd file, seek table included. */
  readonly fileBytes: number;
  readonly fileSha256: string;
  /** In the order of the image; each but the last holds FRAME_BYTES of it. */
  readonly frames: readonly LibraryFrame[];
}

export interface LibraryFrame {
  /** Where its bytes lie in the zstd file. */
  readonly fileOffset: number;
  readonly fileBytes: number;
  /** Where it belongs in the image. */
  readonly imageOffset: number;
  readonly imageBytes: number;
  /** Absent: the frame is zeros only; nobody needs to fetch it. */
  readonly sums?: FrameSums;
}

/** SHA-256 in lower-case hex. */
export interface FrameSums {
  /** Of the frame as it is fetched: checked before it is decoded. */
  readonly file: string;
  /** Of what it decodes to: checked before it is written. */
  readonly image: string;
}

/** Of the image in one frame: large enough for zstd to compress well, small enough to fetch again. */
export const FRAME_BYTES = 4 << 20;

/** zstd's bound for what cannot be compressed (RFC 8878: blocks of 128 KiB), generously. */
export const LARGEST_FRAME_BYTES = FRAME_BYTES + (FRAME_BYTES >> 7) + 1024;

/** 4 EiB would be more than any disk; this keeps every sum an exact number. */
const LARGEST_IMAGE_BYTES = 2 ** 50;
const FORMAT = 'tinsmith-library-1';

/** The document that is signed and digested: JSON, one line a run of frames. */
export function formatLibraryIndex(index: LibraryIndex): string {
  const { imageBytes, imageSha256, fileBytes, fileSha256 } = index;
  const head = { format: FORMAT, frameBytes: FRAME_BYTES, imageBytes, imageSha256, fileBytes, fileSha256 };
  const lines = runsOf(index.frames).map((run) => JSON.stringify(run));
  return `${JSON.stringify(head).slice(0, -1)},"frames":[\n${lines.join(',\n')}\n]}\n`;
}

/**
 * Reads the document and checks that it makes sense by itself: frames fill the image and the file without gaps. Throws
 * `corrupt_image`. The signature is the caller's to check, before.
 */
export function parseLibraryIndex(text: string): LibraryIndex {
  const document = parseJson(text);
  if (document['format'] !== FORMAT || document['frameBytes'] !== FRAME_BYTES) {
    throw bad(`it has the format ${JSON.stringify(document['format'])}, this version knows ${FORMAT}`);
  }
  const imageBytes = count(document['imageBytes'], LARGEST_IMAGE_BYTES);
  const fileBytes = count(document['fileBytes'], LARGEST_IMAGE_BYTES * 2);
  const runs: unknown = document['frames'];
  if (!Array.isArray(runs) || imageBytes === 0) throw bad('it names no frames');
  const frames: LibraryFrame[] = [];
  let [fileOffset, imageOffset] = [0, 0];
  for (const run of runs) {
    const { repeat, frameFileBytes, sums } = parseRun(run);
    if (repeat > Math.ceil((imageBytes - imageOffset) / FRAME_BYTES)) throw bad('its frames are longer than the image');
    for (let i = 0; i < repeat; i++) {
      const length = Math.min(FRAME_BYTES, imageBytes - imageOffset);
      frames.push({ fileOffset, fileBytes: frameFileBytes, imageOffset, imageBytes: length, ...(sums && { sums }) });
      fileOffset += frameFileBytes;
      imageOffset += length;
    }
  }
  if (imageOffset !== imageBytes) throw bad(`its frames hold ${imageOffset} of ${imageBytes} bytes`);
  if (fileOffset > fileBytes) throw bad(`its frames end at ${fileOffset}, the file at ${fileBytes}`);
  const [imageSha256, fileSha256] = [hex(document['imageSha256']), hex(document['fileSha256'])];
  return { imageBytes, imageSha256, fileBytes, fileSha256, frames };
}

/** Frames of zeros that follow each other are one run: `["z", count, bytes in the file]`; others `["d", bytes, sum, sum]`. */
function runsOf(frames: readonly LibraryFrame[]): (readonly (string | number)[])[] {
  const runs: (readonly (string | number)[])[] = [];
  for (let at = 0; at < frames.length; ) {
    const { fileBytes, sums } = frames[at] ?? { fileBytes: 0 };
    let end = at + 1;
    if (sums === undefined) while (isZeros(frames[end], fileBytes)) end++;
    runs.push(sums === undefined ? ['z', end - at, fileBytes] : ['d', fileBytes, sums.file, sums.image]);
    at = end;
  }
  return runs;
}

function isZeros(frame: LibraryFrame | undefined, fileBytes: number): boolean {
  return frame !== undefined && frame.sums === undefined && frame.fileBytes === fileBytes;
}

interface Run {
  readonly repeat: number;
  readonly frameFileBytes: number;
  readonly sums?: FrameSums;
}

function parseRun(run: unknown): Run {
  if (Array.isArray(run) && run[0] === 'z' && run.length === 3) {
    const repeat = count(run[1], LARGEST_IMAGE_BYTES);
    return { repeat, frameFileBytes: count(run[2], LARGEST_FRAME_BYTES) };
  }
  if (Array.isArray(run) && run[0] === 'd' && run.length === 4) {
    const frameFileBytes = count(run[1], LARGEST_FRAME_BYTES);
    return { repeat: 1, frameFileBytes, sums: { file: hex(run[2]), image: hex(run[3]) } };
  }
  throw bad('one of its frames is of no known kind');
}

function parseJson(text: string): Readonly<Record<string, unknown>> {
  try {
    const document: unknown = JSON.parse(text);
    if (typeof document === 'object' && document !== null) return Object.fromEntries(Object.entries(document));
  } catch {
    // Said below, without quoting what came.
  }
  throw bad('it is no JSON object');
}

function count(value: unknown, most: number): number {
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 && value <= most) return value;
  throw bad(`it has ${JSON.stringify(value)?.slice(0, 40) ?? 'nothing'} for a number of at most ${most}`);
}

function hex(value: unknown): string {
  if (typeof value === 'string' && /^[0-9a-f]{64}$/.test(value)) return value;
  throw bad('one of its checksums is no SHA-256');
}

function bad(fact: string): TinsmithError {
  return new TinsmithError('corrupt_image', `cannot read the index of the library image: ${fact}`);
}
