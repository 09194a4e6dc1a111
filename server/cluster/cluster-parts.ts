import type { Logger } from 'pino';
import type { ClusterDefinition } from '../manifests/cluster-kind.ts';
import type { NodeWorkflow } from '../store/cluster-contract.ts';
import type { Cluster, Hardware, Store } from '../store/store.ts';
import type { Transitions } from '../store/transitions-contract.ts';
import type { Bootstrapper, ClusterSecrets } from './bootstrap/bootstrapper.ts';
import type { KubernetesNodes } from './kubernetes-nodes.ts';
import type { NodeGroup } from './node-groups.ts';

/** What the controller and the verbs of clusters work on. */
export interface ClusterParts {
  readonly store: Store;
  readonly transitions: Transitions;
  readonly clock: () => Date;
  readonly log: Logger;
  /** Base URL of the metadata service as machines reach it. */
  readonly metadataUrl: string;
  /** Machines of these that may become nodes of the group, best first. */
  readonly candidates: (group: NodeGroup, hardware: readonly Hardware[]) => readonly Hardware[];
  /** The installation of a node. Throws `invalid_template` with what is wrong. */
  readonly renderNode: (node: NodeToRender) => NodeWorkflow;
  readonly bootstrapperFor: (definition: ClusterDefinition) => Bootstrapper;
  /** Undefined: nothing is to be asked when nodes of this cluster come and go. */
  readonly kubernetesOf: (cluster: Cluster, secrets: ClusterSecrets) => KubernetesNodes | undefined;
}

export interface NodeToRender {
  readonly definition: ClusterDefinition;
  readonly group: NodeGroup;
  readonly hardware: Hardware;
  /** Name of the workflow. */
  readonly workflow: string;
}
