import type { ClusterDefinition } from '../manifests/cluster-kind.ts';
import type { HardwareManifest } from '../manifests/hardware-kind.ts';
import type { KnownMachine } from '../manifests/known-machines.ts';
import type { Cluster, ClusterNode, Hardware, Workflow } from '../store/store.ts';
import type { BootstrapStep, NodeUserData } from './bootstrap/bootstrapper.ts';
import type { ClusterOptions } from './cluster-options.ts';
import type { HostPort } from './cluster-plan.ts';
import type { PlaceOf } from './cluster-request.ts';
import type { NodeGroup } from './node-groups.ts';
import type { RenderSite } from './render-node.ts';

/** What is wanted, and everything that is known. */
export interface PlanInput {
  readonly definition: ClusterDefinition;
  readonly options: ClusterOptions;
  /** All machines by name, stored ones and those of the files. */
  readonly machines: ReadonlyMap<string, KnownMachine>;
  readonly workflows: readonly Workflow[];
  /** The cluster as it is now; absent: it is new. */
  readonly existing?: { readonly cluster: Cluster; readonly nodes: readonly ClusterNode[] };
  readonly placeOf: PlaceOf;
}

/** The host that the server runs on, and what was asked of the network. */
export interface PlanEnvironment {
  readonly site: RenderSite;
  readonly now: Date;
  /** Addresses of this host. */
  readonly hostAddresses: readonly string[];
  /** Addresses that DHCP gives to unknown machines. */
  readonly pool?: { readonly first: string; readonly last: string };
  readonly ports: readonly HostPort[];
  /** By address; undefined: nobody was asked. */
  readonly probes?: Pick<ReadonlyMap<string, AddressProbe>, 'get'>;
  readonly bootstrapper: { readonly name: string; readonly summary: string };
  /** Of a node, with secrets of no cluster. Throws `invalid_input` for what the bootstrapper cannot do. */
  readonly userDataOf: (node: NodeToBoot) => NodeUserData | undefined;
  /** An action's environment without what may be secret. */
  readonly redact: (image: string, environment: Readonly<Record<string, string>>) => Readonly<Record<string, string>>;
}

export interface NodeToBoot {
  readonly group: NodeGroup;
  readonly hardware: HardwareManifest;
  readonly step: BootstrapStep;
}

/** Who has an address. */
export interface AddressProbe {
  readonly isTaken: boolean;
  /** Of the neighbour table. */
  readonly mac?: string;
  /** `answers on port 80`. */
  readonly detail?: string;
}

/** A machine of the files is taken as one that was never seen; a stored one keeps what is known of it. */
export function hardwareOf({ manifest, stored }: KnownMachine, now: Date): Hardware {
  if (stored !== undefined) return { ...stored, ...manifest };
  return {
    ...manifest,
    version: 0,
    createdAt: now,
    stage: 'discovered',
    stageAt: now,
    netboot: true,
    hasUserData: manifest.spec.userData !== undefined,
  };
}
