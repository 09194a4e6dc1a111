import { TinsmithError } from '#proto/errors.ts';
import type { NodeStart } from '../store/cluster-contract.ts';
import type { Cause, Cluster, ClusterNode, Hardware } from '../store/store.ts';
import type { BootstrapToken, ClusterSecrets } from './bootstrap/bootstrapper.ts';
import { makeToken } from './bootstrap-token.ts';
import type { ClusterParts } from './cluster-parts.ts';
import {
  type ClusterStep,
  type FactStep,
  isFactStep,
  isStateStep,
  type ProvisionStep,
  type ReleaseStep,
  type StateStep,
} from './cluster-step.ts';
import { wipeWorkflow } from './wipe-workflow.ts';
import { nextWorkflowName } from './workflow-names.ts';

const SERVER: Cause = { actor: 'server' };

/** A token that ends sooner is not given to a machine: it has to be installed and to boot before it joins. */
const JOIN_TIME_MS = 2 * 3_600_000;

/** `waiting`: it could not be done now, and the node says why. */
type Outcome = 'done' | 'waiting';

/**
 * Does one step. Twice is harmless: every verb of the store compares before it sets, and what is asked of Kubernetes may be
 * repeated. A step that cannot be done now is noted at its node and tried again.
 */
export async function executeStep(
  parts: ClusterParts,
  cluster: Cluster,
  step: ClusterStep,
  signal: AbortSignal,
): Promise<Outcome> {
  if (isStateStep(step)) await moveCluster(parts, cluster.name, step);
  else if (isFactStep(step)) await noteFact(parts, step);
  else if (step.kind === 'claim') {
    const { group, revision } = step.wanted;
    const claim = { cluster: cluster.name, hardware: step.hardware, group: group.name, role: group.role, revision };
    await parts.transitions.claimNode(claim, SERVER);
  } else if (step.kind === 'provision') {
    return noted(parts, step.hardware, () => provision(parts, cluster, step, signal));
  } else {
    return noted(parts, step.hardware, () => release(parts, cluster, step, signal));
  }
  return 'done';
}

async function noteFact({ transitions }: ClusterParts, step: FactStep): Promise<void> {
  switch (step.kind) {
    case 'installed':
      return transitions.installNode(step.hardware, step.workflow, SERVER);
    case 'ready':
      return transitions.readyNode(step.hardware, SERVER);
    case 'failed':
      return transitions.failNode(step.hardware, step.workflow, step.reason, SERVER);
    case 'retried':
      return transitions.retryNode(step.hardware, step.workflow, SERVER);
    case 'giveBack':
      return transitions.releaseNode(step.hardware, SERVER);
  }
}

async function moveCluster({ transitions }: ClusterParts, name: string, step: StateStep): Promise<void> {
  switch (step.kind) {
    case 'settle':
      await transitions.putClusterToken(name, undefined); // nobody joins any more
      return transitions.settleCluster(name, SERVER);
    case 'block':
      return transitions.blockCluster(name, step.reason, SERVER);
    case 'resume':
      return transitions.resumeCluster(name, { afresh: false }, SERVER);
    case 'remove':
      return transitions.deleteCluster(name, SERVER);
  }
}

/** What keeps one node back is written at that node, and holds up no other. */
async function noted(parts: ClusterParts, hardware: string, work: () => Promise<void>): Promise<Outcome> {
  try {
    await work();
    return 'done';
  } catch (thrown) {
    const error = TinsmithError.from(thrown);
    if (error.code === 'cancelled') throw error;
    if (error.code === 'internal') parts.log.error({ err: error, hardware }, 'cluster.stepFailed');
    await parts.transitions.noteNode(hardware, error.message, SERVER);
    return 'waiting';
  }
}

async function provision(
  parts: ClusterParts,
  cluster: Cluster,
  step: ProvisionStep,
  signal: AbortSignal,
): Promise<void> {
  const { definition } = cluster;
  const { group, revision } = step.wanted;
  const hardware = await knownHardware(parts, step.hardware);
  const secrets = await knownSecrets(parts, cluster);
  if (step.leaves) await leaveKubernetes(parts, cluster, { hardware: hardware.name, role: group.role }, signal);
  const token = await tokenFor(parts, cluster, { step: step.step, secrets }, signal);
  const bootstrapper = parts.bootstrapperFor(definition);
  const { metadataUrl } = parts;
  const data = bootstrapper.userData({ definition, group, hardware, step: step.step, secrets, token, metadataUrl });
  const workflow = await nextWorkflowName(parts.store, hardware.name, 'install');
  const start: NodeStart = {
    ...parts.renderNode({ definition, group, hardware, workflow }),
    hardware: hardware.name,
    cluster: cluster.name,
    revision,
    initialises: step.step === 'init',
    readyBy: data?.readyBy ?? 'metadata',
    userDataPolicy: data?.holdsKeys === true ? 'untilReady' : 'keep',
    ...(data === undefined ? {} : { userData: data.text }),
  };
  await parts.transitions.startNode(start, SERVER);
}

/** What a node joins with. The first node's is new; a later one that ends soon is replaced by one that Kubernetes is told of. */
async function tokenFor(
  { store, transitions, clock, kubernetesOf }: ClusterParts,
  cluster: Cluster,
  { step, secrets }: { readonly step: ProvisionStep['step']; readonly secrets: ClusterSecrets },
  signal: AbortSignal,
): Promise<BootstrapToken> {
  const current = await store.clusterToken(cluster.name);
  const isLongEnough = current !== undefined && current.expiresAt.getTime() > clock().getTime() + JOIN_TIME_MS;
  if (step !== 'init' && isLongEnough) return current;
  const token = makeToken(clock());
  if (step !== 'init') await kubernetesOf(cluster, secrets)?.addToken(token, signal);
  await transitions.putClusterToken(cluster.name, token);
  return token;
}

async function release(parts: ClusterParts, cluster: Cluster, step: ReleaseStep, signal: AbortSignal): Promise<void> {
  const { hardware, reason, leaves, wipe, powersOff } = step;
  const node = await parts.store.node(hardware);
  if (node === undefined) return; // it was given back meanwhile
  if (leaves) await leaveKubernetes(parts, cluster, node, signal);
  const machine = await knownHardware(parts, hardware);
  const name = await nextWorkflowName(parts.store, hardware, 'wipe');
  const ordered = wipe ? { wipe: wipeWorkflow(machine, { workflow: name, cluster: cluster.name, powersOff }) } : {};
  await parts.transitions.startRelease({ hardware, reason, ...ordered }, SERVER);
}

/** Throws `unavailable` with the way around it where Kubernetes does not answer. */
async function leaveKubernetes(
  parts: ClusterParts,
  cluster: Cluster,
  { hardware, role }: Pick<ClusterNode, 'hardware' | 'role'>,
  signal: AbortSignal,
): Promise<void> {
  if (cluster.options.skipDrain) return;
  const kubernetes = parts.kubernetesOf(cluster, await knownSecrets(parts, cluster));
  try {
    await kubernetes?.removeNode({ name: hardware, role }, signal);
  } catch (cause) {
    if (signal.aborted) throw cause;
    const fact = TinsmithError.from(cause).message;
    throw new TinsmithError(
      'unavailable',
      `${hardware} has to leave Kubernetes first: ${fact}; it is tried again, or change the cluster with --skip-drain`,
      { cause },
    );
  }
}

async function knownHardware({ store }: ClusterParts, name: string): Promise<Hardware> {
  const hardware = await store.hardware(name);
  if (hardware === undefined) throw new TinsmithError('not_found', `there is no Hardware named ${name}`);
  return hardware;
}

async function knownSecrets({ store }: ClusterParts, { name }: Cluster): Promise<ClusterSecrets> {
  const secrets = await store.clusterSecrets(name);
  if (secrets === undefined) throw new TinsmithError('conflict', `the secrets of cluster ${name} were dropped`);
  return secrets;
}
