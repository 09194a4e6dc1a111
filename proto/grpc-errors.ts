import { Metadata, status } from '@grpc/grpc-js';
import { type ErrorCode, isErrorCode, TinsmithError } from './errors.ts';

/** Trailing metadata that carries the code of proto/errors.ts beside gRPC's coarser status. */
const CODE_KEY = 'tinsmith-code';

const STATUS_OF_CODE: { readonly [C in ErrorCode]: status } = {
  internal: status.INTERNAL,
  invalid_input: status.INVALID_ARGUMENT,
  invalid_params: status.INVALID_ARGUMENT,
  invalid_template: status.INVALID_ARGUMENT,
  unknown_action: status.INVALID_ARGUMENT,
  usage: status.INVALID_ARGUMENT,
  not_found: status.NOT_FOUND,
  conflict: status.ABORTED,
  illegal_transition: status.FAILED_PRECONDITION,
  unauthenticated: status.UNAUTHENTICATED,
  forbidden: status.PERMISSION_DENIED,
  unavailable: status.UNAVAILABLE,
  timed_out: status.DEADLINE_EXCEEDED,
  cancelled: status.CANCELLED,
  lost: status.UNAVAILABLE,
  download_failed: status.UNAVAILABLE,
  checksum_mismatch: status.DATA_LOSS,
  corrupt_image: status.DATA_LOSS,
  device_unfit: status.FAILED_PRECONDITION,
  write_failed: status.INTERNAL,
  command_failed: status.INTERNAL,
  unsupported: status.UNIMPLEMENTED,
};

export interface GrpcStatus {
  readonly code: status;
  readonly details: string;
  readonly metadata: Metadata;
}

/** How an error leaves over gRPC. The sentence of a bug stays here: it may name what the peer must not know. */
export function grpcStatusOf(error: TinsmithError): GrpcStatus {
  const metadata = new Metadata();
  metadata.set(CODE_KEY, error.code);
  const details = error.code === 'internal' ? 'a bug in the server; its log says more' : error.message;
  return { code: STATUS_OF_CODE[error.code], details, metadata };
}

/**
 * What a failed call means. Without our own code in the trailer it was the connection or another server: `unavailable`.
 * `doing` is the start of the sentence: "cannot enroll at 10.0.0.1:42114".
 */
export function errorOfGrpc(thrown: unknown, doing: string): TinsmithError {
  if (thrown instanceof TinsmithError) return thrown;
  const { details, metadata } = serviceErrorParts(thrown);
  const code = metadata?.get(CODE_KEY)[0]?.toString();
  return new TinsmithError(code !== undefined && isErrorCode(code) ? code : 'unavailable', `${doing}: ${details}`, {
    cause: thrown,
  });
}

function serviceErrorParts(thrown: unknown): { readonly details: string; readonly metadata?: Metadata } {
  if (!(thrown instanceof Error)) return { details: String(thrown) };
  const details = 'details' in thrown && typeof thrown.details === 'string' ? thrown.details : thrown.message;
  if ('metadata' in thrown && thrown.metadata instanceof Metadata) return { details, metadata: thrown.metadata };
  return { details };
}
