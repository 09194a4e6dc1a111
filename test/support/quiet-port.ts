import { randomInt } from 'node:crypto';
import { createServer, type Server } from 'node:net';

export interface HeldPort extends AsyncDisposable {
  readonly port: number;
}

/**
 * A free port of 127.0.0.1 below those that the kernel gives to connections and to port 0. For a server that listens later, or is
 * started again: until then nobody else on this computer gets it by chance. It is held until it is disposed of.
 */
export async function holdQuietPort(): Promise<HeldPort> {
  for (;;) {
    const port = randomInt(12_000, 32_000);
    const server = createServer();
    if (await listens(server, port)) return { port, [Symbol.asyncDispose]: () => server[Symbol.asyncDispose]() };
  }
}

export async function quietPort(): Promise<number> {
  await using held = await holdQuietPort();
  return held.port;
}

function listens(server: Server, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    server.once('error', () => resolve(false)).listen(port, '127.0.0.1', () => resolve(true));
  });
}
