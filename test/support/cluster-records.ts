/** Clusters that tests of the store and of the controller start from. */
import { type ClusterOptions, DEFAULT_CLUSTER_OPTIONS } from '#server/cluster/cluster-options.ts';
import { CLUSTER_LABEL, PURPOSE_LABEL, type WorkflowPurpose } from '#server/life/workflow-purpose.ts';
import type { ClusterDefinition, RolloutStrategy } from '#server/manifests/cluster-kind.ts';
import type { MachineConfigManifest } from '#server/manifests/machine-config-kind.ts';
import type { NewCluster, NodeClaim, NodeStart, NodeWorkflow } from '#server/store/cluster-contract.ts';
import { plannedWorkflow } from './records.ts';

interface DefinitionOptions {
  readonly name?: string;
  readonly controlPlane?: number;
  /** Worker groups and their counts. */
  readonly workers?: Readonly<Record<string, number>>;
  readonly version?: string;
  readonly rollout?: RolloutStrategy;
  /** Labels that choose the machines of every group. */
  readonly selector?: Readonly<Record<string, string>>;
  readonly bootstrapper?: string;
}

const ROLLING: RolloutStrategy = { type: 'RollingUpdate', maxSurge: 1, maxUnavailable: 0 };

/** A cluster whose control plane takes machines of `type=cp` and whose workers take those of `type=dp`. */
export function clusterDefinition(options: DefinitionOptions = {}): ClusterDefinition {
  const { name = 'c1', controlPlane = 1, workers = { 'md-0': 1 }, version = '1.30', rollout = ROLLING } = options;
  return {
    cluster: {
      name,
      bootstrapper: options.bootstrapper ?? 'none',
      kubernetesVersion: version,
      podCidr: '192.168.0.0/16',
      serviceCidr: '10.96.0.0/12',
      nodeCidrMaskSize: 24,
      controlPlane: {
        count: controlPlane,
        endpointHost: '10.9.0.200',
        machineConfig: 'cp',
        rollout,
        labels: {},
        certSans: [],
        skipLoadBalancerDeployment: false,
        apiServerExtraArgs: {},
      },
      workerGroups: Object.entries(workers).map(([group, count]) => ({
        name: group,
        count,
        machineConfig: 'dp',
        rollout,
        labels: {},
        taints: [],
      })),
      datacenter: 'site',
    },
    datacenter: { name: 'site', tinkerbellIP: '10.9.0.254', osImageURL: 'http://10.9.0.254:7171/images/os.img.gz' },
    machineConfigs: {
      cp: machineConfig('cp', options.selector ?? { type: 'cp' }),
      dp: machineConfig('dp', options.selector ?? { type: 'dp' }),
    },
    templates: {},
  };
}

function machineConfig(name: string, hardwareSelector: Readonly<Record<string, string>>): MachineConfigManifest {
  return {
    name,
    hardwareSelector,
    osFamily: 'ubuntu',
    users: [{ name: 'ec2-user', sshAuthorizedKeys: ['ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFakeKeyOfATest test'] }],
    ntpServers: [],
    certBundles: [],
  };
}

export function newCluster(definition = clusterDefinition(), options: Partial<ClusterOptions> = {}): NewCluster {
  return { definition, options: { ...DEFAULT_CLUSTER_OPTIONS, ...options }, secrets: { 'ca.key': 'the-secret-key' } };
}

export function nodeClaim(hardware: string, change: Partial<NodeClaim> = {}): NodeClaim {
  return { cluster: 'c1', hardware, group: 'md-0', role: 'worker', revision: 'r1', ...change };
}

export function nodeStart(hardware: string, workflow: string, change: Partial<NodeStart> = {}): NodeStart {
  return {
    ...nodeWorkflow(hardware, workflow, 'install', change.cluster ?? 'c1'),
    hardware,
    cluster: 'c1',
    revision: 'r1',
    initialises: false,
    userData: `#cloud-config of ${hardware}`,
    readyBy: 'phoneHome',
    userDataPolicy: 'untilReady',
    ...change,
  };
}

export function nodeWorkflow(hardware: string, name: string, purpose: WorkflowPurpose, cluster = 'c1'): NodeWorkflow {
  const labels = { [CLUSTER_LABEL]: cluster, [PURPOSE_LABEL]: purpose };
  const planned = plannedWorkflow(name, [hardware], { images: ['image2disk'] });
  const template = `${cluster}-${purpose}`;
  const manifest = { ...planned.manifest, labels, spec: { ...planned.manifest.spec, templateRef: template } };
  return {
    template: { name: template, labels, annotations: {}, data: 'tasks: []', source: 'Template' },
    workflow: { ...planned, manifest },
  };
}
