import { nodeGroups } from '../cluster/node-groups.ts';
import { nodeRevision } from '../cluster/node-revision.ts';
import { type NodeWait, nodeWait } from '../cluster/node-waits.ts';
import type { Cluster, ClusterNode, Store, Workflow } from '../store/store.ts';
import type { ClusterView, NodeView } from './cluster-types.ts';
import { actionRunView } from './workflow-view.ts';

/** Names of the images whose import a workflow waits for. */
export type ImportsOf = (workflow: Workflow) => readonly string[];

/** A cluster, its groups, and what each of its nodes does or waits for. */
export async function clusterView(
  store: Store,
  cluster: Cluster,
  now: Date,
  importsOf: ImportsOf,
): Promise<ClusterView> {
  const { definition } = cluster;
  const nodes = await store.nodes(cluster.name);
  const groups = nodeGroups(definition);
  const revisions = new Map(groups.map((group) => [group.name, nodeRevision(definition, group)]));
  const agents = new Set(await store.connectedAgents());
  const views = await Promise.all(
    nodes.map((node) =>
      nodeView(store, { cluster, node, nodes, revision: revisions.get(node.group), agents, now, importsOf }),
    ),
  );
  return {
    name: cluster.name,
    state: cluster.state,
    stateAt: cluster.stateAt.toISOString(),
    ...(cluster.failure === undefined ? {} : { failure: cluster.failure }),
    kubernetesVersion: definition.cluster.kubernetesVersion,
    endpoint: definition.cluster.controlPlane.endpointHost,
    bootstrapper: definition.cluster.bootstrapper ?? 'kubeadm',
    options: cluster.options,
    groups: groups.map(({ name, role, count, kubernetesVersion }) => {
      const members = nodes.filter(({ group }) => group === name);
      const ready = members.filter(({ state }) => state === 'ready').length;
      return { name, role, count, ready, kubernetesVersion };
    }),
    nodes: views.filter((view) => view !== undefined),
    version: cluster.version,
    createdAt: cluster.createdAt.toISOString(),
  };
}

interface NodeContext {
  readonly cluster: Cluster;
  readonly node: ClusterNode;
  readonly nodes: readonly ClusterNode[];
  /** What nodes of its group are to be made from; undefined: the group is gone. */
  readonly revision: string | undefined;
  readonly agents: ReadonlySet<string>;
  readonly importsOf: ImportsOf;
  readonly now: Date;
}

/** What one node waits for. */
export async function nodeWaitOf(store: Store, node: ClusterNode, now: Date): Promise<NodeWait | undefined> {
  const cluster = await store.cluster(node.cluster);
  const hardware = await store.hardware(node.hardware);
  if (cluster === undefined || hardware === undefined) return undefined; // deleted between two questions
  const workflow = node.workflow === undefined ? undefined : await store.workflow(node.workflow);
  const hasAgent = (await store.connectedAgents()).includes(node.hardware);
  const nodes = await store.nodes(node.cluster);
  const facts = { cluster, node, nodes, hardware, hasAgent, now, ...startupOf(cluster, node) };
  return nodeWait({ ...facts, ...(workflow && { workflow }) });
}

/** EKS Anywhere would install a node anew after this time; here somebody is asked to look. */
function startupOf({ definition }: Cluster, { group }: ClusterNode): { readonly startupMs?: number } {
  const { controlPlane, workerGroups } = definition.cluster;
  const { healthCheck } = workerGroups.find(({ name }) => name === group) ?? controlPlane;
  return healthCheck === undefined ? {} : { startupMs: healthCheck.nodeStartupTimeoutMs };
}

async function nodeView(store: Store, context: NodeContext): Promise<NodeView | undefined> {
  const { cluster, node, nodes, revision, agents, now, importsOf } = context;
  const hardware = await store.hardware(node.hardware);
  if (hardware === undefined) return undefined; // deleted between two questions
  const workflow = node.workflow === undefined ? undefined : await store.workflow(node.workflow);
  const hasAgent = agents.has(node.hardware);
  const facts = { cluster, node, nodes, hardware, hasAgent, now, ...startupOf(cluster, node) };
  const wait = nodeWait({ ...facts, ...(workflow && { workflow, imports: importsOf(workflow) }) });
  const dhcp = hardware.spec.interfaces.find((each) => each.dhcp !== undefined)?.dhcp;
  return {
    hardware: node.hardware,
    group: node.group,
    role: node.role,
    state: node.state,
    stateAt: node.stateAt.toISOString(),
    stage: hardware.stage,
    tries: node.tries,
    initialises: node.initialises,
    isCurrent: node.revision === revision,
    revision: node.revision,
    ...(dhcp === undefined ? {} : { mac: dhcp.mac, ...(dhcp.ip === undefined ? {} : { address: dhcp.ip.address }) }),
    ...(node.failure === undefined ? {} : { failure: node.failure }),
    ...(wait === undefined ? {} : { waits: wait }),
    ...(workflow === undefined ? {} : { workflow: workflowPart(workflow, now) }),
  };
}

function workflowPart(workflow: Workflow, now: Date): NonNullable<NodeView['workflow']> {
  const current = workflow.actions.find(({ state }) => state === 'running');
  return {
    name: workflow.name,
    state: workflow.state,
    attempt: workflow.attempt,
    actions: workflow.actions.length,
    done: workflow.actions.filter(({ state }) => state === 'succeeded').length,
    ...(current === undefined ? {} : { current: actionRunView(current, now) }),
  };
}
