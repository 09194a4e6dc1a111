import { setTimeout as delay } from 'node:timers/promises';
import { TinsmithError } from '#proto/errors.ts';
import type { JsonObject } from '../../manifests/hardware-kind.ts';
import { type AuthenticatedServer, ask } from './authenticated-request.ts';
import { objectsAt, textAt } from './json-fields.ts';
import { kubernetesRefused } from './kubernetes-refused.ts';

export interface DrainOptions {
  readonly server: AuthenticatedServer;
  readonly node: string;
  /** False: nobody there ends its pods; that their end was ordered has to do. */
  readonly isReady: boolean;
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
}

/** Between two looks at what is left. */
const ROUND_MS = 1000;
const PAGE = 500;

/**
 * Moves the work of a node elsewhere, as `kubectl drain` does: no new pods, then evictions, which disruption budgets may
 * hold back. Pods of DaemonSets and static pods belong to the node and stay. Throws `unavailable` with the pods that are
 * left after `timeoutMs`; the evictions stand, so that the next try goes on from there.
 */
export async function drainNode(options: DrainOptions): Promise<void> {
  await cordon(options);
  const deadline = performance.now() + options.timeoutMs;
  for (;;) {
    const left = await podsToMove(options);
    if (left.length === 0) return;
    const reasons = new Set<string>();
    for (const pod of left) {
      const reason = isLeaving(pod) ? undefined : await evict(options, pod);
      if (reason !== undefined) reasons.add(reason);
    }
    if (performance.now() >= deadline) throw stillThere(options, left, reasons);
    await delay(ROUND_MS, undefined, { signal: options.signal });
  }
}

async function cordon({ server, node, signal }: DrainOptions): Promise<void> {
  const answer = await ask(server, {
    method: 'PATCH',
    path: `/api/v1/nodes/${encodeURIComponent(node)}`,
    contentType: 'application/merge-patch+json',
    body: { spec: { unschedulable: true } },
    signal,
  });
  if (answer.status !== 200 && answer.status !== 404) throw kubernetesRefused(server, `cordon node ${node}`, answer);
}

async function podsToMove({ server, node, isReady, signal }: DrainOptions): Promise<readonly JsonObject[]> {
  const pods: JsonObject[] = [];
  let next = '';
  do {
    const query = new URLSearchParams({ fieldSelector: `spec.nodeName=${node}`, limit: String(PAGE) });
    if (next !== '') query.set('continue', next);
    const answer = await ask(server, { method: 'GET', path: `/api/v1/pods?${query.toString()}`, signal });
    if (answer.status !== 200) throw kubernetesRefused(server, `list the pods of node ${node}`, answer);
    pods.push(...objectsAt(answer.body, 'items'));
    next = textAt(answer.body, 'metadata', 'continue') ?? '';
  } while (next !== '');
  return pods.filter((pod) => hasToMove(pod) && (isReady || !isLeaving(pod)));
}

function hasToMove(pod: JsonObject): boolean {
  const isStatic = textAt(pod, 'metadata', 'annotations', 'kubernetes.io/config.mirror') !== undefined;
  const isOver = ['Succeeded', 'Failed'].includes(textAt(pod, 'status', 'phase') ?? '');
  const owners = objectsAt(pod, 'metadata', 'ownerReferences');
  return !isStatic && !isOver && !owners.some((owner) => textAt(owner, 'kind') === 'DaemonSet');
}

function isLeaving(pod: JsonObject): boolean {
  return textAt(pod, 'metadata', 'deletionTimestamp') !== undefined;
}

/** Undefined: ordered. Otherwise why it may not be just now. */
async function evict({ server, signal }: DrainOptions, pod: JsonObject): Promise<string | undefined> {
  const name = textAt(pod, 'metadata', 'name') ?? '';
  const namespace = textAt(pod, 'metadata', 'namespace') ?? '';
  const answer = await ask(server, {
    method: 'POST',
    path: `/api/v1/namespaces/${encodeURIComponent(namespace)}/pods/${encodeURIComponent(name)}/eviction`,
    body: { apiVersion: 'policy/v1', kind: 'Eviction', metadata: { name, namespace } },
    signal,
  });
  // 429: a disruption budget holds it back for now; 500: it has more than one budget.
  if (answer.status === 429 || answer.status === 500)
    return textAt(answer.body, 'message') ?? `status ${answer.status}`;
  if (answer.status < 300 || answer.status === 404) return undefined;
  throw kubernetesRefused(server, `evict pod ${namespace}/${name}`, answer);
}

function stillThere({ node }: DrainOptions, left: readonly JsonObject[], reasons: ReadonlySet<string>): TinsmithError {
  const names = left.map((pod) => `${textAt(pod, 'metadata', 'namespace')}/${textAt(pod, 'metadata', 'name')}`);
  const more = names.length > 5 ? ` and ${names.length - 5} more` : '';
  const why = reasons.size === 0 ? '' : `: ${[...reasons].join(', ')}`;
  return new TinsmithError(
    'unavailable',
    `node ${node} is not drained yet, still there: ${names.slice(0, 5).join(', ')}${more}${why}`,
  );
}
