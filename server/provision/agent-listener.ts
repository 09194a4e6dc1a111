import { once } from 'node:events';
import { createServer, type Server, type TLSSocket } from 'node:tls';
import type { Logger } from 'pino';
import { limitConnections } from '../connection-limit.ts';

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
  // Those with a good certificate do not count, so that many machines may stand behind one address.
  const strangers = limitConnections(server, MAX_CONNECTIONS);
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
