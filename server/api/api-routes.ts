import { Ajv } from 'ajv';
import type { FastifyInstance, FastifyPluginAsync, FastifyReply, FastifyRequest } from 'fastify';
import { TinsmithError } from '#proto/errors.ts';
import { showsToken } from './admin-token.ts';
import { errorReply } from './error-reply.ts';
import { writeEventStream } from './event-stream.ts';
import { openApiDocument } from './openapi.ts';
import type { ApiDeps, Route, StreamRoute } from './route.ts';
import { ROUTES, STREAMS } from './routes.ts';

export interface ApiOptions extends ApiDeps {
  /** Bearer token that every route but `/healthz` asks for: see ensureAdminToken. */
  readonly token: string;
  /** Host names and addresses that requests may name, beside the loopback ones; others are refused (DNS rebinding). */
  readonly allowedHosts?: readonly string[];
  /** Milliseconds between signs of life on event streams. */
  readonly heartbeatMs?: number;
  /** Ends the event streams, which would otherwise hold up the server's stop. */
  readonly signal: AbortSignal;
}

/** Applied manifests may be large: certificates, user data, many machines. */
export const BODY_LIMIT = 8 * 1024 * 1024;
const PREFIX = '/api/v1';
const LOOPBACK = ['localhost', '127.0.0.1', '[::1]'];
const HEARTBEAT_MS = 15_000;

/** The admin API as a Fastify plugin: `server.register(apiRoutes(options))`. The verbs know no HTTP; all of it is here. */
export function apiRoutes(options: ApiOptions): FastifyPluginAsync {
  return async (server) => {
    useSchemas(server);
    guard(server, options);
    for (const route of ROUTES) addRoute(server, route, options);
    for (const route of STREAMS) addStream(server, route, options);
    const document = openApiDocument(ROUTES, STREAMS, { version: options.version, prefix: PREFIX });
    server.get(`${PREFIX}/openapi.json`, async () => document);
    server.get('/healthz', async () => ({ status: 'ok' }));
  };
}

/** Query texts become numbers where the schema says so; bodies are taken as they are. What no schema names is refused. */
function useSchemas(server: FastifyInstance): void {
  const rules = { removeAdditional: false, allErrors: false, strict: false } as const;
  const body = new Ajv({ ...rules, coerceTypes: false });
  const text = new Ajv({ ...rules, coerceTypes: 'array' });
  server.setValidatorCompiler(({ schema, httpPart }) => (httpPart === 'body' ? body : text).compile(schema as object));
}

function guard(server: FastifyInstance, options: ApiOptions): void {
  const hosts = new Set([...LOOPBACK, ...(options.allowedHosts ?? [])].map((host) => host.toLowerCase()));
  server.addHook('onRequest', async (request, reply) => {
    reply.header('cache-control', 'no-store');
    const host = hostOf(request);
    if (!hosts.has(host)) {
      throw new TinsmithError('forbidden', `the admin API does not answer requests to the host "${host}"`);
    }
    if (request.routeOptions.url === '/healthz') return;
    if (!showsToken(request.headers.authorization, options.token)) {
      reply.header('www-authenticate', 'Bearer');
      throw new TinsmithError('unauthenticated', 'the request shows no valid token: use the one in admin.token');
    }
  });
  server.setErrorHandler((error, request, reply) => {
    const { status, body, isBug } = errorReply(error, request.id);
    if (isBug) options.log.error({ err: error, request: request.id, method: request.method }, 'api.bug');
    return reply.status(status).send(body);
  });
  server.setNotFoundHandler((request) => {
    throw new TinsmithError('not_found', `there is no ${request.method} ${request.url.split('?', 1)[0] ?? ''}`);
  });
}

/** Lower case, without the port; empty for what is no host. */
function hostOf(request: FastifyRequest): string {
  try {
    return new URL(`http://${request.headers.host ?? ''}/`).hostname;
  } catch {
    return '';
  }
}

function addRoute(server: FastifyInstance, route: Route, options: ApiOptions): void {
  server.route({
    method: route.method,
    url: PREFIX + route.path,
    schema: {
      ...(route.params && { params: route.params }),
      ...(route.query && { querystring: route.query }),
      ...(route.body && { body: route.body }),
      response: { 200: route.response },
    },
    bodyLimit: BODY_LIMIT,
    handler: (request, reply) =>
      route.handle(
        {
          params: request.params,
          query: request.query,
          body: request.body,
          cause: { actor: 'operator', from: request.ip },
          signal: AbortSignal.any([options.signal, untilClosed(reply)]),
        },
        options,
      ),
  });
}

function addStream(server: FastifyInstance, route: StreamRoute, options: ApiOptions): void {
  server.route({
    method: 'GET',
    url: PREFIX + route.path,
    exposeHeadRoute: false,
    schema: {
      ...(route.params && { params: route.params }),
      ...(route.query && { querystring: route.query }),
    },
    handler: async (request, reply) => {
      const signal = AbortSignal.any([options.signal, untilClosed(reply)]);
      const { params, query } = request;
      const messages = await route.open({ params, query, lastEventId: lastEventId(request), signal }, options);
      reply.hijack();
      try {
        await writeEventStream(reply.raw, messages, { heartbeatMs: options.heartbeatMs ?? HEARTBEAT_MS, signal });
      } catch (error) {
        // The head is out: the client sees the cut and comes back with its last id. A stop or a gone client is no news.
        if (!signal.aborted) options.log.warn({ err: error, request: request.id }, 'api.stream-cut');
        reply.raw.destroy();
      }
    },
  });
}

function untilClosed(reply: FastifyReply): AbortSignal {
  const closed = new AbortController();
  reply.raw.once('close', () => closed.abort(new TinsmithError('cancelled', 'the client went away')));
  return closed.signal;
}

function lastEventId(request: FastifyRequest): number | undefined {
  const header = request.headers['last-event-id'];
  if (typeof header !== 'string' || header === '') return undefined;
  if (!/^\d{1,15}$/.test(header)) {
    throw new TinsmithError('invalid_input', `the Last-Event-ID "${header.slice(0, 40)}" is no event id: use a number`);
  }
  return Number(header);
}
