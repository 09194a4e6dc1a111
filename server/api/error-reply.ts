import type { FastifyError } from 'fastify';
import { ERROR_CODES, TinsmithError } from '#proto/errors.ts';
import type { ErrorBody } from './types.ts';

export interface ErrorReply {
  readonly status: number;
  readonly body: ErrorBody;
  /** A bug: its cause belongs in the server's log, because it is not told to the client. */
  readonly isBug: boolean;
}

/** The one place that turns a failure into an HTTP answer: the status comes from the error table. */
export function errorReply(thrown: unknown, requestId: string): ErrorReply {
  const error = thrown instanceof TinsmithError ? thrown : fromFramework(thrown);
  const isBug = error.code === 'internal';
  const message = isBug ? `a bug in Tinsmith: see request ${requestId} in the server's log` : error.message;
  return {
    status: ERROR_CODES[error.code].http,
    body: { error: { code: error.code, message, problems: isBug ? [] : error.problems } },
    isBug,
  };
}

function fromFramework(thrown: unknown): TinsmithError {
  if (!isFrameworkError(thrown)) return TinsmithError.from(thrown);
  if (thrown.validation !== undefined) {
    const part = thrown.validationContext ?? 'request';
    const problems = thrown.validation.map(({ instancePath, message, params }) => ({
      file: part,
      line: 0,
      column: 0,
      message: `${instancePath === '' ? part : instancePath} ${message ?? 'is not valid'}${unexpected(params)}`,
    }));
    const first = problems[0]?.message ?? thrown.message;
    return new TinsmithError('invalid_input', `the request is not valid: ${first}`, { cause: thrown, problems });
  }
  const status = thrown.statusCode ?? 500;
  if (status >= 500) return TinsmithError.from(thrown);
  return new TinsmithError('invalid_input', `the request is not valid: ${thrown.message}`, { cause: thrown });
}

function unexpected(params: Readonly<Record<string, unknown>>): string {
  const name = params['additionalProperty'];
  return typeof name === 'string' ? `: "${name}"` : '';
}

function isFrameworkError(thrown: unknown): thrown is FastifyError {
  return thrown instanceof Error && ('statusCode' in thrown || 'validation' in thrown);
}
