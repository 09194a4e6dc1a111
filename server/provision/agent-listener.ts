import { once } from 'node:events';
import { createServer, type Server, type TLSSocket } from 'node:tls';
import type { Logger } from 'pino';

/** Connections without a certificate that one address may hold at once: an agent needs one, to enroll, for a moment. */
const MAX_STRANGERS_PER_ADDRESS = 64;
const MAX_CONNECTIONS = 20_000;
const HANDSHAKE_TIMEOUT_MS = 10_000;

export interface AgentListenerOptions {
  readonly port: number;
  readonly address: string;
  readonly identity: { readonly certificatePem: string; readonly keyPem: string };
  readonly ca: { readonly certificatePem: string };
  readonly log: Logger;
  /** Takes a connection whose handshake is done and which speaks HTTP/2. */
  readonly accept: (socket: TLSSocket) => void;
}

export interface AgentListener extends AsyncDisposable {
  readonly port: number;
}

/**
 * The TLS end of the agents' port. grpc-js's own can only demand a client certificate of everybody or of nobody; ours asks,
 * and lets those in who have none: they may enroll. `authorized` of the socket says whether TLS found the certificate good.
 */
export async function listenForAgents(options: AgentListenerOptions): Promise<AgentListener> {
  const { identity, ca, log, accept } = options;
  const sockets = new Set<TLSSocket>();
  const server = createServer({
    cert: identity.certificatePem,
    key: identity.keyPem,
    ca: ca.certificatePem,
    requestCert: true,
    rejectUnauthorized: false,
    ALPNProtocols: ['h2'],
    minVersion: 'TLSv1.3',
    handshakeTimeout: HANDSHAKE_TIMEOUT_MS,
  });
  server.maxConnections = MAX_CONNECTIONS;
  const strangers = countStrangers(server);
  server.on('tlsClientError', (err, socket) => {
    log.debug({ from: socket.remoteAddress, err }, 'agent.handshake.failed');
    socket.destroy();
  });
  server.on('secureConnection', (socket) => {
    // Connections break; HTTP/2 above it tells who is concerned.
    socket.on('error', (err) => log.debug({ from: socket.remoteAddress, err }, 'agent.connection.broken'));
    if (socket.alpnProtocol !== 'h2') {
      socket.destroy();
      return;
    }
    if (socket.authorized) strangers.release(socket);
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
    accept(socket);
  });
  server.listen(options.port, options.address);
  await once(server, 'listening');
  return { port: portOf(server), [Symbol.asyncDispose]: () => close(server, sockets) };
}

/**
 * Closes connections of an address that holds too many. `release`: who showed a good certificate does not count any more, so
 * that many machines may stand behind one address, but one stranger cannot hold many connections.
 */
function countStrangers(server: Server): { readonly release: (socket: TLSSocket) => void } {
  const counts = new Map<string, number>();
  /** Remote address and port of each connection that counts. */
  const counted = new Set<string>();
  const forget = (address: string, key: string): void => {
    if (!counted.delete(key)) return;
    const left = (counts.get(address) ?? 1) - 1;
    if (left === 0) counts.delete(address);
    else counts.set(address, left);
  };
  server.on('connection', (socket) => {
    const address = socket.remoteAddress ?? '';
    const key = `${address} ${socket.remotePort}`;
    const count = (counts.get(address) ?? 0) + 1;
    if (count > MAX_STRANGERS_PER_ADDRESS) {
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

async function close(server: Server, sockets: ReadonlySet<TLSSocket>): Promise<void> {
  const closed = once(server, 'close');
  server.close();
  // What was written (the last status of each stream) goes out first.
  for (const socket of sockets) socket.destroySoon();
  await closed;
}

function portOf(server: Server): number {
  const address = server.address();
  return typeof address === 'object' && address !== null ? address.port : 0;
}
