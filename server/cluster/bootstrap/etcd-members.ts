import { TinsmithError } from '#proto/errors.ts';
import { type AuthenticatedServer, ask } from './authenticated-request.ts';
import { objectsAt, textAt } from './json-fields.ts';

/*
 * etcd's members, by the JSON gateway that every etcd since 3.4 serves beside gRPC (etcd documentation, "gRPC gateway").
 * Member ids are 64 bits and come and go as decimal text.
 */

/**
 * Takes a member out of etcd, asking the given members in turn until one answers. Nothing if it is not there, so twice is
 * harmless. Throws `unavailable` if none answers and `conflict` if etcd refuses, as it does to keep its majority.
 */
export async function removeEtcdMember(
  servers: readonly AuthenticatedServer[],
  name: string,
  signal: AbortSignal,
): Promise<void> {
  let lastFault: unknown;
  for (const server of servers) {
    try {
      await removeBy(server, name, signal);
      return;
    } catch (fault) {
      if (signal.aborted || !isUnavailable(fault)) throw fault;
      lastFault = fault; // the next one may be there
    }
  }
  const fact = lastFault instanceof Error ? lastFault.message : 'it has no other members';
  throw new TinsmithError('unavailable', `cannot take ${name} out of etcd by any other member: ${fact}`, {
    cause: lastFault,
  });
}

async function removeBy(server: AuthenticatedServer, name: string, signal: AbortSignal): Promise<void> {
  const listed = await ask(server, { method: 'POST', path: '/v3/cluster/member/list', body: {}, signal });
  if (listed.status !== 200) throw refused(server, name, listed);
  const member = objectsAt(listed.body, 'members').find((candidate) => textAt(candidate, 'name') === name);
  if (member === undefined) return;
  const body = { ID: textAt(member, 'ID') ?? '0' };
  const removed = await ask(server, { method: 'POST', path: '/v3/cluster/member/remove', body, signal });
  if (removed.status === 200 || removed.status === 404) return;
  throw refused(server, name, removed);
}

function refused(server: AuthenticatedServer, name: string, answer: Awaited<ReturnType<typeof ask>>): TinsmithError {
  const fact = textAt(answer.body, 'message') ?? textAt(answer.body, 'error') ?? `status ${answer.status}`;
  const code = answer.status >= 500 ? 'unavailable' : 'conflict';
  return new TinsmithError(code, `cannot take ${name} out of etcd at ${server.url}: ${fact}`);
}

function isUnavailable(fault: unknown): boolean {
  return fault instanceof TinsmithError && fault.code === 'unavailable';
}
