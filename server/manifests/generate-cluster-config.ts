import { TinsmithError } from '#proto/errors.ts';
import { clusterDefinitions } from './cluster-definitions.ts';
import { faultOfClusterName } from './cluster-reader.ts';
import { shown } from './findings.ts';
import { loadManifests } from './load-manifests.ts';

/** What a new cluster file is to say, as text; the rest are EKS Anywhere's defaults. */
export interface ClusterConfigRequest {
  readonly name: string;
  /** Default: `ubuntu`. */
  readonly osFamily?: string;
  /** `1.30`; default: the newest that EKS Anywhere supports. */
  readonly kubernetesVersion?: string;
  /** Default: 1. */
  readonly controlPlaneCount?: string;
  /** `0`: no worker group, the control plane does the work. Default: 1. */
  readonly workerCount?: string;
  readonly endpoint: string;
  readonly tinkerbellIP: string;
  /** Absent: an image of the server's library that is named after family and version. */
  readonly image?: string;
  /** One line of a public key file. */
  readonly sshKey?: string;
}

const NEWEST_VERSION = '1.36';

/** A cluster file to begin with. Throws `invalid_input` where the result would not be valid, with what is wrong. */
export function generateClusterConfig(request: ClusterConfigRequest): string {
  // It stands in many places of the file: said once.
  const fault = faultOfClusterName(request.name);
  if (fault !== undefined) {
    const sentence = `cannot make a cluster file: the name ${shown(request.name)} ${fault}`;
    throw new TinsmithError('invalid_input', sentence);
  }
  const text = clusterFile(request);
  const loaded = loadManifests([{ name: 'cluster.yaml', text }]);
  const { problems } = clusterDefinitions(loaded, { templates: [] });
  const all = [...loaded.problems, ...problems];
  if (all.length === 0) return text;
  const facts = all.map(({ message }) => message).join('; ');
  throw new TinsmithError('invalid_input', `cannot make a cluster file from these options: ${facts}`);
}

function clusterFile(request: ClusterConfigRequest): string {
  const { name, workerCount = '1', kubernetesVersion = NEWEST_VERSION, osFamily = 'ubuntu' } = request;
  const hasWorkers = workerCount !== '0';
  const image = request.image ?? `library:${osFamily}-${kubernetesVersion.replace('.', '-')}`;
  const workers = `  workerNodeGroupConfigurations:
    - name: md-0
      count: ${written(workerCount)}
      machineGroupRef:
        kind: TinkerbellMachineConfig
        name: ${JSON.stringify(name)}
`;
  const cluster = `apiVersion: anywhere.eks.amazonaws.com/v1alpha1
kind: Cluster
metadata:
  name: ${JSON.stringify(name)}
spec:
  kubernetesVersion: ${JSON.stringify(kubernetesVersion)}
  clusterNetwork:
    cniConfig:
      cilium: {}
    # Neither network may hold an address of a machine.
    pods:
      cidrBlocks:
        - ${podNetwork(request)}
    services:
      cidrBlocks:
        - 10.96.0.0/12
  controlPlaneConfiguration:
    count: ${written(request.controlPlaneCount ?? '1')}
    endpoint:
      # A free address of the machines' network, outside of any DHCP range; kube-vip holds it.
      host: ${JSON.stringify(request.endpoint)}
    machineGroupRef:
      kind: TinkerbellMachineConfig
      name: ${JSON.stringify(`${name}-cp`)}
${hasWorkers ? workers : ''}  managementCluster:
    name: ${JSON.stringify(name)}
  datacenterRef:
    kind: TinkerbellDatacenterConfig
    name: ${JSON.stringify(name)}
`;
  const datacenter = `apiVersion: anywhere.eks.amazonaws.com/v1alpha1
kind: TinkerbellDatacenterConfig
metadata:
  name: ${JSON.stringify(name)}
spec:
  # The address of this server that the machines reach.
  tinkerbellIP: ${JSON.stringify(request.tinkerbellIP)}
  # A URL, or an image of the server's library: tinsmith image add NAME SOURCE
  osImageURL: ${JSON.stringify(image)}
`;
  const configs = [
    machineConfig(request, `${name}-cp`, 'cp'),
    ...(hasWorkers ? [machineConfig(request, name, 'worker')] : []),
  ];
  return [cluster, datacenter, ...configs].join('---\n');
}

function machineConfig({ osFamily = 'ubuntu', sshKey }: ClusterConfigRequest, name: string, type: string): string {
  const user = osFamily === 'bottlerocket' ? 'ec2-user' : 'tinsmith';
  const users =
    sshKey === undefined
      ? `  # Nobody can log in yet: add a public key.
  users:
    - name: ${user}
      sshAuthorizedKeys: []
`
      : `  users:
    - name: ${user}
      sshAuthorizedKeys:
        - ${JSON.stringify(sshKey.trim())}
`;
  return `apiVersion: anywhere.eks.amazonaws.com/v1alpha1
kind: TinkerbellMachineConfig
metadata:
  name: ${JSON.stringify(name)}
spec:
  # A label of the machines, from the labels column of the hardware CSV.
  hardwareSelector:
    type: ${type}
  osFamily: ${JSON.stringify(osFamily)}
${users}`;
}

/** EKS Anywhere's default lies over the most common networks of machines: then another one is proposed. */
function podNetwork({ endpoint, tinkerbellIP }: ClusterConfigRequest): string {
  return [endpoint, tinkerbellIP].some((address) => address.startsWith('192.168.'))
    ? '172.20.0.0/16'
    : '192.168.0.0/16';
}

/** A number is written as one; anything else in quotes, so that the reader says what is wrong with it. */
function written(count: string): string {
  return /^\d{1,9}$/.test(count) ? String(Number(count)) : JSON.stringify(count);
}
