import type { ClusterDefinition } from '../../manifests/cluster-kind.ts';
import type { HardwareManifest } from '../../manifests/hardware-kind.ts';
import type { NodeGroup } from '../node-groups.ts';
import type { KeyPair } from './cluster-pki.ts';

/** `init` makes the control plane, once in a cluster's life; everything after it joins. */
export type BootstrapStep = 'init' | 'joinControlPlane' | 'joinWorker';

/** What a bootstrapper is told of one node. */
export interface NodeBootstrap {
  readonly definition: ClusterDefinition;
  readonly group: NodeGroup;
  readonly hardware: HardwareManifest;
  readonly step: BootstrapStep;
  /** As `makeSecrets` made them; JSON, kept encrypted by the store. */
  readonly secrets: ClusterSecrets;
  /** What this node joins with; for `init`: what the control plane accepts at its start. */
  readonly token: BootstrapToken;
  /** Base URL of the metadata service, `http://10.0.0.1:7172`. */
  readonly metadataUrl: string;
}

export interface NodeUserData {
  readonly text: string;
  /** Keys or tokens are in it: it is not served any more once the node is ready. */
  readonly holdsKeys: boolean;
  /** How a node with this user data says that it is up. */
  readonly readyBy: 'metadata' | 'phoneHome' | 'installed';
}

/** kubeadm's form, `[a-z0-9]{6}.[a-z0-9]{16}`, and its end. */
export interface BootstrapToken {
  readonly token: string;
  readonly expiresAt: Date;
}

/** PEM texts and tokens by name, of the bootstrapper's own choice. */
export type ClusterSecrets = Readonly<Record<string, string>>;

/** How the running cluster is spoken to, by what the server kept of it. */
export interface ClusterAccess {
  /** `https://10.0.0.10:6443` */
  readonly url: string;
  /** What the API server's certificate is from, PEM. */
  readonly serverAuthority: string;
  /** What the API server knows its clients by. */
  readonly clientAuthority: KeyPair;
  /** What etcd's members and clients are from; absent: members leave by themselves when their node is deleted. */
  readonly etcd?: KeyPair;
  /** Nodes join with tokens that Kubernetes is told of. */
  readonly joinsByToken: boolean;
}

/** How the system on a node becomes part of its cluster. One file each below `bootstrap/`. */
export interface Bootstrapper {
  readonly name: string;
  /** One sentence. */
  readonly summary: string;
  /** Once for a new cluster: CAs, keys, tokens. */
  makeSecrets(definition: ClusterDefinition, at: Date): Promise<ClusterSecrets>;
  /** The user data of one node; undefined: it needs none. */
  userData(node: NodeBootstrap): NodeUserData | undefined;
  /** The administrator's kubeconfig, its client certificate issued now; undefined: this bootstrapper has none to give. */
  kubeconfig(definition: ClusterDefinition, secrets: ClusterSecrets, at: Date): Promise<string | undefined>;
  /** Undefined: there is no Kubernetes to speak to. */
  access(definition: ClusterDefinition, secrets: ClusterSecrets): ClusterAccess | undefined;
}
