import { isDeepStrictEqual } from 'node:util';
import { TinsmithError } from '#proto/errors.ts';
import { isWipe } from '../life/workflow-purpose.ts';
import { faultOfMajority, MOST_CONTROL_PLANES, MOST_NODES } from '../manifests/cluster-group-readers.ts';
import { type ClusterDefinition, CONTROL_PLANE } from '../manifests/cluster-kind.ts';
import type { Cause, Cluster } from '../store/store.ts';
import { bootstrapperFor } from './bootstrap/bootstrappers.ts';
import type { ClusterOptions } from './cluster-options.ts';
import type { ClusterParts } from './cluster-parts.ts';
import { wipeWorkflow } from './wipe-workflow.ts';
import { nextWorkflowName } from './workflow-names.ts';

export type VerbParts = Pick<ClusterParts, 'store' | 'transitions' | 'clock'>;

/**
 * Keeps a new cluster; the controller makes it. The same definition again changes nothing, so that whoever lost the answer, or
 * comes back to watch, may ask again. Throws `conflict` if there is another one of that name.
 */
export async function createCluster(
  { store, transitions, clock }: VerbParts,
  definition: ClusterDefinition,
  options: ClusterOptions,
  cause: Cause,
): Promise<'created' | 'unchanged'> {
  if (await isCreated(store, definition)) return 'unchanged';
  const secrets = await bootstrapperFor(definition).makeSecrets(definition, clock());
  await transitions.createCluster({ definition, options, secrets }, cause);
  return 'created';
}

/** Whether there is a cluster of this definition. Throws `conflict` if there is another one of its name. */
export async function isCreated(store: ClusterParts['store'], definition: ClusterDefinition): Promise<boolean> {
  const { name } = definition.cluster;
  const before = await store.cluster(name);
  if (before === undefined) return false;
  if (isSameDefinition(before.definition, definition) && before.state !== 'deleting') return true;
  const fact = before.state === 'deleting' ? 'is being deleted' : 'exists with another definition';
  throw new TinsmithError(
    'conflict',
    `cannot create cluster ${name}: it ${fact}; change it with tinsmith cluster scale or upgrade`,
  );
}

/** Another definition for a cluster, or other options; the same again changes nothing. */
export async function changeCluster(
  { store, transitions }: Pick<VerbParts, 'store' | 'transitions'>,
  change: { readonly definition: ClusterDefinition; readonly options: ClusterOptions },
  cause: Cause,
): Promise<'configured' | 'unchanged'> {
  const before = await knownCluster(store, change.definition.cluster.name);
  const { definition, options } = change;
  const isSame = isSameDefinition(before.definition, definition) && isDeepStrictEqual(before.options, options);
  if (isSame && before.state !== 'blocked') return 'unchanged';
  if (before.state === 'deleting') {
    throw new TinsmithError('conflict', `cannot change cluster ${before.name}: it is being deleted`);
  }
  await transitions.changeCluster(before.name, { definition, options, version: before.version }, cause);
  return 'configured';
}

/** The definition of a cluster with other counts. Throws `not_found` for a group that it does not have, `invalid_input` for a count. */
export function withCounts(
  definition: ClusterDefinition,
  counts: { readonly controlPlane?: number; readonly workers?: Readonly<Record<string, number>> },
): ClusterDefinition {
  const { cluster } = definition;
  const { controlPlane = cluster.controlPlane.count, workers = {} } = counts;
  const names = cluster.workerGroups.map(({ name }) => name);
  const unknown = Object.keys(workers).find((name) => !names.includes(name));
  if (unknown !== undefined) {
    const known = names.length === 0 ? 'it has none' : `it has ${names.join(', ')}`;
    throw new TinsmithError('not_found', `cluster ${cluster.name} has no worker group "${unknown}": ${known}`);
  }
  checkCounts(cluster.name, {
    ...workers,
    ...(counts.controlPlane !== undefined && { [CONTROL_PLANE]: controlPlane }),
  });
  const workerGroups = cluster.workerGroups.map((group) => ({ ...group, count: workers[group.name] ?? group.count }));
  const changed = { ...cluster, controlPlane: { ...cluster.controlPlane, count: controlPlane }, workerGroups };
  return { ...definition, cluster: changed };
}

/** What a file may not say, a number on the command line may not say either. */
function checkCounts(cluster: string, counts: Readonly<Record<string, number>>): void {
  for (const [group, count] of Object.entries(counts)) {
    const isControlPlane = group === CONTROL_PLANE;
    const most = isControlPlane ? MOST_CONTROL_PLANES : MOST_NODES;
    const tooMany = count > most ? `which is too many: write at most ${most}` : undefined;
    const fault = tooMany ?? (isControlPlane ? faultOfMajority(count) : undefined);
    if (fault === undefined) continue;
    throw new TinsmithError(
      'invalid_input',
      `cannot scale cluster ${cluster}: the count of ${group} is ${count}, ${fault}`,
    );
  }
}

/** The administrator's kubeconfig. Throws `unsupported` where the bootstrapper has none. */
export async function clusterKubeconfig(
  { store, clock }: Pick<VerbParts, 'store' | 'clock'>,
  name: string,
): Promise<string> {
  const { definition } = await knownCluster(store, name);
  const secrets = await store.clusterSecrets(name);
  const bootstrapper = bootstrapperFor(definition);
  const text = secrets && (await bootstrapper.kubeconfig(definition, secrets, clock()));
  if (text !== undefined) return text;
  const fix = bootstrapper.name === 'k3s' ? '; k3s writes one to /etc/rancher/k3s/k3s.yaml on its first node' : '';
  throw new TinsmithError(
    'unsupported',
    `there is no kubeconfig of cluster ${name}: its bootstrapper ${bootstrapper.name} gives none${fix}`,
  );
}

/** Throws `conflict` for the only node of a control plane: that is the cluster; and `not_found`. */
export async function checkRelease(store: ClusterParts['store'], name: string): Promise<void> {
  if ((await store.hardware(name)) === undefined) {
    throw new TinsmithError('not_found', `there is no Hardware named ${name}`);
  }
  const node = await store.node(name);
  if (node?.role !== 'controlPlane' || node.state !== 'ready') return;
  const { state } = await knownCluster(store, node.cluster);
  const others = (await store.nodes(node.cluster)).filter(
    (other) => other.role === 'controlPlane' && other.state === 'ready' && other.hardware !== name,
  );
  if (others.length > 0 || state === 'deleting') return;
  throw new TinsmithError(
    'conflict',
    `cannot release Hardware ${name}: it is the only control-plane node of cluster ${node.cluster}; delete that (tinsmith cluster delete ${node.cluster})`,
  );
}

/**
 * Takes a machine out of service: its user data goes at once, its disks are emptied unless told otherwise, and its place in a
 * cluster is given up. Throws as checkRelease does, and `conflict` while another workflow is to run on it.
 */
export async function releaseHardware(
  { store, transitions }: Pick<VerbParts, 'store' | 'transitions'>,
  { name, wipe }: { readonly name: string; readonly wipe: boolean },
  cause: Cause,
): Promise<void> {
  await checkRelease(store, name);
  if ((await store.node(name)) !== undefined) {
    await transitions.withdrawNode({ hardware: name, wipe }, cause);
    return;
  }
  const hardware = await store.hardware(name);
  if (hardware === undefined) return; // deleted between two questions
  const unfinished = await store.listWorkflows({ hardware: name, states: ['pending', 'running', 'waiting'] });
  if (wipe && unfinished.some(({ labels }) => isWipe(labels))) return; // asked before
  const workflow = await nextWorkflowName(store, name, 'wipe');
  const ordered = wipe ? { wipe: wipeWorkflow(hardware, { workflow, powersOff: true }) } : {};
  await transitions.releaseHardware({ hardware: name, ...ordered }, cause);
}

/** Throws `not_found`. */
export async function knownCluster(store: ClusterParts['store'], name: string): Promise<Cluster> {
  const cluster = await store.cluster(name);
  if (cluster === undefined) throw new TinsmithError('not_found', `there is no cluster named ${name}`);
  return cluster;
}

/** As they are stored: fields that are `undefined` do not survive that. */
export function isSameDefinition(before: ClusterDefinition, after: ClusterDefinition): boolean {
  return isDeepStrictEqual(JSON.parse(JSON.stringify(before)), JSON.parse(JSON.stringify(after)));
}
