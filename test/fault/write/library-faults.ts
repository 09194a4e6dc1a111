import { zstdCompressSync, zstdDecompressSync } from 'node:zlib';
import type { LibraryIndex } from '#proto/library-index.ts';
import {
  otherFrame,
  type PackedLibraryImage,
  packedLibraryImage,
  withIndex,
  wrongSum,
} from '#test/support/library-server.ts';
import type { Random } from '../fault-run.ts';
import {
  type BadTls,
  cutAfter,
  cutAt,
  fileInstead,
  first,
  headInstead,
  noHttp,
  redirect,
  resetAfter,
  silence,
  silenceAfter,
  slowBody,
  slowHead,
  status,
  untilClose,
} from './answers.ts';
import { flipped } from './fault-image.ts';
import type { Fault } from './faulty-server.ts';

export interface LibrarySetup {
  readonly image: Buffer;
  readonly packed: PackedLibraryImage;
  readonly random: Random;
  readonly badTls: BadTls;
}

/** Where the fault lies; everything else is answered well. `image`: another image under the name, with all its files. */
export type LibraryFault = {
  readonly name: string;
  readonly ends: 'written' | 'refused' | 'either';
} & (
  | { readonly where: 'image.zst' | 'index.json' | 'index.sig'; readonly make: (setup: LibrarySetup) => Fault }
  | {
      readonly where: 'image';
      readonly make: (setup: LibrarySetup) => Promise<PackedLibraryImage> | PackedLibraryImage;
    }
);

const middle = ({ packed, random }: LibrarySetup): number =>
  random.between(100_000, packed.files['image.zst'].length * 0.9);
const flippedPart: (random: Random) => Fault = (random) => (asked) =>
  fileInstead(flipped(asked.file, random, asked.from, asked.end))(asked);
/** A whole answer of a piece, so that every request brings one frame at least. */
const PIECE = 3 << 20;

/** Faults of what frames come with. Each is tried for the only mirror, and for the first of two. */
export const FRAME_FAULTS: readonly LibraryFault[] = [
  { name: 'cut at the same byte for ever', ends: 'refused', where: 'image.zst', make: (setup) => cutAt(middle(setup)) },
  { name: 'reset by the peer for ever', ends: 'refused', where: 'image.zst', make: () => resetAfter(1000) },
  { name: 'cut after every piece', ends: 'written', where: 'image.zst', make: () => cutAfter(PIECE) },
  { name: 'bit flipped once', ends: 'written', where: 'image.zst', make: ({ random }) => first(flippedPart(random)) },
  { name: 'bit flipped for ever', ends: 'refused', where: 'image.zst', make: ({ random }) => flippedPart(random) },
  {
    name: '206 with another range for ever',
    ends: 'refused',
    where: 'image.zst',
    make: () => headInstead(({ from, end, file }) => ({ 'content-range': `bytes ${from + 1}-${end}/${file.length}` })),
  },
  {
    name: '206 with other bytes once',
    ends: 'written',
    where: 'image.zst',
    make: ({ packed }) => first(fileInstead(Buffer.from(packed.files['image.zst'].toReversed()))),
  },
  { name: 'ranges ignored', ends: 'refused', where: 'image.zst', make: () => wholeAlways },
  { name: 'more than was asked for', ends: 'written', where: 'image.zst', make: () => moreThanAsked },
  { name: 'less than was asked for', ends: 'refused', where: 'image.zst', make: () => lessThanAsked },
  {
    name: 'file replaced in the middle',
    ends: 'refused',
    where: 'image.zst',
    make: ({ packed, random }) => {
      const other = fileInstead(random.bytes(packed.files['image.zst'].length));
      return (asked) => (asked.earlier < 3 ? false : other(asked));
    },
  },
  {
    name: 'file cut on the server',
    ends: 'refused',
    where: 'image.zst',
    make: (setup) => fileInstead(setup.packed.files['image.zst'].subarray(0, middle(setup))),
  },
  { name: 'ended by the connection', ends: 'refused', where: 'image.zst', make: (setup) => untilClose(middle(setup)) },
  { name: 'silence', ends: 'refused', where: 'image.zst', make: () => silence },
  {
    name: 'silence in the middle, once',
    ends: 'written',
    where: 'image.zst',
    make: () => first(silenceAfter(100_000)),
  },
  { name: 'slow head', ends: 'refused', where: 'image.zst', make: () => slowHead },
  { name: 'slow body', ends: 'refused', where: 'image.zst', make: () => slowBody },
  {
    name: 'redirected in a circle',
    ends: 'refused',
    where: 'image.zst',
    make: () => redirect(({ request }) => request.url ?? ''),
  },
  {
    name: 'redirected to nobody',
    ends: 'refused',
    where: 'image.zst',
    make: () => redirect(() => 'http://127.0.0.1:1/'),
  },
  {
    name: 'TLS of an unknown authority',
    ends: 'refused',
    where: 'image.zst',
    make: ({ badTls }) => redirect(() => badTls.unknownAuthority),
  },
  {
    name: 'TLS is plain text',
    ends: 'refused',
    where: 'image.zst',
    make: ({ badTls }) => redirect(() => badTls.plainText),
  },
  { name: 'no HTTP', ends: 'refused', where: 'image.zst', make: () => noHttp },
  { name: '500 for ever', ends: 'refused', where: 'image.zst', make: () => status(500) },
  {
    name: '503 burst',
    ends: 'written',
    where: 'image.zst',
    make: ({ random }) => first(status(503), random.between(1, 12)),
  },
  {
    name: '502 burst in the middle',
    ends: 'written',
    where: 'image.zst',
    make: () => (asked) => (asked.earlier >= 2 && asked.earlier < 12 ? status(502)(asked) : false),
  },
  { name: '404', ends: 'refused', where: 'image.zst', make: () => status(404) },
];

/** Faults of the index, its signature, and of the image that was imported. */
export const INDEX_FAULTS: readonly LibraryFault[] = [
  {
    name: 'index cut',
    ends: 'refused',
    where: 'index.json',
    make: ({ packed, random }) => fileInstead(cutSomewhere(packed.files['index.json'], random)),
  },
  {
    name: 'bit flipped in the index',
    ends: 'refused',
    where: 'index.json',
    make: ({ packed, random }) => fileInstead(flipped(packed.files['index.json'], random)),
  },
  { name: 'index: 503 burst', ends: 'written', where: 'index.json', make: () => first(status(503), 4) },
  { name: 'index: connection cut once', ends: 'written', where: 'index.json', make: () => first(cutAfter(50)) },
  { name: 'index: silence', ends: 'refused', where: 'index.json', make: () => silence },
  {
    name: 'index: redirected in a circle',
    ends: 'refused',
    where: 'index.json',
    make: () => redirect(({ request }) => request.url ?? ''),
  },
  {
    name: 'signature cut',
    ends: 'refused',
    where: 'index.sig',
    make: ({ packed, random }) => fileInstead(packed.files['index.sig'].subarray(0, random.between(1, 80))),
  },
  {
    name: 'bit flipped in the signature',
    ends: 'refused',
    where: 'index.sig',
    make: ({ packed, random }) => fileInstead(flipped(packed.files['index.sig'], random, 0, 80)),
  },
  { name: 'signature: 404', ends: 'refused', where: 'index.sig', make: () => status(404) },
  {
    name: 'signature of somebody else',
    ends: 'refused',
    where: 'index.sig',
    make: ({ random }) => fileInstead(Buffer.from(random.bytes(64).toString('base64'))),
  },
  {
    name: 'a frame has another sum than what it holds',
    ends: 'refused',
    where: 'image',
    make: ({ packed }) => otherFrame(packed, wrongSum),
  },
  {
    name: 'a frame without a sum holds other bytes',
    ends: 'refused',
    where: 'image',
    make: ({ packed, random }) =>
      otherFrame(packed, (frame) => zstdCompressSync(flipped(zstdDecompressSync(frame), random))),
  },
  {
    name: 'a frame decodes to another length',
    ends: 'refused',
    where: 'image',
    make: async ({ image, packed }) =>
      swapFrames(packed, await packedLibraryImage(image.subarray(0, image.length - (1 << 20)))),
  },
  {
    name: 'image cut before its import',
    ends: 'refused',
    where: 'image',
    make: ({ image, random }) =>
      packedLibraryImage(image.subarray(0, 512 * random.between(4096, image.length / 512 - 100))),
  },
  {
    name: 'partition table damaged before its import',
    ends: 'refused',
    where: 'image',
    make: ({ image, random }) => packedLibraryImage(flipped(image, random, 520, 604)),
  },
];

const wholeAlways: Fault = ({ response, file }) =>
  void response.writeHead(200, { 'content-length': file.length }).end(file);

const moreThanAsked: Fault = ({ response, file, from, end }) => {
  const range = `bytes ${from}-${end - 1}/${file.length}`;
  response.writeHead(206, { 'content-range': range, 'content-length': end - from + 100 });
  response.end(Buffer.concat([file.subarray(from, end), Buffer.alloc(100)]));
};

const lessThanAsked: Fault = ({ response, file, from, end }) => {
  const range = `bytes ${from}-${end - 1}/${file.length}`;
  const bytes = Math.min(1000, end - from - 1);
  response.writeHead(206, { 'content-range': range, 'content-length': bytes });
  response.end(file.subarray(from, from + bytes));
};

function cutSomewhere(file: Buffer, random: Random): Buffer {
  return file.subarray(0, random.between(1, file.length));
}

/** The last frame of a shorter image in place of the own one: right by its sums as a file, and too short. */
function swapFrames({ index, files }: PackedLibraryImage, shorter: PackedLibraryImage): PackedLibraryImage {
  const [own, other] = [index.frames.at(-1), shorter.index.frames.at(-1)];
  if (own?.sums === undefined || other?.sums === undefined) throw new Error('the last frame holds only zeros');
  const start = files['image.zst'].subarray(0, own.fileOffset);
  const frame = shorter.files['image.zst'].subarray(other.fileOffset, other.fileOffset + other.fileBytes);
  const swapped = { ...own, fileBytes: other.fileBytes, sums: { ...own.sums, file: other.sums.file } };
  const file = Buffer.concat([start, frame]);
  const changed: LibraryIndex = { ...index, fileBytes: file.length, frames: [...index.frames.slice(0, -1), swapped] };
  return withIndex(changed, file);
}
