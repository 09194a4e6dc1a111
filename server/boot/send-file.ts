import type { BigIntStats } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import type { IncomingHttpHeaders, ServerResponse } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { CHUNK_BYTES, ChunkBuffers } from './chunk-buffers.ts';
import { type ByteRange, chooseResponse } from './http-range.ts';
import type { ImagePlace } from './image-admission.ts';
import type { LinkListener } from './link-outside.ts';
import { openInside } from './open-inside.ts';

/** Downloads at once that get large buffers; more get small ones, so that slow readers cannot use up the memory. */
const MAX_LARGE = 64;
const SMALL_CHUNK_BYTES = 64 * 1024;
let sending = 0;
/** What eight machines with all their requests need; more is made and dropped. */
const buffers = new ChunkBuffers({ chunkBytes: CHUNK_BYTES, most: 64 });
/** A client that takes nothing for so long is gone. */
const STALL_MS = 120_000;
/** Time stamps move in ticks of up to 10 ms: a file that changed in this very tick may change again without a trace. */
const TICK_MS = 20;

export interface FileToSend {
  readonly folders: readonly string[];
  /** Inside one of them. */
  readonly path: string;
  /** Hears of links that lead out of the folders; absent: nobody does. */
  readonly onLink?: LinkListener;
  /** Cuts the connection: the server stops. */
  readonly signal: AbortSignal;
  /** Of files that never change; absent: it is found out, and watched while the file is sent. */
  readonly version?: ContentVersion;
  /** Who sends the body shares the egress with others; `needed`: it has to ask for a place first. */
  readonly place?: ImagePlace | 'needed';
}

export interface ContentVersion {
  /** Strong, with its quotes. */
  readonly etag: string;
  readonly cacheControl: string;
}

/**
 * Answers GET and HEAD with a file of one of the folders: ranges, strong ETag, conditional requests (RFC 9110). If there is no such
 * file inside them, or a place is needed for its body, nothing was sent.
 *
 * The ETag is device, inode, size, modification and change time in nanoseconds. No write leaves all of them as they were:
 * the change time is the kernel's, no program can set it back, and a file that was written within the last tick is
 * looked at again after it. So equal tags mean equal bytes on this server, and If-Range may join two halves of a download.
 * If the file is changed while it is sent, the connection is cut: the client never gets a mixture without noticing.
 */
export async function sendFile(
  request: FastifyRequest,
  reply: FastifyReply,
  { folders, path, onLink, signal, version, place }: FileToSend,
): Promise<'sent' | 'missing' | 'needsPlace'> {
  await using file = await openInside(folders, path, onLink);
  if (file === undefined) return 'missing';
  const stats = version === undefined ? await settledStats(file) : await file.stat({ bigint: true });
  const chosen = chooseResponse(conditionsOf(request), {
    sizeBytes: Number(stats.size),
    modifiedAt: new Date(Number(stats.mtimeMs)),
    ...(version ?? { etag: etagOf(stats) }),
  });
  const range = request.method === 'HEAD' ? undefined : chosen.range;
  if (range !== undefined && place === 'needed') return 'needsPlace';
  reply.hijack();
  reply.raw.writeHead(chosen.status, chosen.headers);
  if (range === undefined) {
    reply.raw.end();
    return 'sent';
  }
  const onAbort = (): void => void reply.raw.destroy();
  signal.addEventListener('abort', onAbort);
  sending += 1;
  try {
    const before = version === undefined ? stats : undefined;
    await sendRange(reply.raw, { file, before, range, ...(place !== 'needed' && place && { place }) });
  } catch (error) {
    // Headers are out: cutting the connection is the only way to say that the body is not whole.
    request.log.debug({ err: error, path }, 'boot.fileAborted');
    reply.raw.destroy();
  } finally {
    sending -= 1;
    signal.removeEventListener('abort', onAbort);
  }
  return 'sent';
}

/** Ranges are for GET only (RFC 9110 14.2): HEAD is about the whole file. */
function conditionsOf({ method, headers }: FastifyRequest): IncomingHttpHeaders {
  const { range: _range, ...others } = headers;
  return method === 'HEAD' ? others : headers;
}

async function settledStats(file: FileHandle): Promise<BigIntStats> {
  const stats = await file.stat({ bigint: true });
  if (Date.now() - Number(stats.ctimeMs) > TICK_MS) return stats;
  await delay(TICK_MS);
  return file.stat({ bigint: true });
}

function etagOf(stats: BigIntStats): string {
  const parts = [stats.dev, stats.ino, stats.size, stats.mtimeNs, stats.ctimeNs];
  return `"${parts.map((part) => part.toString(36)).join('-')}"`;
}

interface Source {
  readonly file: FileHandle;
  /** What must not change; absent: the file never does. */
  readonly before: BigIntStats | undefined;
  readonly range: ByteRange;
  readonly place?: ImagePlace;
}

/** Two buffers: one is read into while the other is on its way. Throws when the client is gone or the file changed. */
async function sendRange(response: ServerResponse, { file, before, range, place }: Source): Promise<void> {
  response.setTimeout(STALL_MS, () => response.destroy());
  using gone = whenClosed(response);
  const chunkBytes = sending > MAX_LARGE ? SMALL_CHUNK_BYTES : (place?.chunkBytes ?? CHUNK_BYTES);
  const bufferBytes = Math.min(chunkBytes, range.lengthBytes);
  const pair = [buffers.take(bufferBytes), buffers.take(bufferBytes)] as const;
  let written: Promise<void> = Promise.resolve();
  let at = range.from;
  const end = range.from + range.lengthBytes;
  for (let turn = 0; at < end; turn += 1) {
    const buffer = turn % 2 === 0 ? pair[0] : pair[1];
    const { bytesRead } = await file.read(buffer, 0, Math.min(bufferBytes, end - at), at);
    if (bytesRead === 0) throw new Error('the file was cut while it was sent');
    if (before !== undefined) await failIfChanged(file, before);
    await place?.take(bytesRead, gone.signal);
    await written;
    written = write(response, buffer.subarray(0, bytesRead), place);
    // It may fail while the next read is under way; the next turn awaits it and hears of it.
    written.catch(() => undefined);
    at += bytesRead;
  }
  await written;
  response.end();
  // After a failure the kernel may still hold them: then they are dropped.
  for (const buffer of pair) buffers.giveBack(buffer);
}

/** After the read and before the write: what was read is then known to be of the file that the ETag names. */
async function failIfChanged(file: FileHandle, before: BigIntStats): Promise<void> {
  const now = await file.stat({ bigint: true });
  if (now.mtimeNs !== before.mtimeNs || now.size !== before.size) {
    throw new Error('the file was changed while it was sent');
  }
}

/** Resolves when the bytes have left the buffer; rejects when the connection is closed before. */
async function write(response: ServerResponse, bytes: Buffer, place: ImagePlace | undefined): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const onClose = (): void => reject(closed());
  response.once('close', onClose);
  if (response.destroyed) onClose();
  else response.write(bytes, (error) => (error instanceof Error ? reject(error) : resolve()));
  try {
    await promise;
    place?.sent(bytes.length);
  } finally {
    response.off('close', onClose);
  }
}

function whenClosed(response: ServerResponse): { readonly signal: AbortSignal } & Disposable {
  const controller = new AbortController();
  const onClose = (): void => controller.abort(closed());
  response.once('close', onClose);
  if (response.destroyed) onClose();
  return { signal: controller.signal, [Symbol.dispose]: () => response.off('close', onClose) };
}

function closed(): Error {
  return new Error('the client closed the connection');
}
