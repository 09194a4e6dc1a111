import { TinsmithError } from '#proto/errors.ts';
import type { AuthenticatedServer, JsonAnswer } from './authenticated-request.ts';
import { textAt } from './json-fields.ts';

/** The error for an answer that says no: `unavailable` where it may say yes later. */
export function kubernetesRefused(server: AuthenticatedServer, what: string, answer: JsonAnswer): TinsmithError {
  const fact = textAt(answer.body, 'message') ?? `status ${answer.status}`;
  const isTemporary = answer.status === 429 || answer.status >= 500;
  return new TinsmithError(
    isTemporary ? 'unavailable' : 'conflict',
    `cannot ${what}: Kubernetes at ${server.url} says: ${fact}`,
  );
}
