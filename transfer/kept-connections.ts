import type { SocketReader } from './socket-reader.ts';

/** Connections whose last answer came whole, for the next request to the same server: no new handshake, no new slow start. */
export class KeptConnections {
  readonly #idle = new Map<string, SocketReader[]>();
  #isClosed = false;

  /** The server may have ended it meanwhile: whoever takes one has to be ready to open another. */
  take(server: string): SocketReader | undefined {
    const readers = this.#idle.get(server) ?? [];
    for (let reader = readers.pop(); reader !== undefined; reader = readers.pop()) {
      if (!reader.socket.destroyed) return reader;
    }
    return undefined;
  }

  keep(server: string, reader: SocketReader): void {
    if (this.#isClosed) reader.socket.destroy();
    else this.#idle.set(server, [...(this.#idle.get(server) ?? []), reader]);
  }

  close(): void {
    this.#isClosed = true;
    for (const { socket } of [...this.#idle.values()].flat()) socket.destroy();
    this.#idle.clear();
  }
}
