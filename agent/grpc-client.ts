import { create } from '@bufbuild/protobuf';
import { type ChannelCredentials, Client, credentials } from '@grpc/grpc-js';
import { agentServiceDefinition, MAX_SERVER_MESSAGE_BYTES, SERVER_NAME } from '#proto/agent-service-definition.ts';
import { TinsmithError } from '#proto/errors.ts';
import {
  type EnrollRequest,
  type EnrollResponse,
  type RenewRequest,
  RenewRequestSchema,
} from '#proto/gen/tinsmith/agent/v1/agent_pb.ts';
import { errorOfGrpc } from '#proto/grpc-errors.ts';

/** PEM. `key` is a secret; without key and certificate only Enroll is served. */
export interface ClientTrust {
  readonly ca: string;
  readonly key?: string;
  readonly certificate?: string;
}

const UNARY_DEADLINE_MS = 30_000;

/**
 * A client for one connection: who calls closes it. It dials directly (no proxy, no service config from DNS), trusts our CA
 * only, and expects the server's own name whatever the address is.
 */
export function openClient(server: string, trust: ClientTrust): Client {
  return new Client(server, secure(trust), {
    'grpc.ssl_target_name_override': SERVER_NAME,
    'grpc.default_authority': SERVER_NAME,
    'grpc.enable_http_proxy': 0,
    'grpc.service_config_disable_resolution': 1,
    'grpc.enable_retries': 0,
    'grpc.use_local_subchannel_pool': 1,
    'grpc.keepalive_time_ms': 5_000,
    'grpc.keepalive_timeout_ms': 5_000,
    'grpc.max_receive_message_length': MAX_SERVER_MESSAGE_BYTES,
  });
}

function secure({ ca, key, certificate }: ClientTrust): ChannelCredentials {
  if (key === undefined || certificate === undefined) return credentials.createSsl(Buffer.from(ca));
  return credentials.createSsl(Buffer.from(ca), Buffer.from(key), Buffer.from(certificate));
}

/** Throws `unauthenticated` when the server refuses, `unavailable` when it cannot be reached. */
export async function callEnroll(client: Client, request: EnrollRequest, signal: AbortSignal): Promise<EnrollResponse> {
  return callUnary(client, { method: agentServiceDefinition.enroll, request, doing: 'cannot enroll', signal });
}

/** Asks for a certificate with a new end date for the key that this connection shows. */
export async function callRenew(client: Client, signal: AbortSignal): Promise<EnrollResponse> {
  const request = create(RenewRequestSchema);
  const doing = 'cannot renew the certificate';
  return callUnary(client, { method: agentServiceDefinition.renew, request, doing, signal });
}

interface UnaryCall<Request> {
  readonly method: {
    readonly path: string;
    readonly requestSerialize: (request: Request) => Buffer;
    readonly responseDeserialize: (bytes: Buffer) => EnrollResponse;
  };
  readonly request: Request;
  /** Start of the sentence of an error. */
  readonly doing: string;
  readonly signal: AbortSignal;
}

async function callUnary<Request extends EnrollRequest | RenewRequest>(
  client: Client,
  { method, request, doing, signal }: UnaryCall<Request>,
): Promise<EnrollResponse> {
  signal.throwIfAborted();
  const { promise, resolve, reject } = Promise.withResolvers<EnrollResponse>();
  const call = client.makeUnaryRequest(
    method.path,
    method.requestSerialize,
    method.responseDeserialize,
    request,
    { deadline: Date.now() + UNARY_DEADLINE_MS },
    (error, response) => {
      if (error !== null) reject(errorOfGrpc(error, doing));
      else if (response === undefined) reject(new TinsmithError('internal', `${doing}: the answer is empty`));
      else resolve(response);
    },
  );
  const abort = (): void => call.cancel();
  signal.addEventListener('abort', abort, { once: true });
  try {
    return await promise;
  } finally {
    signal.removeEventListener('abort', abort);
  }
}
