import { createHash } from 'node:crypto';
import { gzipSync } from 'node:zlib';
import type { ImageFormat } from '#transfer/image-format.ts';
import type { Random } from '../fault-run.ts';
import {
  type BadTls,
  chunked,
  cutAfter,
  cutAt,
  fileInstead,
  first,
  firstThen,
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
import { compress, flipped } from './fault-image.ts';
import type { Fault } from './faulty-server.ts';

/** What a fault is made for. */
export interface UrlSetup {
  readonly image: Buffer;
  /** The image as it is served. */
  readonly file: Buffer;
  readonly format: ImageFormat;
  readonly random: Random;
  readonly badTls: BadTls;
}

export interface UrlFault {
  readonly name: string;
  /** How the run must end; `either`: what it says must be true all the same. */
  readonly ends: 'written' | 'refused' | 'either';
  /** Which checksum the operator gave, beside whatever the format has. */
  readonly sum?: 'sha256' | 'rawSha256';
  readonly isFor?: (format: ImageFormat) => boolean;
  readonly make: (setup: UrlSetup) => Fault | Promise<Fault>;
}

/** Somewhere in the middle of a file. */
const middle = ({ file, random }: UrlSetup): number => random.between(file.length / 10, file.length * 0.9);
const isPacked = (format: ImageFormat): boolean => format !== 'raw';
const hasOwnSum = (format: ImageFormat): boolean => ['gz', 'xz', 'bz2'].includes(format);

export const URL_FAULTS: readonly UrlFault[] = [
  { name: 'cut at the same byte for ever', ends: 'refused', make: (setup) => cutAt(middle(setup)) },
  { name: 'reset by the peer for ever', ends: 'refused', make: () => resetAfter(0) },
  {
    name: 'cut after every piece',
    ends: 'written',
    make: ({ file, random }) => cutAfter(Math.ceil(file.length / random.between(3, 12))),
  },
  {
    name: 'reset now and then',
    ends: 'written',
    make: ({ file, random }) => first(resetAfter(file.length / 8), random.between(1, 5)),
  },
  { name: 'no ETag, cut once', ends: 'written', make: (setup) => first(cutAfter(middle(setup), { etag: undefined })) },
  { name: 'ranges ignored', ends: 'written', make: (setup) => firstThen(cutAfter(middle(setup)), wholeAlways) },
  {
    name: 'file cut on the server',
    ends: 'refused',
    make: (setup) => fileInstead(setup.file.subarray(0, middle(setup))),
  },
  { name: 'empty file', ends: 'refused', make: () => emptyFile },
  {
    name: 'image cut before it was packed',
    ends: 'refused',
    make: async ({ image, format, random }) =>
      fileInstead(await compress(format, image.subarray(0, random.between(image.length / 4, image.length - 1)))),
  },
  {
    name: 'image cut at a whole block before it was packed',
    ends: 'refused',
    make: async ({ image, format, random }) =>
      fileInstead(await compress(format, image.subarray(0, 512 * random.between(4096, image.length / 512 - 100)))),
  },
  {
    name: 'partition table damaged before it was packed',
    ends: 'refused',
    make: async ({ image, format, random }) => fileInstead(await compress(format, flipped(image, random, 520, 604))),
  },
  {
    name: 'length too long',
    ends: 'refused',
    make: ({ file }) => headInstead(({ from }) => longer(from, file.length)),
  },
  {
    name: 'length too short',
    ends: 'refused',
    make: (setup) => fileInstead(setup.file, { 'content-length': middle(setup) }),
  },
  { name: 'chunked', ends: 'written', make: () => chunked() },
  { name: 'chunked and cut', ends: 'refused', make: (setup) => chunked(middle(setup)) },
  { name: 'ended by the connection', ends: 'refused', make: (setup) => untilClose(middle(setup)) },
  {
    name: 'ended by the connection, sum given',
    ends: 'refused',
    sum: 'sha256',
    make: (setup) => untilClose(middle(setup)),
  },
  {
    name: 'bit flipped, sum given',
    ends: 'refused',
    sum: 'sha256',
    make: (setup) => fileInstead(flipped(setup.file, setup.random)),
  },
  {
    name: 'bit flipped in the image, its sum given',
    ends: 'refused',
    sum: 'rawSha256',
    make: async ({ image, format, random }) => fileInstead(await compress(format, flipped(image, random, 9 << 20))),
  },
  {
    name: 'bit flipped, the format’s own sum',
    ends: 'either',
    isFor: hasOwnSum,
    make: (setup) => fileInstead(flipped(setup.file, setup.random)),
  },
  {
    name: '206 with another range',
    ends: 'refused',
    make: (setup) =>
      firstThen(
        cutAfter(middle(setup)),
        headInstead(({ from, file }) => ({ 'content-range': `bytes ${from + 512}-${file.length - 1}/${file.length}` })),
      ),
  },
  {
    name: '206 of another file under the same ETag, sum given',
    ends: 'refused',
    sum: 'sha256',
    make: (setup) => firstThen(cutAfter(middle(setup)), fileInstead(Buffer.from(setup.file.toReversed()))),
  },
  {
    name: 'another length in the middle',
    ends: 'refused',
    make: (setup) => firstThen(cutAfter(middle(setup)), fileInstead(Buffer.concat([setup.file, Buffer.alloc(512)]))),
  },
  {
    name: 'another ETag in the middle',
    ends: 'refused',
    make: (setup) => firstThen(cutAfter(middle(setup)), otherVersion(flipped(setup.file, setup.random))),
  },
  { name: 'silence', ends: 'refused', make: () => silence },
  { name: 'silence in the middle, once', ends: 'written', make: (setup) => first(silenceAfter(middle(setup))) },
  { name: 'slow head', ends: 'refused', make: () => slowHead },
  { name: 'slow body', ends: 'refused', make: () => slowBody },
  { name: 'redirected in a circle', ends: 'refused', make: () => redirect(({ request }) => request.url ?? '') },
  { name: 'redirected to nobody', ends: 'refused', make: () => redirect(() => 'http://127.0.0.1:1/image') },
  { name: 'redirected to nowhere', ends: 'refused', make: () => status(302) },
  {
    name: 'TLS of an unknown authority',
    ends: 'refused',
    make: ({ badTls }) => redirect(() => badTls.unknownAuthority),
  },
  { name: 'TLS without certificate', ends: 'refused', make: ({ badTls }) => redirect(() => badTls.noCertificate) },
  { name: 'TLS is plain text', ends: 'refused', make: ({ badTls }) => redirect(() => badTls.plainText) },
  { name: 'no HTTP', ends: 'refused', make: () => noHttp },
  { name: '500 for ever', ends: 'refused', make: () => status(500) },
  { name: '503 burst', ends: 'written', make: ({ random }) => first(status(503), random.between(1, 8)) },
  {
    name: '502 burst in the middle',
    ends: 'written',
    make: (setup) => {
      const burst = setup.random.between(1, 8);
      const cut = cutAfter(middle(setup));
      return (asked) => (asked.earlier === 0 ? cut(asked) : asked.earlier <= burst ? status(502)(asked) : false);
    },
  },
  { name: '404', ends: 'refused', make: () => status(404) },
  { name: '416 in the middle', ends: 'refused', make: (setup) => firstThen(cutAfter(middle(setup)), status(416)) },
  {
    name: 'web page',
    ends: 'refused',
    make: () => fileInstead(Buffer.from(`<!doctype html><p>Log in ${' '.repeat(5000)}`)),
  },
  {
    name: 'packed twice',
    ends: 'refused',
    isFor: isPacked,
    make: ({ file }) => fileInstead(gzipSync(file, { level: 1 })),
  },
];

function longer(from: number, bytes: number): Record<string, string | number> {
  const total = bytes + 1000;
  const range = from === 0 ? {} : { 'content-range': `bytes ${from}-${total - 1}/${total}` };
  return { 'content-length': total - from, ...range };
}

const wholeAlways: Fault = ({ response, file }) => {
  response.writeHead(200, { etag: '"the-file"', 'content-length': file.length }).end(file);
};

const emptyFile: Fault = ({ response }) => void response.writeHead(200, { 'content-length': 0 }).end();

/** A file that was replaced: whoever asks for the rest of the old one gets all of the new one. */
function otherVersion(file: Buffer): Fault {
  return ({ response }) => void response.writeHead(200, { etag: '"another"', 'content-length': file.length }).end(file);
}

export function sha256(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex');
}
