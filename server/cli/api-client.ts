import { isErrorCode, systemCodeOf, TinsmithError } from '#proto/errors.ts';
import type { ErrorBody } from '../api/types.ts';
import { readServerSentEvents } from './server-sent-events.ts';

export type Query = Readonly<Record<string, string | number | boolean | readonly string[] | undefined>>;

/** A client of the admin API. Paths are below `/api/v1`. */
export interface ApiClient {
  get<T>(path: string, query?: Query): Promise<T>;
  send<T>(method: 'POST' | 'PUT' | 'DELETE', path: string, body?: object): Promise<T>;
  /**
   * Follows a stream and comes back by itself, with the last id it saw, when the connection breaks or falls silent: stored
   * events are neither lost nor repeated. Ends when the server says so (`end`) or throws when it is away for too long.
   */
  follow<T>(path: string, query: Query, signal?: AbortSignal): AsyncIterable<T>;
}

export interface ApiClientOptions {
  /** `http://127.0.0.1:7180` */
  readonly server: string;
  /** Asked before the first request. */
  readonly token: () => Promise<string>;
  readonly signal: AbortSignal;
}

const DEADLINE_MS = 120_000;

export function apiClient(options: ApiClientOptions): ApiClient {
  let token: Promise<string> | undefined;
  const request: Requester = async (path, query, { headers, ...init }) => {
    token ??= options.token();
    const authorization = `Bearer ${await token}`;
    const url = urlOf(options.server, path, query);
    return fetchOrExplain(url, options.server, { ...init, headers: { ...headers, authorization } });
  };
  const withDeadline = (): AbortSignal => AbortSignal.any([options.signal, AbortSignal.timeout(DEADLINE_MS)]);
  return {
    async get<T>(path: string, query: Query = {}) {
      return answer<T>(await request(path, query, { signal: withDeadline() }));
    },
    async send<T>(method: string, path: string, body?: object) {
      const json = { body: JSON.stringify(body), headers: { 'content-type': 'application/json' } };
      return answer<T>(await request(path, {}, { method, signal: withDeadline(), ...(body !== undefined && json) }));
    },
    follow<T>(path: string, query: Query, also?: AbortSignal) {
      const signal = also === undefined ? options.signal : AbortSignal.any([options.signal, also]);
      return follow<T>(request, { path, query, signal });
    },
  };
}

interface RequestParts {
  readonly method?: string;
  readonly body?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly signal: AbortSignal;
}
type Requester = (path: string, query: Query, parts: RequestParts) => Promise<Response>;

async function* follow<T>(
  request: Requester,
  { path, query, signal }: { readonly path: string; readonly query: Query; readonly signal: AbortSignal },
): AsyncGenerator<T> {
  const events = readServerSentEvents({
    signal,
    async open(lastEventId, untilSilent) {
      const resume: Record<string, string> = lastEventId === undefined ? {} : { 'last-event-id': lastEventId };
      const headers = { accept: 'text/event-stream', ...resume };
      const response = await request(path, query, { signal: untilSilent, headers });
      if (!response.ok) await answer(response);
      return response;
    },
  });
  for await (const { data } of events) yield typed<T>(JSON.parse(data));
}

/** The one place where an answer is taken for what its route's schema says: server and client share api/types.ts. */
function typed<T>(value: unknown): T {
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the server checked it against the same schema
  return value as T;
}

function urlOf(server: string, path: string, query: Query): URL {
  let url: URL;
  try {
    url = new URL(`/api/v1${path}`, server);
  } catch (cause) {
    throw new TinsmithError('usage', `the server "${server}" is no URL: use one like http://127.0.0.1:7180`, { cause });
  }
  for (const [name, value] of Object.entries(query)) {
    const values = Array.isArray(value) ? value : [value];
    for (const item of values) if (item !== undefined) url.searchParams.append(name, String(item));
  }
  return url;
}

/** A redirect is refused: the token must not follow it to another host. */
async function fetchOrExplain(
  url: URL,
  server: string,
  init: RequestInit & { signal: AbortSignal },
): Promise<Response> {
  try {
    return await fetch(url, { ...init, redirect: 'error' });
  } catch (error) {
    if (init.signal.aborted) throw stopReason(init.signal, server);
    const cause = error instanceof Error ? error.cause : undefined;
    const fact =
      cause instanceof Error && cause.message !== '' ? cause.message : (systemCodeOf(cause) ?? String(error));
    throw new TinsmithError(
      'unavailable',
      `cannot reach the server at ${server}: ${fact}; start it with tinsmith serve or name another with --server`,
      { cause: error },
    );
  }
}

function stopReason(signal: AbortSignal, server: string): TinsmithError {
  const reason: unknown = signal.reason;
  if (reason instanceof Error && reason.name === 'TimeoutError') {
    return new TinsmithError(
      'timed_out',
      `the server at ${server} did not answer within ${DEADLINE_MS / 1000} seconds`,
    );
  }
  return TinsmithError.from(reason, 'cancelled');
}

async function answer<T>(response: Response): Promise<T> {
  const body: unknown = await response.json().catch(() => undefined);
  if (response.ok && body !== undefined) return typed<T>(body);
  if (isErrorBody(body)) {
    const { code, message, problems } = body.error;
    throw new TinsmithError(isErrorCode(code) ? code : 'internal', message, { problems });
  }
  throw new TinsmithError(
    'unavailable',
    `${response.url} answered ${response.status} without a body that Tinsmith sends: is it a Tinsmith server?`,
  );
}

function isErrorBody(body: unknown): body is ErrorBody {
  if (typeof body !== 'object' || body === null || !('error' in body)) return false;
  const { error } = body;
  return typeof error === 'object' && error !== null && 'code' in error && 'message' in error && 'problems' in error;
}
