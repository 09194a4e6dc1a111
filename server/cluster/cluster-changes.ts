import { isDeepStrictEqual } from 'node:util';
import type { ClusterDefinition } from '../manifests/cluster-kind.ts';
import type { GroupNeed } from '../manifests/hardware-shortfalls.ts';
import { minorOf } from '../manifests/kubernetes-version.ts';
import { type NodeGroup, nodeGroups } from './node-groups.ts';
import { nodeRevision } from './node-revision.ts';

/** What a change of a cluster may not do. The path leads to the value in its manifest. */
export interface ChangeFault {
  readonly kind: 'Cluster' | 'TinkerbellDatacenterConfig' | 'TinkerbellMachineConfig';
  /** Name of the manifest. */
  readonly name: string;
  readonly path: string;
  readonly message: string;
}

/** What a change does to one group that is there before or after it. */
export interface GroupChange {
  readonly group: NodeGroup;
  readonly countBefore: number;
  readonly countAfter: number;
  /** Its nodes have to be made anew. */
  readonly isRolled: boolean;
}

/** Why a cluster cannot become what the new definition says; empty: it can. All reasons at once. */
export function faultsOfChange(before: ClusterDefinition, after: ClusterDefinition): readonly ChangeFault[] {
  return [
    ...faultsOfCluster(before, after),
    ...faultsOfDatacenter(before, after),
    ...faultsOfGroups(before, after),
    ...faultsOfVersions(before, after),
    ...faultsOfScaling(before, after),
  ];
}

/** Every group of both definitions, the control plane first. */
export function groupChanges(before: ClusterDefinition, after: ClusterDefinition): readonly GroupChange[] {
  const old = new Map(nodeGroups(before).map((group) => [group.name, group]));
  const now = nodeGroups(after);
  const kept = now.map((group): GroupChange => {
    const was = old.get(group.name);
    old.delete(group.name);
    const isRolled = was !== undefined && nodeRevision(before, was) !== nodeRevision(after, group);
    return { group, countBefore: was?.count ?? 0, countAfter: group.count, isRolled };
  });
  const removed = [...old.values()].map((group): GroupChange => {
    return { group, countBefore: group.count, countAfter: 0, isRolled: false };
  });
  return [...kept, ...removed];
}

/**
 * Free machines that a change needs: the difference of a group that grows, the surge of one that is rolled out. A rollout in
 * place needs none, and neither does one that takes a node out first.
 */
export function needsOfChange(before: ClusterDefinition, after: ClusterDefinition): readonly GroupNeed[] {
  return groupChanges(before, after).flatMap(({ group, isRolled, countBefore, countAfter }) => {
    const { name, machineConfig, rollout } = group;
    const surge = isRolled && rollout.type === 'RollingUpdate' ? rollout.maxSurge : 0;
    const count = Math.max(0, countAfter - countBefore) + surge;
    return count > 0 ? [{ name, count, machineConfig }] : [];
  });
}

/** Where a group stands in its Cluster: the control plane comes first. */
function pathOf(index: number): string {
  return index === 0 ? 'spec.controlPlaneConfiguration' : `spec.workerNodeGroupConfigurations[${index - 1}]`;
}

/** Values of a cluster that are built into every node or certificate. */
const FIXED_OF_CLUSTER = [
  ['spec.clusterNetwork.pods', 'the network of the pods', ({ cluster }) => cluster.podCidr],
  ['spec.clusterNetwork.services', 'the network of the services', ({ cluster }) => cluster.serviceCidr],
  ['spec.clusterNetwork.nodes.cidrMaskSize', 'the size of a node’s network', ({ cluster }) => cluster.nodeCidrMaskSize],
  ['spec.controlPlaneConfiguration.endpoint.host', 'the endpoint', ({ cluster }) => cluster.controlPlane.endpointHost],
  ['spec.datacenterRef.name', 'the datacenterRef', ({ cluster }) => cluster.datacenter],
  ['spec.managementCluster.name', 'the management cluster', ({ cluster }) => cluster.managementCluster ?? cluster.name],
  ['metadata.annotations', 'the bootstrapper', ({ cluster }) => cluster.bootstrapper ?? 'kubeadm'],
] as const satisfies readonly (readonly [
  path: string,
  what: string,
  read: (definition: ClusterDefinition) => string | number,
])[];

function faultsOfCluster(before: ClusterDefinition, after: ClusterDefinition): ChangeFault[] {
  const { name } = after.cluster;
  const faults = FIXED_OF_CLUSTER.flatMap(([path, what, read]): ChangeFault[] => {
    const was = read(before);
    const is = read(after);
    return was === is ? [] : [{ kind: 'Cluster', name, path, message: fixed(what, String(was), String(is)) }];
  });
  // A proxy's address may hold a password: it is not shown.
  if (!isDeepStrictEqual(plain(before.cluster.proxy), plain(after.cluster.proxy))) {
    const message = 'the proxy cannot be changed: write it as it was';
    faults.push({ kind: 'Cluster', name, path: 'spec.proxyConfiguration', message });
  }
  return faults;
}

/** Without the fields that are `undefined`, which a stored definition has lost. */
function plain(value: object | undefined): unknown {
  return value === undefined ? undefined : JSON.parse(JSON.stringify(value));
}

function fixed(what: string, was: string, is: string): string {
  return `${what} cannot be changed from ${was} to ${is}: write ${was}, or make a new cluster`;
}

function faultsOfDatacenter(before: ClusterDefinition, after: ClusterDefinition): ChangeFault[] {
  const { name, tinkerbellIP, hookImagesURLPath = '' } = after.datacenter;
  const was = before.datacenter;
  const faults: ChangeFault[] = [];
  const note = (path: string, message: string) =>
    faults.push({ kind: 'TinkerbellDatacenterConfig', name, path, message });
  if (tinkerbellIP !== was.tinkerbellIP) {
    note('spec.tinkerbellIP', fixed('the tinkerbellIP', was.tinkerbellIP, tinkerbellIP));
  }
  const isUpgrade = before.cluster.kubernetesVersion !== after.cluster.kubernetesVersion;
  if (hookImagesURLPath !== (was.hookImagesURLPath ?? '') && !isUpgrade) {
    const message =
      'the hookImagesURLPath can only be changed together with the Kubernetes version: write it as it was';
    note('spec.hookImagesURLPath', message);
  }
  return faults;
}

function faultsOfGroups(before: ClusterDefinition, after: ClusterDefinition): ChangeFault[] {
  const old = new Map(nodeGroups(before).map((group) => [group.name, group]));
  return nodeGroups(after).flatMap((group, index) => {
    const was = old.get(group.name);
    return was === undefined ? [] : faultsOfGroup(was, group, { cluster: after.cluster.name, path: pathOf(index) });
  });
}

interface GroupPlace {
  readonly cluster: string;
  readonly path: string;
}

function faultsOfGroup(was: NodeGroup, is: NodeGroup, { cluster, path }: GroupPlace): ChangeFault[] {
  const faults = faultsOfMachineConfig(was, is);
  const ofCluster = (field: string, message: string) =>
    faults.push({ kind: 'Cluster', name: cluster, path: `${path}.${field}`, message });
  const [before, after] = [was.machineConfig.name, is.machineConfig.name];
  if (before !== after) ofCluster('machineGroupRef.name', fixed(`the machineGroupRef of ${is.name}`, before, after));
  if (was.kubernetesVersion === is.kubernetesVersion) return faults;
  for (const field of ['labels', 'taints'] as const) {
    if (isDeepStrictEqual(plain(was[field] ?? []), plain(is[field] ?? []))) continue;
    const fact = `the ${field} of ${is.name} change together with its Kubernetes version`;
    ofCluster(field, `${fact}: change one after the other`);
  }
  return faults;
}

function faultsOfMachineConfig(was: NodeGroup, is: NodeGroup): ChangeFault[] {
  const faults: ChangeFault[] = [];
  const { name } = is.machineConfig;
  const note = (path: string, message: string) => faults.push({ kind: 'TinkerbellMachineConfig', name, path, message });
  const [before, after] = [was, is].map(({ machineConfig }) => {
    const [user] = machineConfig.users;
    return {
      family: machineConfig.osFamily ?? 'bottlerocket',
      user: user?.name ?? 'none',
      key: user?.sshAuthorizedKeys[0],
    };
  });
  if (before === undefined || after === undefined) return faults;
  if (before.family !== after.family) {
    note('spec.osFamily', fixed(`the osFamily of ${name}`, before.family, after.family));
  }
  if (before.user !== after.user) {
    note('spec.users[0].name', fixed(`the first user of ${name}`, before.user, after.user));
  } else if (before.key !== after.key) {
    const message = `the first key of ${name}'s first user cannot be changed: add the new key behind it`;
    note('spec.users[0].name', message);
  }
  return faults;
}

/** kubeadm goes from one minor version to the next; kubelets follow their control plane and never go back. */
function faultsOfVersions(before: ClusterDefinition, after: ClusterDefinition): ChangeFault[] {
  const old = new Map(nodeGroups(before).map((group) => [group.name, group.kubernetesVersion]));
  return nodeGroups(after).flatMap(({ name, role, kubernetesVersion }, index): ChangeFault[] => {
    const was = old.get(name);
    const step = was === undefined ? 0 : minorOf(kubernetesVersion) - minorOf(was);
    if (was === undefined || (step >= 0 && (step <= 1 || role === 'worker'))) return [];
    const fix = step < 0 ? 'a version cannot be lowered' : `go to 1.${minorOf(was) + 1} first, one version at a time`;
    const path = role === 'controlPlane' ? 'spec.kubernetesVersion' : `${pathOf(index)}.kubernetesVersion`;
    const change = `the Kubernetes version of ${name} goes from ${was} to ${kubernetesVersion}`;
    return [{ kind: 'Cluster', name: after.cluster.name, path, message: `${change}: ${fix}` }];
  });
}

function faultsOfScaling(before: ClusterDefinition, after: ClusterDefinition): ChangeFault[] {
  const changes = groupChanges(before, after);
  const rolled = changes.find(({ isRolled }) => isRolled);
  if (rolled === undefined) return [];
  const groups = nodeGroups(after);
  return changes.flatMap(({ group: { name }, countBefore, countAfter }): ChangeFault[] => {
    if (countBefore === countAfter) return [];
    const index = groups.findIndex((group) => group.name === name);
    const what = index < 0 ? `${name} is removed` : `${name} goes from ${countBefore} to ${countAfter} nodes`;
    const message = `${what} while ${rolled.group.name} is rolled out: scale before or after the upgrade`;
    const path = index < 0 ? 'spec.workerNodeGroupConfigurations' : `${pathOf(index)}.count`;
    return [{ kind: 'Cluster', name: after.cluster.name, path, message }];
  });
}
