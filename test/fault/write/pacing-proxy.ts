import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';

export interface PacingProxy extends AsyncDisposable {
  readonly origin: string;
  /** Bytes that went to the agent since it was set to 0. */
  passedBytes: number;
  /** Told after every piece. */
  onPassed: () => void;
}

/**
 * A TCP proxy on loopback whose place stays while the server behind it comes and goes. It lets 64 KiB a millisecond and connection
 * through, so that a download takes long enough to be hit. A connection whose server dies is reset.
 */
export async function startPacingProxy(targetPort: () => number): Promise<PacingProxy> {
  const open = new Set<Socket>();
  const server = createServer((near) => {
    const far = connect(targetPort(), '127.0.0.1');
    for (const socket of [near, far]) {
      open.add(socket);
      socket.on('close', () => open.delete(socket));
      // A cut is what this is about.
      socket.on('error', () => undefined);
    }
    near.pipe(far);
    far.on('data', (chunk: Buffer) => {
      near.write(chunk);
      proxy.passedBytes += chunk.length;
      proxy.onPassed();
      far.pause();
      setTimeout(() => far.resume(), Math.ceil(chunk.length / 65_536));
    });
    far.on('end', () => near.end());
    far.on('close', () => near.resetAndDestroy());
    near.on('close', () => far.destroy());
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const proxy: PacingProxy = {
    origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    passedBytes: 0,
    onPassed: () => undefined,
    async [Symbol.asyncDispose]() {
      for (const socket of open) socket.destroy();
      const closed = once(server, 'close');
      server.close();
      await closed;
    },
  };
  return proxy;
}
