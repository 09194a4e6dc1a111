import { TinsmithError } from '#proto/errors.ts';
import { type ClusterDefinition, CONTROL_PLANE, type RolloutStrategy, type Taint } from '../manifests/cluster-kind.ts';
import type { JsonObject } from '../manifests/hardware-kind.ts';
import type { MachineConfigManifest } from '../manifests/machine-config-kind.ts';

export { CONTROL_PLANE } from '../manifests/cluster-kind.ts';

export type NodeRole = 'controlPlane' | 'worker';

/** Nodes of one cluster that are alike: its control plane, or one of its worker groups. */
export interface NodeGroup {
  readonly name: string;
  readonly role: NodeRole;
  readonly count: number;
  readonly machineConfig: MachineConfigManifest;
  /** `1.30`. */
  readonly kubernetesVersion: string;
  readonly rollout: RolloutStrategy;
  readonly labels: Readonly<Record<string, string>>;
  /** Absent: those that the bootstrapper gives by itself. */
  readonly taints?: readonly Taint[];
  readonly kubeletConfiguration?: JsonObject;
}

/** The groups of a cluster, the control plane first. */
export function nodeGroups({ cluster, machineConfigs }: ClusterDefinition): readonly NodeGroup[] {
  const configOf = (name: string): MachineConfigManifest => {
    const config = machineConfigs[name];
    if (config !== undefined) return config;
    throw new TinsmithError(
      'internal',
      `the definition of Cluster ${cluster.name} lacks TinkerbellMachineConfig ${name}`,
    );
  };
  const { controlPlane } = cluster;
  const first: NodeGroup = {
    ...controlPlane,
    name: CONTROL_PLANE,
    role: 'controlPlane',
    kubernetesVersion: cluster.kubernetesVersion,
    machineConfig: configOf(controlPlane.machineConfig),
  };
  const workers = cluster.workerGroups.map((group): NodeGroup => {
    const { kubernetesVersion = cluster.kubernetesVersion, machineConfig } = group;
    return { ...group, role: 'worker', kubernetesVersion, machineConfig: configOf(machineConfig) };
  });
  return [first, ...workers];
}
