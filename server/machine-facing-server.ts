import type { FastifyBaseLogger, FastifyInstance } from 'fastify';
import { fastify, LogController } from 'fastify';
import { TinsmithError } from '#proto/errors.ts';
import { limitConnections } from './connection-limit.ts';

/** Of one listener: a large site that boots at once. */
const MAX_MACHINE_CONNECTIONS = 4096;

/** An HTTP server for whoever is on the provisioning network, without routes. `uploads`: whether one takes disks in. */
export function machineFacingServer(log: FastifyBaseLogger, { uploads = false } = {}): FastifyInstance {
  // Request logging is off: a boot script is a request like any other, and its token belongs in no log.
  const server = fastify({
    loggerInstance: log,
    logController: new LogController({ disableRequestLogging: true }),
    bodyLimit: 64 * 1024,
    // A disk takes as long as it takes; the route ends senders that stall, and connections are limited.
    requestTimeout: uploads ? 0 : 60_000,
  });
  limitConnections(server.server, MAX_MACHINE_CONNECTIONS);
  return server;
}

/** Opens it, until the stack ends; `what` names it in an error. Resolves to its port. Throws `unavailable`. */
export async function listen(
  server: FastifyInstance,
  stack: AsyncDisposableStack,
  options: { readonly host: string; readonly port: number; readonly what: string },
): Promise<number> {
  stack.defer(() => server.close());
  try {
    await server.listen({ host: options.host, port: options.port });
  } catch (error) {
    const fact = TinsmithError.from(error).message;
    throw new TinsmithError(
      'unavailable',
      `cannot open the ${options.what} listener on ${options.host}:${options.port}: ${fact}`,
      {
        cause: error,
      },
    );
  }
  const bound = server.server.address();
  return typeof bound === 'object' && bound !== null ? bound.port : options.port;
}
