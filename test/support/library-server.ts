import { generateKeyPairSync, hash, sign } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { formatLibraryIndex, type LibraryIndex } from '#proto/library-index.ts';
import { packImage } from '#server/library/pack-image.ts';

/** A packed image with its signed index, as it lies in a library. */
export interface PackedLibraryImage {
  readonly index: LibraryIndex;
  readonly files: Readonly<Record<'image.zst' | 'index.json' | 'index.sig', Buffer>>;
  readonly publicKey: string;
}

const KEYS = generateKeyPairSync('ed25519');

export async function packedLibraryImage(image: Buffer): Promise<PackedLibraryImage> {
  const pieces: Buffer[] = [];
  const index = await packImage(one(image), async (bytes) => void pieces.push(Buffer.from(bytes)), {
    level: 1,
    signal: new AbortController().signal,
    progress: () => undefined,
  });
  return withIndex(index, Buffer.concat(pieces));
}

/** The last frame is another one; its sum as a part of the file is right. */
export function otherFrame(
  { index, files }: PackedLibraryImage,
  change: (frame: Buffer) => Buffer,
): PackedLibraryImage {
  const own = index.frames.at(-1);
  if (own?.sums === undefined) throw new Error('the last frame holds only zeros');
  const { fileOffset, fileBytes, sums } = own;
  const frame = change(Buffer.from(files['image.zst'].subarray(fileOffset, fileOffset + fileBytes)));
  const changed = { ...own, fileBytes: frame.length, sums: { ...sums, file: hash('sha256', frame) } };
  const file = Buffer.concat([files['image.zst'].subarray(0, fileOffset), frame]);
  return withIndex({ ...index, fileBytes: file.length, frames: [...index.frames.slice(0, -1), changed] }, file);
}

/** For `otherFrame`: what the frame says of its contents is wrong by one bit. */
export function wrongSum(frame: Buffer): Buffer {
  frame.writeUInt8(frame.readUInt8(frame.length - 1) ^ 1, frame.length - 1);
  return frame;
}

/** The same image with another index, signed all the same. */
export function withIndex(index: LibraryIndex, file: Buffer): PackedLibraryImage {
  const document = Buffer.from(formatLibraryIndex(index));
  const signature = Buffer.from(sign(null, document, KEYS.privateKey).toString('base64'));
  return {
    index,
    files: { 'image.zst': file, 'index.json': document, 'index.sig': signature },
    publicKey: KEYS.publicKey.export({ type: 'spki', format: 'pem' }).toString(),
  };
}

async function* one(image: Buffer): AsyncGenerator<Buffer> {
  yield await Promise.resolve(image);
}

/** How one request of frames is answered: `bytes` are those that it asks for. */
export type FrameAnswer = (range: RangeAsked, response: ServerResponse) => void;

export interface RangeAsked {
  readonly from: number;
  readonly end: number;
  readonly total: number;
  readonly bytes: Buffer;
}

export interface LibraryServer extends AsyncDisposable {
  readonly url: URL;
  /** Byte ranges of the image that were asked for. */
  readonly ranges: readonly (readonly [from: number, end: number])[];
}

/** A real HTTP server on a free port of 127.0.0.1; `answers` are for requests of frames, those beyond the list are answered well. */
export async function libraryServer(
  { files }: PackedLibraryImage,
  answers: readonly FrameAnswer[] = [],
): Promise<LibraryServer> {
  const ranges: (readonly [number, number])[] = [];
  const sockets = new Set<Socket>();
  const server = createServer((request, response) => {
    response.on('error', () => undefined);
    const name = (request.url ?? '').split('/').at(-1);
    if (name !== 'image.zst' && name !== 'index.json' && name !== 'index.sig')
      return void response.writeHead(404).end();
    const body = files[name];
    const range = name === 'image.zst' ? rangeOf(request, body) : undefined;
    if (range === undefined) return void response.writeHead(200, { 'content-length': body.length }).end(body);
    ranges.push([range.from, range.end]);
    const answer = answers[ranges.length - 1] ?? wholeRange;
    answer(range, response);
  });
  server.on('connection', (socket) => sockets.add(socket.on('close', () => sockets.delete(socket))));
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  const { port } = server.address() as AddressInfo;
  return {
    url: new URL(`http://127.0.0.1:${port}/library/`),
    ranges,
    [Symbol.asyncDispose]: async () => {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => {
        server.close(resolve);
      });
    },
  };
}

function rangeOf(request: IncomingMessage, body: Buffer): RangeAsked | undefined {
  const [, from, last] = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? '') ?? [];
  if (from === undefined || last === undefined) return undefined;
  const end = Number(last) + 1;
  return { from: Number(from), end, total: body.length, bytes: body.subarray(Number(from), end) };
}

export function rangeHead({ from, end, total }: RangeAsked): Record<string, string | number> {
  return { 'content-length': end - from, 'content-range': `bytes ${from}-${end - 1}/${total}` };
}

export const wholeRange: FrameAnswer = (range, response) => {
  response.writeHead(206, rangeHead(range)).end(range.bytes);
};
