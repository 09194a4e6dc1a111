import { fastify, LogController } from 'fastify';
import { TinsmithError } from '#proto/errors.ts';
import { type ApiOptions, apiRoutes, BODY_LIMIT } from './api-routes.ts';

export interface RunningApi extends AsyncDisposable {
  readonly address: string;
  readonly port: number;
  readonly url: string;
}

/**
 * Opens the admin listener. Disposing it ends the event streams first, lets other requests finish and closes.
 * @throws TinsmithError `unavailable` when the port is taken.
 */
export async function startApi(
  options: Omit<ApiOptions, 'signal'> & { readonly address: string; readonly port: number },
): Promise<RunningApi> {
  const stopping = new AbortController();
  const server = fastify({
    loggerInstance: options.log,
    logController: new LogController({ disableRequestLogging: true }),
    bodyLimit: BODY_LIMIT,
    forceCloseConnections: 'idle',
    // A request's head and body must arrive within this; answers and streams may take as long as they like.
    requestTimeout: 60_000,
  });
  const allowedHosts = [...(options.allowedHosts ?? []), options.address];
  await server.register(apiRoutes({ ...options, allowedHosts, signal: stopping.signal }));
  try {
    await server.listen({ host: options.address, port: options.port });
  } catch (error) {
    await server.close();
    const fact = TinsmithError.from(error).message;
    throw new TinsmithError('unavailable', `cannot open the admin API on ${options.address}:${options.port}: ${fact}`, {
      cause: error,
    });
  }
  const bound = server.server.address();
  if (bound === null || typeof bound === 'string') {
    throw new TinsmithError('internal', `the admin API listens at no TCP address but at ${bound}`);
  }
  const { address, port } = bound;
  return {
    address,
    port,
    url: `http://${address.includes(':') ? `[${address}]` : address}:${port}`,
    async [Symbol.asyncDispose]() {
      stopping.abort(new TinsmithError('unavailable', 'the server is stopping'));
      await server.close();
    },
  };
}
