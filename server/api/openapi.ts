import { type TSchema, Type } from 'typebox';
import { ERROR_CODES } from '#proto/errors.ts';
import type { Route, StreamRoute } from './route.ts';
import { errorBodySchema } from './types.ts';

interface OpenApiOptions {
  readonly version: string;
  readonly prefix: string;
}

/** The OpenAPI 3.1 document of the admin API, made from the same schemas that requests are checked with. */
export function openApiDocument(
  routes: readonly Route[],
  streams: readonly StreamRoute[],
  { version, prefix }: OpenApiOptions,
): object {
  const paths: Record<string, Record<string, object>> = {};
  const add = (path: string, method: string, operation: object): void => {
    const key = prefix + path.replaceAll(/:(\w+)/g, '{$1}');
    paths[key] = { ...paths[key], [method.toLowerCase()]: operation };
  };
  for (const route of routes) add(route.path, route.method, operation(route, 'application/json', route.response));
  for (const stream of streams) add(stream.path, 'GET', operation(stream, 'text/event-stream', stream.message));
  return {
    openapi: '3.1.0',
    info: { title: 'Tinsmith admin API', version },
    security: [{ token: [] }],
    components: { securitySchemes: { token: { type: 'http', scheme: 'bearer' } } },
    paths,
  };
}

type Operation = Pick<Route, 'summary' | 'params' | 'query' | 'body'>;

function operation({ summary, params, query, body }: Operation, mediaType: string, answer: TSchema): object {
  return {
    summary,
    parameters: [...parameters(params, 'path'), ...parameters(query, 'query')],
    ...(body && { requestBody: { required: true, content: { 'application/json': { schema: body } } } }),
    responses: {
      200: { description: 'Done', content: { [mediaType]: { schema: answer } } },
      default: {
        description: `Failed; the code is one of ${Object.keys(ERROR_CODES).join(', ')}`,
        content: { 'application/json': { schema: errorBodySchema } },
      },
    },
  };
}

function parameters(schema: TSchema | undefined, place: 'path' | 'query'): object[] {
  if (schema === undefined || !Type.IsObject(schema)) return [];
  const required = schema.required ?? [];
  return Object.entries(schema.properties).map(([name, inner]) => ({
    name,
    in: place,
    required: place === 'path' || required.includes(name),
    schema: inner,
  }));
}
