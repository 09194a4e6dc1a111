import type { BootstrapStep, ClusterSecrets, NodeBootstrap } from '#server/cluster/bootstrap/bootstrapper.ts';
import { nodeGroups } from '#server/cluster/node-groups.ts';
import type {
  ClusterDefinition,
  ClusterManifest,
  ControlPlaneConfiguration,
  WorkerGroupConfiguration,
} from '#server/manifests/cluster-kind.ts';
import type { MachineConfigManifest } from '#server/manifests/machine-config-kind.ts';

/** What a test wants to be different from a plain cluster of one control-plane node and one group of workers. */
export interface ExampleChanges {
  readonly cluster?: Partial<ClusterManifest>;
  readonly controlPlane?: Partial<ControlPlaneConfiguration>;
  readonly workers?: Partial<WorkerGroupConfiguration>;
  readonly machineConfig?: Partial<MachineConfigManifest>;
}

const ROLLOUT = { type: 'RollingUpdate', maxSurge: 1, maxUnavailable: 0 } as const;

export const EXAMPLE_TOKEN = {
  token: 'abcdef.0123456789abcdef',
  expiresAt: new Date('2026-11-27T12:00:00.500Z'),
};

/** Cluster `mgmt` of Kubernetes 1.31 on Ubuntu, its endpoint 10.0.0.10, its metadata service at 10.0.0.1. */
export function exampleDefinition(changes: ExampleChanges = {}): ClusterDefinition {
  const config: MachineConfigManifest = {
    name: 'nodes',
    hardwareSelector: { type: 'node' },
    osFamily: 'ubuntu',
    users: [{ name: 'ec2-user', sshAuthorizedKeys: ['ssh-ed25519 AAAAkey operator'] }],
    ntpServers: [],
    certBundles: [],
    ...changes.machineConfig,
  };
  const controlPlane: ControlPlaneConfiguration = {
    count: 1,
    endpointHost: '10.0.0.10',
    machineConfig: config.name,
    rollout: ROLLOUT,
    labels: {},
    certSans: [],
    skipLoadBalancerDeployment: false,
    apiServerExtraArgs: {},
    ...changes.controlPlane,
  };
  const workers: WorkerGroupConfiguration = {
    name: 'md-0',
    count: 1,
    machineConfig: config.name,
    rollout: ROLLOUT,
    labels: {},
    taints: [],
    ...changes.workers,
  };
  const cluster: ClusterManifest = {
    name: 'mgmt',
    kubernetesVersion: '1.31',
    podCidr: '192.168.0.0/16',
    serviceCidr: '10.96.0.0/12',
    nodeCidrMaskSize: 24,
    controlPlane,
    workerGroups: [workers],
    datacenter: 'mgmt',
    ...changes.cluster,
  };
  return {
    cluster,
    datacenter: { name: 'mgmt', tinkerbellIP: '10.0.0.1' },
    machineConfigs: { [config.name]: config },
    templates: {},
  };
}

/** A node of the example: `cp-1` of the control plane, or `worker-1`. */
export function exampleNode(step: BootstrapStep, secrets: ClusterSecrets, changes: ExampleChanges = {}): NodeBootstrap {
  const definition = exampleDefinition(changes);
  const role = step === 'joinWorker' ? 'worker' : 'controlPlane';
  const group = nodeGroups(definition).find((candidate) => candidate.role === role);
  if (group === undefined) throw new Error(`the example has no group for ${role}`);
  return {
    definition,
    group,
    hardware: {
      name: role === 'worker' ? 'worker-1' : 'cp-1',
      labels: {},
      annotations: {},
      spec: { interfaces: [], disks: [] },
    },
    step,
    secrets,
    token: EXAMPLE_TOKEN,
    metadataUrl: 'http://10.0.0.1:7172',
  };
}
