import type { Server, Socket } from 'node:net';

/** Connections that one address may hold at once: a machine needs a handful. */
const MAX_CONNECTIONS_PER_ADDRESS = 64;

export interface ConnectionLimit {
  /** The connection does not count any more: who is behind it has shown who it is. */
  release(socket: Pick<Socket, 'remoteAddress' | 'remotePort'>): void;
}

/**
 * Closes what an address opens beyond its share, and everything beyond `total`: each connection costs memory and a file
 * descriptor, and anybody on the provisioning network can open them without ever saying a word.
 */
export function limitConnections(server: Server, total: number): ConnectionLimit {
  const counts = new Map<string, number>();
  /** Remote address and port of each connection that counts. */
  const counted = new Set<string>();
  const forget = (address: string, key: string): void => {
    if (!counted.delete(key)) return;
    const left = (counts.get(address) ?? 1) - 1;
    if (left === 0) counts.delete(address);
    else counts.set(address, left);
  };
  server.maxConnections = total;
  // First of all listeners: a connection that is one too many costs nothing more.
  server.prependListener('connection', (socket) => {
    const address = socket.remoteAddress ?? '';
    const key = `${address} ${socket.remotePort}`;
    const count = (counts.get(address) ?? 0) + 1;
    if (count > MAX_CONNECTIONS_PER_ADDRESS) {
      socket.destroy();
      return;
    }
    counts.set(address, count);
    counted.add(key);
    socket.on('close', () => forget(address, key));
  });
  return {
    release: ({ remoteAddress, remotePort }) => forget(remoteAddress ?? '', `${remoteAddress} ${remotePort}`),
  };
}
