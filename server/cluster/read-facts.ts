import type { Cluster, Hardware, Workflow } from '../store/store.ts';
import type { ClusterFacts, NodeFacts, WantedGroup } from './cluster-facts.ts';
import type { ClusterParts } from './cluster-parts.ts';
import { nodeGroups } from './node-groups.ts';
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
  const groups = nodeGroups(cluster.definition).map(
    (group): WantedGroup => ({
      group,
      revision: nodeRevision(cluster.definition, group),
      spares: candidates(group, free).map((machine) => machine.name),
    }),
  );
  return { cluster, groups, nodes };
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
function freeMachines(
  { released }: Cluster,
  hardware: readonly Hardware[],
  unfinished: readonly Workflow[],
): readonly Hardware[] {
  const busy = new Set(unfinished.flatMap((workflow) => workflow.hardware));
  const taken = new Set(released.map((each) => each.hardware));
  return hardware.filter(
    ({ name, claim, stage }) => claim === undefined && stage !== 'retired' && !busy.has(name) && !taken.has(name),
  );
}
