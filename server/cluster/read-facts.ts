import type { ClusterDefinition } from '../manifests/cluster-kind.ts';
import type { Cluster, Hardware, Workflow } from '../store/store.ts';
import { type Demand, rankedSpares } from './assign-machines.ts';
import type { ClusterFacts, NodeFacts, WantedGroup } from './cluster-facts.ts';
import type { ClusterParts } from './cluster-parts.ts';
import { type NodeGroup, nodeGroups } from './node-groups.ts';
import { nodeRevision } from './node-revision.ts';

/** What is known of a cluster, its nodes and the machines that are free for it. */
export async function readFacts(
  { store, candidates }: Pick<ClusterParts, 'store' | 'candidates'>,
  cluster: Cluster,
): Promise<ClusterFacts> {
  const nodes = await readNodes(store, cluster.name);
  const hardware = await store.listHardware();
  const unfinished = await store.listWorkflows({ states: ['pending', 'running', 'waiting'] });
  const free = freeMachines(cluster, hardware, unfinished);
  const demands = nodeGroups(cluster.definition).map((group): Demand => {
    return { group, missing: missingIn(group, cluster, nodes), fitting: candidates(group, free) };
  });
  return { cluster, groups: wantedGroups(cluster.definition, demands), nodes };
}

/** What is wanted of each group, with the machines that it may take: in the order of an assignment of all groups. */
export function wantedGroups(definition: ClusterDefinition, demands: readonly Demand[]): readonly WantedGroup[] {
  const spares = rankedSpares(demands);
  return demands.map(({ group }) => {
    return { group, revision: nodeRevision(definition, group), spares: spares.get(group.name) ?? [] };
  });
}

/** Nodes that a group has too few: those on their way out do not count. */
export function missingIn(group: NodeGroup, { released }: Cluster, nodes: readonly NodeFacts[]): number {
  const going = new Set(released.map(({ hardware }) => hardware));
  const staying = nodes.filter(
    ({ node }) => node.group === group.name && node.state !== 'releasing' && !going.has(node.hardware),
  );
  return Math.max(0, group.count - staying.length);
}

async function readNodes(store: ClusterParts['store'], cluster: string): Promise<readonly NodeFacts[]> {
  const nodes = await store.nodes(cluster);
  const facts = await Promise.all(
    nodes.map(async (node): Promise<NodeFacts | undefined> => {
      const hardware = await store.hardware(node.hardware);
      const workflow = node.workflow === undefined ? undefined : await store.workflow(node.workflow);
      return hardware && { node, hardware, ...(workflow && { workflow }) };
    }),
  );
  return facts.filter((each) => each !== undefined);
}

/** Machines that no cluster has, that are in service and that have nothing to do; nor were they taken out of this cluster. */
export function freeMachines(
  { released }: Pick<Cluster, 'released'>,
  hardware: readonly Hardware[],
  unfinished: readonly Workflow[],
): readonly Hardware[] {
  const busy = new Set(unfinished.flatMap((workflow) => workflow.hardware));
  const taken = new Set(released.map((each) => each.hardware));
  return hardware.filter(
    ({ name, claim, stage }) => claim === undefined && stage !== 'retired' && !busy.has(name) && !taken.has(name),
  );
}
