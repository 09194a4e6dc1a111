import type { JsonObject } from './hardware-kind.ts';
import type { MachineConfigManifest } from './machine-config-kind.ts';
import type { TemplateManifest } from './template-kind.ts';

/** Name of the control plane's group, in records and on the command line; no worker group may have it. */
export const CONTROL_PLANE = 'control-plane';

/**
 * Cluster and TinkerbellDatacenterConfig, `anywhere.eks.amazonaws.com/v1alpha1`, read, checked and with EKS Anywhere's defaults
 * applied. What is out of a provisioner's scope (GitOps, identity providers, packages) is checked for shape and not kept.
 */
export interface ClusterManifest {
  readonly name: string;
  readonly namespace?: string;
  /** Who writes the nodes' bootstrap data: annotation `tinsmith.dev/bootstrapper`; absent: kubeadm. */
  readonly bootstrapper?: string;
  /** What makes Bottlerocket a control-plane node: annotation `tinsmith.dev/bottlerocket-bootstrap-image`; EKS Anywhere's bundles name it. */
  readonly bottlerocketBootstrapImage?: string;
  /** `1.30`. */
  readonly kubernetesVersion: string;
  readonly podCidr: string;
  readonly serviceCidr: string;
  /** Length of a node's part of `podCidr`. */
  readonly nodeCidrMaskSize: number;
  readonly controlPlane: ControlPlaneConfiguration;
  /** Empty: a single-purpose cluster, whose control plane also does the work. */
  readonly workerGroups: readonly WorkerGroupConfiguration[];
  /** Name of a TinkerbellDatacenterConfig. */
  readonly datacenter: string;
  /** Name of another cluster that manages this one; absent: it manages itself. */
  readonly managementCluster?: string;
  readonly proxy?: { readonly http: string; readonly https: string; readonly except: readonly string[] };
  readonly registryMirror?: RegistryMirror;
}

export interface ControlPlaneConfiguration {
  /** Odd. */
  readonly count: number;
  /** Address of the API server, held by kube-vip. */
  readonly endpointHost: string;
  /** Name of a TinkerbellMachineConfig. */
  readonly machineConfig: string;
  readonly rollout: RolloutStrategy;
  readonly labels: Readonly<Record<string, string>>;
  /** Absent: kubeadm's own. */
  readonly taints?: readonly Taint[];
  readonly certSans: readonly string[];
  /** The operator brings the endpoint's address; no kube-vip. */
  readonly skipLoadBalancerDeployment: boolean;
  readonly apiServerExtraArgs: Readonly<Record<string, string>>;
  readonly kubeletConfiguration?: JsonObject;
  readonly auditPolicyContent?: string;
  readonly healthCheck?: HealthCheck;
}

export interface WorkerGroupConfiguration {
  readonly name: string;
  readonly count: number;
  readonly machineConfig: string;
  readonly rollout: RolloutStrategy;
  readonly labels: Readonly<Record<string, string>>;
  readonly taints: readonly Taint[];
  /** Absent: the cluster's. */
  readonly kubernetesVersion?: string;
  readonly kubeletConfiguration?: JsonObject;
  readonly healthCheck?: HealthCheck;
}

export interface RolloutStrategy {
  readonly type: 'RollingUpdate' | 'InPlace';
  /** Nodes above `count` while a group is replaced; of RollingUpdate. */
  readonly maxSurge: number;
  /** Nodes below `count` while a group is replaced; of RollingUpdate. */
  readonly maxUnavailable: number;
}

/** The group's own values, then the cluster's, then EKS Anywhere's defaults for bare metal. */
export interface HealthCheck {
  /** How long a node may take to come up before it counts as failed. */
  readonly nodeStartupTimeoutMs: number;
  readonly unhealthyMachineTimeoutMs: number;
  /** A count, or a percentage like `40%`: when more are unhealthy, none is replaced. */
  readonly maxUnhealthy: string;
}

export interface Taint {
  readonly key: string;
  readonly value?: string;
  readonly effect: 'NoSchedule' | 'PreferNoSchedule' | 'NoExecute';
}

export interface RegistryMirror {
  readonly endpoint: string;
  readonly port: string;
  readonly ociNamespaces: readonly { readonly registry: string; readonly namespace: string }[];
  readonly caCertContent?: string;
  readonly insecureSkipVerify: boolean;
}

export interface DatacenterManifest {
  readonly name: string;
  readonly namespace?: string;
  /** Where the nodes reach the provisioner; here an address of the admin host. */
  readonly tinkerbellIP: string;
  readonly osImageURL?: string;
  readonly hookImagesURLPath?: string;
}

/** A cluster with everything that it refers to: one value that says what is wanted. */
export interface ClusterDefinition {
  readonly cluster: ClusterManifest;
  readonly datacenter: DatacenterManifest;
  /** By name; those of its groups. */
  readonly machineConfigs: Readonly<Record<string, MachineConfigManifest>>;
  /** By name; the TinkerbellTemplateConfigs that its machine configs refer to. */
  readonly templates: Readonly<Record<string, TemplateManifest>>;
}
