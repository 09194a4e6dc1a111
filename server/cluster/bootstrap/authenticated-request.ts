import { request } from 'node:https';
import { messageOf, TinsmithError } from '#proto/errors.ts';
import type { JsonObject, JsonValue } from '../../manifests/hardware-kind.ts';
import type { KeyPair } from './cluster-pki.ts';

/** How one side of a cluster is spoken to: mutual TLS, its authority the only one that counts. */
export interface AuthenticatedServer {
  /** `https://10.0.0.10:6443`, without a path. */
  readonly url: string;
  /** PEM. */
  readonly authority: string;
  readonly client: KeyPair;
}

export interface AuthenticatedRequest {
  readonly method: 'GET' | 'POST' | 'PATCH' | 'DELETE';
  /** With its query. */
  readonly path: string;
  readonly body?: object;
  /** Default `application/json`. */
  readonly contentType?: string;
  readonly signal: AbortSignal;
}

export interface JsonAnswer {
  readonly status: number;
  /** What is not an object is an empty one. */
  readonly body: JsonObject;
}

const TIMEOUT_MS = 20_000;
/** A cluster's answers are pages of at most 500 objects. */
const MAX_ANSWER_BYTES = 32 * 1024 * 1024;

/** One question and its answer, whatever its status. Throws `unavailable` where none comes in 20 s; the signal's reason on abort. */
export async function ask(server: AuthenticatedServer, asked: AuthenticatedRequest): Promise<JsonAnswer> {
  asked.signal.throwIfAborted();
  const signal = AbortSignal.any([asked.signal, AbortSignal.timeout(TIMEOUT_MS)]);
  try {
    return await exchange(server, asked, signal);
  } catch (cause) {
    asked.signal.throwIfAborted();
    const fact = signal.aborted ? `it did not answer within ${TIMEOUT_MS / 1000} s` : messageOf(cause);
    throw new TinsmithError('unavailable', `cannot ask ${server.url}: ${fact}`, { cause });
  }
}

function exchange(server: AuthenticatedServer, asked: AuthenticatedRequest, signal: AbortSignal): Promise<JsonAnswer> {
  const { promise, resolve, reject } = Promise.withResolvers<JsonAnswer>();
  const body = asked.body === undefined ? undefined : JSON.stringify(asked.body);
  const sent = request(`${server.url}${asked.path}`, {
    method: asked.method,
    ca: server.authority,
    cert: server.client.certificate,
    key: server.client.key,
    minVersion: 'TLSv1.2',
    agent: false, // a connection each: they are few, and certificates are short-lived
    signal,
    headers: {
      accept: 'application/json',
      ...(body === undefined ? {} : { 'content-type': asked.contentType ?? 'application/json' }),
    },
  });
  sent.once('error', reject);
  sent.once('response', (response) => {
    const chunks: Buffer[] = [];
    let length = 0;
    response.on('data', (chunk: Buffer) => {
      length += chunk.length;
      if (length > MAX_ANSWER_BYTES) response.destroy(new Error(`its answer is longer than ${MAX_ANSWER_BYTES} bytes`));
      else chunks.push(chunk);
    });
    response.once('error', reject);
    response.once('end', () => resolve({ status: response.statusCode ?? 0, body: parsed(Buffer.concat(chunks)) }));
  });
  sent.end(body);
  return promise;
}

/** Health checks answer in plain text. */
function parsed(bytes: Buffer): JsonObject {
  try {
    const value: JsonValue = JSON.parse(bytes.toString());
    return isObject(value) ? value : {};
  } catch {
    return {};
  }
}

function isObject(value: JsonValue): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
