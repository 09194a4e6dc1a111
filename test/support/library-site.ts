import { cp, mkdir, mkdtemp, open, rm, stat } from 'node:fs/promises';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo, Server, Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fastify } from 'fastify';
import { type BootRoutesOptions, bootRoutes } from '#server/boot/boot-routes.ts';
import { ImageAdmission } from '#server/boot/image-admission.ts';
import { type ImageLibrary, openImageLibrary } from '#server/library/image-library.ts';
import { nearestImage } from '#server/library/image-use.ts';
import { openSqliteStore } from '#server/store/sqlite-store.ts';

const clock = (): Date => new Date();

/** The machine-facing HTTP listener with a real library behind it. */
export interface LibrarySite extends AsyncDisposable {
  readonly url: URL;
  readonly folder: string;
  readonly library: ImageLibrary;
  /** Bytes that went out so far. */
  sentBytes(): number;
}

export async function startLibrarySite(change: Partial<BootRoutesOptions> = {}): Promise<LibrarySite> {
  await using stack = new AsyncDisposableStack();
  const folder = await mkdtemp(join(tmpdir(), 'tinsmith-site-'));
  stack.defer(() => rm(folder, { recursive: true, force: true }));
  for (const part of ['boot', 'images']) await mkdir(join(folder, part));
  const opened = stack.use(await openSqliteStore({ path: ':memory:', clock }));
  const library = await openImageLibrary({ folder: join(folder, 'library'), store: opened.store, clock });
  const server = fastify();
  await server.register(
    bootRoutes({
      store: opened.store,
      transitions: opened.transitions,
      clock,
      dhcpMode: 'off',
      discovery: false,
      environment: { httpUrl: '', grpcServer: '', caHash: '', giveUpSeconds: 60, kernelArgs: '' },
      caDer: Uint8Array.of(),
      bootFolders: [join(folder, 'boot')],
      imagesFolder: join(folder, 'images'),
      onLink: () => undefined,
      libraryFolderOf: (name) => library.folderOf(name),
      libraryNearestTo: (name) => nearestImage(name, library),
      libraryMirrorsOf: (name) => library.mirrors.ofAny(name),
      admission: stack.use(new ImageAdmission({ streams: 8, egress: 0, clock, log: { info: () => undefined } })),
      ...change,
    }),
  );
  const sent = countSent(server.server);
  await server.listen({ host: '127.0.0.1', port: 0 });
  stack.defer(() => server.close());
  const owned = stack.move();
  const { port } = server.server.address() as AddressInfo;
  return {
    url: new URL(`http://127.0.0.1:${port}/`),
    folder,
    library,
    sentBytes: sent,
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

/** Imports an image under a name. */
export async function addImage(library: ImageLibrary, name: string, image: Buffer): Promise<void> {
  await library.add(name, one(image), {
    source: 'test',
    level: 1,
    signal: new AbortController().signal,
    progress: () => undefined,
  });
}

async function* one(image: Buffer): AsyncGenerator<Buffer> {
  yield await Promise.resolve(image);
}

export interface StaticMirror extends AsyncDisposable {
  readonly url: string;
  readonly folder: string;
  /** Requests so far. */
  readonly requests: readonly string[];
}

/** Answers in place of the file server; false: it leaves the request to it. */
export type MirrorTrouble = (bytes: Buffer, response: ServerResponse, request: number, server: Server) => boolean;

/** A plain file server with a copy of a library's blobs, as nginx would be one: it knows ranges and nothing else. */
export async function startStaticMirror(blobs: string, trouble?: MirrorTrouble): Promise<StaticMirror> {
  const folder = await mkdtemp(join(tmpdir(), 'tinsmith-mirror-'));
  await cp(blobs, folder, { recursive: true });
  const requests: string[] = [];
  const sockets = new Set<Socket>();
  const server = createServer((request, response) => {
    requests.push(request.url ?? '');
    answer(request, response).catch(() => response.destroy());
  });
  const answer = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const path = join(folder, new URL(request.url ?? '', 'http://mirror').pathname);
    const { size } = await stat(path).catch(() => ({ size: undefined }));
    const [, from, last] = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? '') ?? [];
    if (size === undefined) return void response.writeHead(404).end();
    if (from === undefined || Number(from) >= size) return void response.writeHead(416).end();
    const bytes = Buffer.alloc(Math.min(Number(last) + 1, size) - Number(from));
    await using file = await open(path);
    await file.read(bytes, 0, bytes.length, Number(from));
    const contentRange = `bytes ${from}-${Number(from) + bytes.length - 1}/${size}`;
    response.writeHead(206, { 'content-range': contentRange, 'content-length': bytes.length });
    if (trouble?.(bytes, response, requests.length, server) !== true) response.end(bytes);
  };
  server.on('connection', (socket) => sockets.add(socket.on('close', () => sockets.delete(socket))));
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}/`,
    folder,
    requests,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      if (server.listening) {
        await new Promise((resolve) => {
          server.close(resolve);
        });
      }
      await rm(folder, { recursive: true, force: true });
    },
  };
}

function countSent(server: Server): () => number {
  const sockets = new Set<Socket>();
  server.on('connection', (socket: Socket) => sockets.add(socket));
  return () => [...sockets].reduce((sum, { bytesWritten }) => sum + bytesWritten, 0);
}
