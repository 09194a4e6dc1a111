import type { BigIntStats } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import type { ServerResponse } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { type ByteRange, chooseResponse } from './http-range.ts';
import { openInside } from './open-inside.ts';

/** Large reads keep the system calls few: 1 MiB gives twice the throughput of a stream's 64 KiB. */
const CHUNK_BYTES = 1024 * 1024;
/** Downloads at once that get large buffers; more get small ones, so that slow readers cannot use up the memory. */
const MAX_LARGE = 64;
const SMALL_CHUNK_BYTES = 64 * 1024;
let sending = 0;
/** A client that takes nothing for so long is gone. */
const STALL_MS = 120_000;
/** Time stamps move in ticks of up to 10 ms: a file that changed in this very tick may change again without a trace. */
const TICK_MS = 20;

export interface FileToSend {
  readonly folders: readonly string[];
  /** Inside one of them. */
  readonly path: string;
  /** Cuts the connection: the server stops. */
  readonly signal: AbortSignal;
  /** Of files that never change; absent: it is found out, and watched while the file is sent. */
  readonly version?: ContentVersion;
}

export interface ContentVersion {
  /** Strong, with its quotes. */
  readonly etag: string;
  readonly cacheControl: string;
}

/**
 * Answers GET and HEAD with a file of one of the folders: ranges, strong ETag, conditional requests (RFC 9110). False if there
 * is no such file inside them; then nothing was sent.
 *
 * The ETag is device, inode, size, modification and change time in nanoseconds. No write leaves all of them as they were:
 * the change time is the kernel's, no program can set it back, and a file that was written within the last tick is
 * looked at again after it. So equal tags mean equal bytes on this server, and If-Range may join two halves of a download.
 * If the file is changed while it is sent, the connection is cut: the client never gets a mixture without noticing.
 */
export async function sendFile(
  request: FastifyRequest,
  reply: FastifyReply,
  { folders, path, signal, version }: FileToSend,
): Promise<boolean> {
  await using file = await openInside(folders, path);
  if (file === undefined) return false;
  const stats = version === undefined ? await settledStats(file) : await file.stat({ bigint: true });
  const chosen = chooseResponse(request.headers, {
    sizeBytes: Number(stats.size),
    modifiedAt: new Date(Number(stats.mtimeMs)),
    ...(version ?? { etag: etagOf(stats) }),
  });
  reply.hijack();
  reply.raw.writeHead(chosen.status, chosen.headers);
  if (request.method === 'HEAD' || chosen.range === undefined) {
    reply.raw.end();
    return true;
  }
  const onAbort = (): void => void reply.raw.destroy();
  signal.addEventListener('abort', onAbort);
  sending += 1;
  try {
    await sendRange(reply.raw, { file, stats, range: chosen.range });
  } catch (error) {
    // Headers are out: cutting the connection is the only way to say that the body is not whole.
    request.log.debug({ err: error, path }, 'boot.fileAborted');
    reply.raw.destroy();
  } finally {
    sending -= 1;
    signal.removeEventListener('abort', onAbort);
  }
  return true;
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
  readonly stats: BigIntStats;
  readonly range: ByteRange;
}

/** Two buffers: one is read into while the other is on its way. Throws when the client is gone or the file changed. */
async function sendRange(response: ServerResponse, { file, stats, range }: Source): Promise<void> {
  response.setTimeout(STALL_MS, () => response.destroy());
  const bufferBytes = Math.min(sending > MAX_LARGE ? SMALL_CHUNK_BYTES : CHUNK_BYTES, range.lengthBytes);
  const buffers = [Buffer.allocUnsafe(bufferBytes), Buffer.allocUnsafe(bufferBytes)] as const;
  let written: Promise<void> = Promise.resolve();
  let at = range.from;
  const end = range.from + range.lengthBytes;
  for (let turn = 0; at < end; turn += 1) {
    const buffer = turn % 2 === 0 ? buffers[0] : buffers[1];
    const { bytesRead } = await file.read(buffer, 0, Math.min(buffer.length, end - at), at);
    await failIfChanged(file, stats, bytesRead);
    await written;
    written = write(response, buffer.subarray(0, bytesRead));
    // It may fail while the next read is under way; the next turn awaits it and hears of it.
    written.catch(() => undefined);
    at += bytesRead;
  }
  await written;
  response.end();
}

/** After the read and before the write: what was read is then known to be of the file that the ETag names. */
async function failIfChanged(file: FileHandle, before: BigIntStats, bytesRead: number): Promise<void> {
  const now = await file.stat({ bigint: true });
  if (bytesRead === 0 || now.mtimeNs !== before.mtimeNs || now.size !== before.size) {
    throw new Error('the file was changed while it was sent');
  }
}

/** Resolves when the bytes have left the buffer; rejects when the connection is closed before. */
async function write(response: ServerResponse, bytes: Buffer): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const onClose = (): void => reject(new Error('the client closed the connection'));
  response.once('close', onClose);
  if (response.destroyed) onClose();
  else response.write(bytes, (error) => (error instanceof Error ? reject(error) : resolve()));
  try {
    await promise;
  } finally {
    response.off('close', onClose);
  }
}
