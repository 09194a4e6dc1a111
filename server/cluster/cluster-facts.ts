import type { Cluster, ClusterNode, Hardware, Workflow } from '../store/store.ts';
import type { NodeGroup } from './node-groups.ts';

/** Everything that the next steps of a cluster are decided from. */
export interface ClusterFacts {
  readonly cluster: Cluster;
  readonly groups: readonly WantedGroup[];
  readonly nodes: readonly NodeFacts[];
}

export interface WantedGroup {
  readonly group: NodeGroup;
  /** What its nodes are to be made from. */
  readonly revision: string;
  /** Free machines that may become its nodes, best first; one may be a spare of several groups. */
  readonly spares: readonly string[];
}

/** A node with what is known of its machine and of its newest workflow. */
export interface NodeFacts {
  readonly node: ClusterNode;
  readonly hardware: Hardware;
  /** Absent: there is none, or it was deleted. */
  readonly workflow?: Workflow;
}
