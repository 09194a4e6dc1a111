import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';

/** A TCP proxy on loopback whose connections a test can cut. */
export interface CuttingProxy extends AsyncDisposable {
  readonly port: number;
  /** Connections made so far. */
  readonly connections: number;
  /** Breaks every open connection, both sides, without a goodbye. */
  cut(): void;
}

export async function startCuttingProxy(targetPort: () => number): Promise<CuttingProxy> {
  const open = new Set<Socket>();
  let connections = 0;
  const keep = (socket: Socket): void => {
    open.add(socket);
    socket.on('close', () => open.delete(socket));
    // A cut is what the proxy is for.
    socket.on('error', () => undefined);
  };
  const server = createServer((near) => {
    connections += 1;
    const far = connect(targetPort(), '127.0.0.1');
    keep(near);
    keep(far);
    near.pipe(far);
    far.pipe(near);
    near.on('close', () => far.destroy());
    far.on('close', () => near.destroy());
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  const cut = (): void => {
    for (const socket of open) socket.resetAndDestroy();
  };
  return {
    port: typeof address === 'object' && address !== null ? address.port : 0,
    get connections() {
      return connections;
    },
    cut,
    async [Symbol.asyncDispose]() {
      const closed = once(server, 'close');
      server.close();
      cut();
      await closed;
    },
  };
}
