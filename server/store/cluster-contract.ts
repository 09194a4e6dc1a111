import type { BootstrapToken, ClusterSecrets } from '../cluster/bootstrap/bootstrapper.ts';
import type { ClusterOptions } from '../cluster/cluster-options.ts';
import type { ClusterDefinition } from '../manifests/cluster-kind.ts';
import type { TemplateManifest } from '../manifests/template-kind.ts';
import type { ReadyBy, UserDataPolicy } from './schema.ts';
import type { Cause, ClusterNode } from './store.ts';
import type { PlannedWorkflow } from './transitions-contract.ts';

/**
 * The verbs of clusters and their nodes, part of Transitions: each is one transaction that writes the change and its event, and
 * may be called twice with the same effect as once.
 */
export interface ClusterTransitions {
  /** Throws `conflict` if there is a cluster of that name. */
  createCluster(cluster: NewCluster, cause: Cause): Promise<void>;
  /** Another definition or other options. `version`: what the change was made from; another one is a `conflict`. */
  changeCluster(name: string, change: ClusterChange, cause: Cause): Promise<void>;
  settleCluster(name: string, cause: Cause): Promise<void>;
  blockCluster(name: string, reason: string, cause: Cause): Promise<void>;
  /** A blocked cluster goes on. `afresh`: failed nodes are tried again from their first try, and released machines may be chosen again. */
  resumeCluster(name: string, how: { readonly afresh: boolean }, cause: Cause): Promise<void>;
  /** An operator takes a node out of its cluster, which is then made whole again without it. */
  withdrawNode(withdrawal: { readonly hardware: string; readonly wipe: boolean }, cause: Cause): Promise<void>;
  /** From now on it gives up its nodes. */
  startClusterDelete(name: string, options: ClusterOptions, cause: Cause): Promise<void>;
  /** With its secrets and its templates. Throws `conflict` while it has nodes or is not being deleted. */
  deleteCluster(name: string, cause: Cause): Promise<void>;
  /** What nodes join with from now on; undefined: nobody joins any more. */
  putClusterToken(name: string, token: BootstrapToken | undefined): Promise<void>;

  /**
   * Takes a machine for a cluster: a compare-and-set, of two that try one succeeds. Throws `conflict` if it is a node already, is
   * retired, has an unfinished workflow, or the cluster is being deleted.
   */
  claimNode(claim: NodeClaim, cause: Cause): Promise<void>;
  /** Orders the installation of a node: its user data, its workflow and its state, all or none. Throws `conflict` while the machine is busy. */
  startNode(start: NodeStart, cause: Cause): Promise<void>;
  /** Its newest workflow succeeded; nothing if `workflow` is not its newest any more. */
  installNode(hardware: string, workflow: string, cause: Cause): Promise<void>;
  readyNode(hardware: string, cause: Cause): Promise<void>;
  /** Nothing if `workflow` is not its newest any more. */
  failNode(hardware: string, workflow: string, reason: string, cause: Cause): Promise<void>;
  /** An operator started the failed node's newest workflow again. Nothing if `workflow` is not that. */
  retryNode(hardware: string, workflow: string, cause: Cause): Promise<void>;
  /** What it waits for, where its state does not tell; undefined: nothing. */
  noteNode(hardware: string, note: string | undefined, cause: Cause): Promise<void>;
  /** It leaves its cluster: what was still to run on it is cancelled, its user data is dropped, and the wipe is ordered. */
  startRelease(release: NodeRelease, cause: Cause): Promise<void>;
  /** It is no node any more. Nothing if it is none; throws `conflict` unless it is releasing. */
  releaseNode(hardware: string, cause: Cause): Promise<void>;
  /** The same for a machine that is in no cluster: user data dropped, wipe ordered. Throws `conflict` while it is busy or a node. */
  releaseHardware(release: Pick<NodeRelease, 'hardware' | 'wipe'>, cause: Cause): Promise<void>;
}

export interface NewCluster {
  readonly definition: ClusterDefinition;
  readonly options: ClusterOptions;
  readonly secrets: ClusterSecrets;
}

export interface ClusterChange {
  readonly definition: ClusterDefinition;
  readonly options: ClusterOptions;
  readonly version: number;
}

export interface NodeClaim extends Pick<ClusterNode, 'cluster' | 'hardware' | 'group' | 'role' | 'revision'> {}

/** A template and the workflow that was rendered from it. */
export interface NodeWorkflow {
  readonly template: TemplateManifest;
  readonly workflow: PlannedWorkflow;
}

export interface NodeStart extends NodeWorkflow {
  readonly hardware: string;
  readonly cluster: string;
  readonly revision: string;
  /** It makes the control plane; the others join it. */
  readonly initialises: boolean;
  readonly userData?: string;
  readonly readyBy: ReadyBy;
  readonly userDataPolicy: UserDataPolicy;
}

export interface NodeRelease {
  readonly hardware: string;
  /** Why, as part of a sentence: `the group md-0 has one node more than wanted`. */
  readonly reason: string;
  /** Undefined: its disks are left as they are. */
  readonly wipe?: NodeWorkflow;
}
