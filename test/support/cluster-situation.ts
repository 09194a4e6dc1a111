/** Clusters in any situation, for tests of what is decided from it. */
import type { ClusterFacts, NodeFacts } from '#server/cluster/cluster-facts.ts';
import type { ClusterOptions } from '#server/cluster/cluster-options.ts';
import { CONTROL_PLANE, nodeGroups } from '#server/cluster/node-groups.ts';
import type { ClusterState } from '#server/life/cluster-life.ts';
import type { WorkflowState } from '#server/life/workflow-life.ts';
import type { RolloutStrategy } from '#server/manifests/cluster-kind.ts';
import type { Cluster, ClusterNode, Hardware, Workflow } from '#server/store/store.ts';
import { clusterDefinition, newCluster } from './cluster-records.ts';
import { hardwareManifest } from './records.ts';

export const AT = new Date('2026-01-01T00:00:00Z');

export interface Situation {
  readonly controlPlane?: number;
  readonly workers?: Readonly<Record<string, number>>;
  readonly state?: ClusterState;
  readonly failure?: string;
  readonly options?: Partial<ClusterOptions>;
  readonly released?: Cluster['released'];
  readonly rollout?: RolloutStrategy;
  readonly spares?: Readonly<Record<string, readonly string[]>>;
  readonly nodes?: readonly NodeFacts[];
}

/** Machines of a group are to be made from revision `new`. */
export function situation(wanted: Situation): ClusterFacts {
  const { controlPlane = 1, workers = {}, state = 'creating', rollout, spares = {}, nodes = [] } = wanted;
  const definition = clusterDefinition({ controlPlane, workers, ...(rollout && { rollout }) });
  const cluster: Cluster = {
    name: 'c1',
    version: 1,
    createdAt: AT,
    state,
    stateAt: AT,
    definition,
    options: newCluster(definition, wanted.options).options,
    released: wanted.released ?? [],
    ...(wanted.failure === undefined ? {} : { failure: wanted.failure }),
  };
  const groups = nodeGroups(definition).map((group) => ({ group, revision: 'new', spares: spares[group.name] ?? [] }));
  return { cluster, groups, nodes };
}

export interface NodeSituation extends Partial<ClusterNode> {
  readonly run?: WorkflowState;
  readonly machine?: Partial<Hardware>;
}

/** A node of revision `new`, and its machine and workflow. */
export function node(
  hardware: string,
  group: string,
  state: ClusterNode['state'],
  more: NodeSituation = {},
): NodeFacts {
  const { run, machine = {}, ...fields } = more;
  const workflow = run === undefined ? fields.workflow : `${hardware}-install-1`;
  const record: ClusterNode = {
    hardware,
    cluster: 'c1',
    group,
    role: group === CONTROL_PLANE ? 'controlPlane' : 'worker',
    revision: 'new',
    initialises: false,
    state,
    stateAt: AT,
    claimedAt: AT,
    tries: 1,
    ...fields,
    ...(workflow === undefined ? {} : { workflow }),
  };
  const found: Hardware = {
    ...hardwareManifest(hardware),
    version: 1,
    createdAt: AT,
    stage: state === 'ready' || state === 'installed' ? 'installed' : 'discovered',
    stageAt: AT,
    netboot: true,
    hasUserData: true,
    ...machine,
  };
  // Only what is decided from: name, state, start and error.
  const ran = { name: workflow, state: run, error: { code: 'write_failed', message: 'no disk' } } as Workflow;
  return { node: record, hardware: found, ...(run === undefined ? {} : { workflow: ran }) };
}
