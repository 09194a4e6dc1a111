import { createSocket, type RemoteInfo, type Socket } from 'node:dgram';
import { once } from 'node:events';
import type { FileHandle } from 'node:fs/promises';
import type { Logger } from 'pino';
import { TinsmithError } from '#proto/errors.ts';
import type { LinkListener } from './link-outside.ts';
import { openInside } from './open-inside.ts';
import { decodeTftpRequest, encodeTftpError, TFTP_ERROR, type TftpRequest } from './tftp-packet.ts';
import { sendTftpFile, type TransferEnd } from './tftp-transfer.ts';

export interface TftpServerOptions {
  /** Address to listen on and answer from. */
  readonly address: string;
  /** 69; 0 in tests. */
  readonly port: number;
  /** Folders whose files are served, the first that has a name wins. Nothing outside of them is. */
  readonly folders: readonly string[];
  /** Hears of links that keep files from being served. */
  readonly onLink: LinkListener;
  readonly log: Logger;
  /** Wait before a packet is repeated; default 500. */
  readonly retryMs?: number;
  /** Transfers at the same time; default 256. Beyond it requests are dropped, and clients repeat them. */
  readonly maxTransfers?: number;
}

/** A running TFTP server. Disposing it ends the transfers under way. */
export interface TftpServer extends AsyncDisposable {
  readonly port: number;
}

/**
 * Read-only TFTP (RFC 1350, 2347 to 2349, 7440), each transfer on a socket of its own that is bound to the address that was
 * asked and connected to the client. Throws `unavailable` when the port is taken or the address isn't ours.
 */
export async function startTftpServer(options: TftpServerOptions): Promise<TftpServer> {
  const server = new SocketTftpServer(options);
  await server.open();
  return server;
}

const MAX_TRANSFERS = 256;
/** Of one address: no machine boots sixteen times at once. */
const MAX_TRANSFERS_PER_CLIENT = 16;

class SocketTftpServer implements TftpServer {
  readonly #options: TftpServerOptions;
  readonly #socket: Socket = createSocket('udp4');
  readonly #stop = new AbortController();
  /** By client address and port. */
  readonly #transfers = new Map<string, Promise<void>>();
  port = 0;

  constructor(options: TftpServerOptions) {
    this.#options = options;
  }

  async open(): Promise<void> {
    const { address, port, log } = this.#options;
    await bind(this.#socket, address, port);
    this.port = this.#socket.address().port;
    this.#socket.on('error', (error) => log.warn({ err: error }, 'tftp.socketError'));
    this.#socket.on('message', (bytes, from) => this.#accept(bytes, from));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort(new TinsmithError('unavailable', 'the TFTP server is stopping'));
    this.#socket.removeAllListeners('message');
    await Promise.all(this.#transfers.values());
    await close(this.#socket);
  }

  #accept(bytes: Buffer, from: RemoteInfo): void {
    const client = `${from.address}:${from.port}`;
    // A repeated request: its transfer runs already, and repeats its first packet by itself.
    if (this.#transfers.has(client) || !this.#hasRoomFor(from.address)) return;
    const work = this.#serve(bytes, from)
      .catch((error: unknown) => this.#options.log.warn({ err: error, from: from.address }, 'tftp.failed'))
      .finally(() => this.#transfers.delete(client));
    this.#transfers.set(client, work);
  }

  #hasRoomFor(address: string): boolean {
    if (this.#transfers.size >= (this.#options.maxTransfers ?? MAX_TRANSFERS)) return false;
    const own = [...this.#transfers.keys()].filter((client) => client.startsWith(`${address}:`));
    return own.length < MAX_TRANSFERS_PER_CLIENT;
  }

  async #serve(bytes: Buffer, from: RemoteInfo): Promise<void> {
    const request = this.#decode(bytes, from);
    if (request === undefined) return;
    const socket = createSocket('udp4');
    // A late ICMP error must find a listener, or it would end the process.
    socket.on('error', (error) => this.#options.log.debug({ err: error, from: from.address }, 'tftp.peerError'));
    try {
      await bind(socket, this.#options.address, 0);
      const connected = once(socket, 'connect');
      socket.connect(from.port, from.address);
      await connected;
      await this.#answer(request, socket, from);
    } finally {
      await close(socket);
    }
  }

  #decode(bytes: Buffer, from: RemoteInfo): TftpRequest | undefined {
    try {
      return decodeTftpRequest(bytes);
    } catch (error) {
      this.#options.log.debug({ err: error, from: from.address }, 'tftp.unreadable');
      return undefined;
    }
  }

  async #answer(request: TftpRequest, socket: Socket, from: RemoteInfo): Promise<void> {
    const facts = { from: from.address, file: request.file };
    if (request.kind === 'write') return this.#refuse(socket, TFTP_ERROR.accessViolation, 'This server is read only');
    if (request.mode !== 'octet') {
      return this.#refuse(socket, TFTP_ERROR.illegalOperation, 'Only mode octet is served');
    }
    const { folders, onLink } = this.#options;
    const file = await openInside(folders, request.file.replaceAll('\\', '/'), onLink);
    if (file === undefined) {
      this.#options.log.warn(facts, 'tftp.notFound');
      return this.#refuse(socket, TFTP_ERROR.notFound, 'File not found');
    }
    try {
      const end = await this.#transfer(request, socket, file);
      if (end.kind === 'done') this.#options.log.info(facts, 'tftp.sent');
      else this.#options.log.debug({ ...facts, ...end }, 'tftp.ended');
    } catch (error) {
      await this.#refuse(socket, TFTP_ERROR.undefined, 'The transfer was aborted');
      if (!this.#stop.signal.aborted) throw error;
    } finally {
      await file.close();
    }
  }

  async #transfer(request: TftpRequest, socket: Socket, file: FileHandle): Promise<TransferEnd> {
    const { size } = await file.stat();
    return sendTftpFile({
      socket,
      file,
      sizeBytes: size,
      asked: request.options,
      signal: this.#stop.signal,
      ...(this.#options.retryMs === undefined ? {} : { retryMs: this.#options.retryMs }),
    });
  }

  async #refuse(socket: Socket, code: number, message: string): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    // Sent once, as RFC 1350 §7 says; whether it arrives is not known, and the client's own timer covers the rest.
    socket.send(encodeTftpError(code, message), () => resolve());
    await promise;
  }
}

async function bind(socket: Socket, address: string, port: number): Promise<void> {
  try {
    const listening = once(socket, 'listening');
    socket.bind({ address, port, exclusive: true });
    await listening;
  } catch (error) {
    throw new TinsmithError(
      'unavailable',
      `cannot listen for TFTP on ${address}:${port}: ${TinsmithError.from(error).message}; stop what uses the port, or set tftp.port`,
      { cause: error },
    );
  }
}

async function close(socket: Socket): Promise<void> {
  const closed = once(socket, 'close');
  socket.close();
  await closed;
}
