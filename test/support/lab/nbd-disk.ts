import { once } from 'node:events';
import { type FileHandle, open, rm } from 'node:fs/promises';
import { createServer, type Server, type Socket } from 'node:net';

// NBD, fixed newstyle with simple replies: https://github.com/NetworkBlockDevice/nbd/blob/master/doc/proto.md

const HANDSHAKE = { magic: 0x4e42444d41474943n, option: 0x49484156454f5054n, reply: 0x0003e889045565a9n } as const;
const FIXED_NEWSTYLE_NO_ZEROES = 3;
const OPTION = { exportName: 1, abort: 2, info: 6, go: 7 } as const;
const REPLY = { ack: 1, info: 3, unsupported: 0x8000_0001 } as const;
/** Has flags, takes flushes, FUA and zeros. */
const EXPORT_FLAGS = 1 | 4 | 8 | 64;
const REQUEST_MAGIC = 0x2560_9513;
const REPLY_MAGIC = 0x6744_6698;
const COMMAND = { read: 0, write: 1, disconnect: 2, flush: 3, zero: 6 } as const;
const FUA = 1;
const ERROR = { io: 5, invalid: 22, noSpace: 28 } as const;
const SECTOR_BYTES = 512;
const LYING_CACHE_BYTES = 8 << 20;

/** What is wrong with the disk; it may change at any time. */
export interface NbdFault {
  /** Writes that touch this byte fail. */
  readonly badByte?: number;
  /** Writes fail when so many bytes were written in all: the pool behind the disk is full. */
  readonly roomBytes?: number;
  /** Flushes are answered and do nothing: of the last 8 MiB, in order, any number may be lost. */
  readonly isLying?: boolean;
}

interface Request {
  readonly command: number;
  readonly isForced: boolean;
  readonly handle: Buffer;
  readonly offset: number;
  readonly length: number;
  readonly bytes: Buffer;
}

/**
 * A disk for one QEMU machine over a Unix socket, with a cache that a power cut empties, and faults as real disks have them: the
 * machine's own kernel meets them.
 */
export class NbdDisk implements AsyncDisposable {
  /** For QEMU. */
  readonly socketPath: string;
  fault: NbdFault = {};
  writtenBytes = 0;
  readonly #file: FileHandle;
  readonly #sizeBytes: number;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  /** Of sectors that were written since the last flush: what a power cut may bring back. */
  readonly #unflushed = new Map<number, Buffer>();
  /** The last writes of a disk that lies, in order, each with what it replaced. */
  readonly #latest: { readonly offset: number; readonly before: Buffer }[] = [];
  #latestBytes = 0;
  #serving: Promise<void> = Promise.resolve();

  private constructor(socketPath: string, file: FileHandle, sizeBytes: number) {
    this.socketPath = socketPath;
    this.#file = file;
    this.#sizeBytes = sizeBytes;
    this.#server = createServer((socket) => {
      this.#sockets.add(socket);
      socket.on('close', () => this.#sockets.delete(socket));
      // A machine that lost its power says no goodbye.
      socket.on('error', () => undefined);
      this.#serving = this.#serve(socket)
        .catch(() => undefined)
        .finally(() => socket.destroy());
    });
  }

  static async start(path: string): Promise<NbdDisk> {
    const file = await open(path, 'r+');
    const disk = new NbdDisk(`${path}.sock`, file, (await file.stat()).size);
    disk.#server.listen(disk.socketPath);
    await once(disk.#server, 'listening');
    return disk;
  }

  /** To be called when the machine is off: some of what was not flushed is lost, by chance. `fraction`: 0 to 1. */
  async powerCut(fraction: () => number): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await this.#serving;
    if (this.fault.isLying === true) await this.#loseLatest(fraction() * this.#latestBytes);
    else {
      for (const [sector, before] of this.#unflushed) {
        if (fraction() < 0.5) await this.#file.write(before, 0, SECTOR_BYTES, sector * SECTOR_BYTES);
      }
    }
    this.#unflushed.clear();
    this.#latest.length = 0;
    this.#latestBytes = 0;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await this.#serving;
    const closed = once(this.#server, 'close');
    this.#server.close();
    await closed;
    await this.#file.close();
    await rm(this.socketPath, { force: true });
  }

  async #serve(socket: Socket): Promise<void> {
    const input = new ByteReader(socket);
    await this.#negotiate(socket, input);
    for (let request = await readRequest(input); request !== undefined; request = await readRequest(input)) {
      const head = Buffer.alloc(8);
      head.writeUInt32BE(REPLY_MAGIC, 0);
      const answer = await this.#answer(request);
      if (typeof answer === 'number') head.writeUInt32BE(answer, 4);
      socket.write(Buffer.concat([head, request.handle, ...(typeof answer === 'number' ? [] : [answer])]));
    }
  }

  async #negotiate(socket: Socket, input: ByteReader): Promise<void> {
    const hello = Buffer.alloc(18);
    hello.writeBigUInt64BE(HANDSHAKE.magic, 0);
    hello.writeBigUInt64BE(HANDSHAKE.option, 8);
    hello.writeUInt16BE(FIXED_NEWSTYLE_NO_ZEROES, 16);
    socket.write(hello);
    await input.take(4);
    const about = Buffer.alloc(10);
    about.writeBigUInt64BE(BigInt(this.#sizeBytes), 0);
    about.writeUInt16BE(EXPORT_FLAGS, 8);
    for (;;) {
      const option = (await input.take(16)).subarray(8);
      const kind = option.readUInt32BE(0);
      await input.take(option.readUInt32BE(4));
      if (kind === OPTION.exportName) return void socket.write(about);
      if (kind === OPTION.info || kind === OPTION.go) {
        socket.write(optionReply(kind, REPLY.info, Buffer.concat([Buffer.alloc(2), about])));
        socket.write(optionReply(kind, REPLY.ack));
        if (kind === OPTION.go) return;
      } else socket.write(optionReply(kind, kind === OPTION.abort ? REPLY.ack : REPLY.unsupported));
    }
  }

  /** Bytes that were read, or an error number, 0 for none. */
  async #answer({ command, isForced, offset, length, bytes }: Request): Promise<Buffer | number> {
    switch (command) {
      case COMMAND.read: {
        const found = Buffer.alloc(length);
        await this.#file.read(found, 0, length, offset);
        return found;
      }
      case COMMAND.write:
        return this.#write(bytes, offset, isForced);
      case COMMAND.zero:
        return this.#write(Buffer.alloc(length), offset, isForced);
      case COMMAND.flush:
        if (this.fault.isLying !== true) this.#unflushed.clear();
        return 0;
      default:
        return ERROR.invalid;
    }
  }

  async #write(bytes: Buffer, offset: number, isForced: boolean): Promise<number> {
    const { badByte = -1, roomBytes = Number.POSITIVE_INFINITY, isLying } = this.fault;
    if (badByte >= offset && badByte < offset + bytes.length) return ERROR.io;
    if (this.writtenBytes + bytes.length > roomBytes) return ERROR.noSpace;
    this.writtenBytes += bytes.length;
    const before = Buffer.alloc(bytes.length);
    await this.#file.read(before, 0, before.length, offset);
    await this.#file.write(bytes, 0, bytes.length, offset);
    if (isLying === true) this.#remember(offset, before);
    for (let at = 0; at < bytes.length; at += SECTOR_BYTES) {
      const sector = (offset + at) / SECTOR_BYTES;
      if (isForced && isLying !== true) this.#unflushed.delete(sector);
      else if (!this.#unflushed.has(sector)) this.#unflushed.set(sector, before.subarray(at, at + SECTOR_BYTES));
    }
    return 0;
  }

  #remember(offset: number, before: Buffer): void {
    this.#latest.push({ offset, before });
    this.#latestBytes += before.length;
    while (this.#latestBytes > LYING_CACHE_BYTES) this.#latestBytes -= this.#latest.shift()?.before.length ?? 0;
  }

  /** The last one first, so that what is left is what an earlier moment was. */
  async #loseLatest(bytes: number): Promise<void> {
    for (let lost = 0; lost < bytes; ) {
      const last = this.#latest.pop();
      if (last === undefined) return;
      await this.#file.write(last.before, 0, last.before.length, last.offset);
      lost += last.before.length;
    }
  }
}

function optionReply(option: number, kind: number, data = Buffer.alloc(0)): Buffer {
  const head = Buffer.alloc(20);
  head.writeBigUInt64BE(HANDSHAKE.reply, 0);
  head.writeUInt32BE(option, 8);
  head.writeUInt32BE(kind, 12);
  head.writeUInt32BE(data.length, 16);
  return Buffer.concat([head, data]);
}

/** Undefined: the machine says goodbye. */
async function readRequest(input: ByteReader): Promise<Request | undefined> {
  const head = await input.take(28);
  if (head.readUInt32BE(0) !== REQUEST_MAGIC) throw new Error('that is no NBD request');
  const command = head.readUInt16BE(6);
  if (command === COMMAND.disconnect) return undefined;
  const length = head.readUInt32BE(24);
  return {
    command,
    isForced: (head.readUInt16BE(4) & FUA) !== 0,
    handle: Buffer.from(head.subarray(8, 16)),
    offset: Number(head.readBigUInt64BE(16)),
    length,
    bytes: command === COMMAND.write ? await input.take(length) : Buffer.alloc(0),
  };
}

/** Exactly so many bytes of a stream, one after the other. */
class ByteReader {
  readonly #chunks: AsyncIterator<Buffer>;
  #rest: Buffer = Buffer.alloc(0);

  constructor(socket: Socket) {
    this.#chunks = socket[Symbol.asyncIterator]();
  }

  /** Throws when the stream ends before. */
  async take(bytes: number): Promise<Buffer> {
    const pieces = [this.#rest];
    let filled = this.#rest.length;
    while (filled < bytes) {
      const next = await this.#chunks.next();
      if (next.done === true) throw new Error('the machine is gone');
      pieces.push(next.value);
      filled += next.value.length;
    }
    const all = Buffer.concat(pieces);
    this.#rest = all.subarray(bytes);
    return all.subarray(0, bytes);
  }
}
