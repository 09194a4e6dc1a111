import type { Problem } from '#proto/errors.ts';
import type { RolloutStrategy } from '../manifests/cluster-kind.ts';
import type { OsFamily } from '../manifests/machine-config-kind.ts';
import type { BootstrapStep } from './bootstrap/bootstrapper.ts';
import type { ClusterOptions } from './cluster-options.ts';
import type { NodeRole } from './node-groups.ts';

/** What will be done for a cluster, told before anything is touched. JSON; holds no secret. */
export interface ClusterPlan {
  readonly cluster: string;
  /** `change`: it exists already. */
  readonly kind: 'create' | 'change';
  readonly kubernetesVersion: string;
  readonly bootstrapper: { readonly name: string; readonly summary: string };
  readonly options: ClusterOptions;
  readonly groups: readonly PlannedGroup[];
  /** Those that are installed first, in their order, then those that stay, then those that leave. */
  readonly nodes: readonly PlannedNode[];
  /** Everything in order, as sentences; what stops it comes last. */
  readonly steps: readonly string[];
  readonly spares: readonly PlannedSpares[];
  /** Machines that no group takes. */
  readonly unfit: readonly UnfitMachine[];
  readonly disks: readonly ErasedDisk[];
  /** What is installed, for each machine that is. */
  readonly workflows: readonly NodeActions[];
  readonly addresses: readonly PlannedAddress[];
  /** Taken by this server on its host. */
  readonly ports: readonly HostPort[];
  /** Where the nodes ask for metadata and user data. */
  readonly metadataUrls: readonly string[];
  /** Not empty: nothing can be done. */
  readonly problems: readonly Problem[];
  readonly warnings: readonly Problem[];
}

export interface PlannedGroup {
  readonly name: string;
  readonly role: NodeRole;
  readonly count: number;
  /** `type=cp`: what its machines need. */
  readonly needs: string;
  readonly machineConfig: string;
  readonly osFamily: OsFamily;
  readonly kubernetesVersion: string;
  /** Of the machine config; absent: the default of the OS family. */
  readonly templateRef?: string;
  readonly rollout: RolloutStrategy;
  readonly users: readonly PlannedUser[];
}

export interface PlannedUser {
  readonly name: string;
  readonly keys: readonly { readonly type: string; readonly fingerprint: string; readonly comment?: string }[];
}

/** `added`: it becomes a node; `renewed`: it is made anew on its own machine; `removed`: it leaves. */
export type NodeFate = 'added' | 'renewed' | 'kept' | 'removed';

export interface PlannedNode {
  readonly machine: string;
  readonly group: string;
  readonly role: NodeRole;
  readonly fate: NodeFate;
  /** Why this machine, or why it leaves. */
  readonly reason: string;
  /** Place among the installations, from 1. */
  readonly order?: number;
  readonly step?: BootstrapStep;
  readonly mac?: string;
  readonly address?: string;
}

export interface PlannedSpares {
  readonly needs: string;
  readonly groups: readonly string[];
  readonly machines: readonly string[];
}

export interface UnfitMachine {
  readonly machine: string;
  readonly labels: Readonly<Record<string, string>>;
  /** Why it is not taken: `no group wants its labels`, `is a node of cluster c2`. */
  readonly reason: string;
}

export interface ErasedDisk {
  readonly machine: string;
  readonly device: string;
  /** Actions that overwrite it. */
  readonly actions: readonly string[];
  /** As the machine's agent saw it; absent: no agent has reported such a disk. */
  readonly found?: {
    readonly device: string;
    readonly sizeBytes: number;
    readonly model?: string;
    readonly serial?: string;
    readonly transport?: string;
  };
  /** What stands on it, as far as it is known. */
  readonly contents: string;
}

export interface NodeActions {
  readonly machine: string;
  readonly workflow: string;
  readonly template: string;
  readonly timeoutMs?: number;
  readonly actions: readonly PlannedAction[];
  readonly userData: PlannedUserData;
}

export interface PlannedAction {
  readonly name: string;
  readonly image: string;
  readonly timeoutMs: number;
  /** Values that may be secret are replaced. */
  readonly environment: Readonly<Record<string, string>>;
  readonly command: readonly string[];
}

/** Never shown itself. */
export interface PlannedUserData {
  /** `cloud-config`, `Bottlerocket settings`, `none`. */
  readonly kind: string;
  /** About: keys and tokens are made when the cluster is. */
  readonly sizeBytes: number;
  readonly holdsKeys: boolean;
}

export interface PlannedAddress {
  readonly address: string;
  /** `control plane endpoint`, `tinkerbellIP`, `node m1`. */
  readonly what: string;
  readonly state: AddressState;
  /** How that is known: `answers on port 80`, `has the MAC …`. */
  readonly detail?: string;
}

/** `own`: who answers is the machine that it belongs to, or this host. */
export type AddressState = 'free' | 'taken' | 'own' | 'notChecked';

export interface HostPort {
  readonly port: number;
  readonly protocol: 'tcp' | 'udp';
  readonly what: string;
}
