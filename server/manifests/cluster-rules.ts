import type { ClusterManifest, DatacenterManifest } from './cluster-kind.ts';
import type { Findings } from './findings.ts';
import { doubtOfBottlerocket } from './kubernetes-version.ts';
import { type Located, placeOf } from './located.ts';
import type { MachineConfigManifest } from './machine-config-kind.ts';
import { type ClusterOutline, type GroupOutline, UNREADABLE } from './manifest-outlines.ts';
import { doNetworksOverlap, faultOfIpv4 } from './network-address.ts';

/** The parts of one cluster, each found. */
export interface ClusterParts {
  readonly cluster: Located<ClusterOutline>;
  /** The same, where nothing in it is faulty. */
  readonly whole?: Located<ClusterManifest>;
  readonly datacenter: Located<DatacenterManifest>;
  /** Of each group, the control plane first. */
  readonly groups: readonly LocatedGroup[];
}

export interface LocatedGroup extends Omit<GroupOutline, 'machineConfig'> {
  readonly config: Located<MachineConfigManifest>;
}

/** The rules between the parts of a cluster; those inside of each part are its reader's. */
export function checkCluster(parts: ClusterParts, findings: Findings): void {
  checkNamespaces(parts, findings);
  checkFamilies(parts, findings);
  for (const group of parts.groups) checkImage(group, parts, findings);
  checkAddresses(parts, findings);
  checkProxy(parts, findings);
}

function checkNamespaces({ cluster, datacenter, groups }: ClusterParts, findings: Findings): void {
  const expected = namespaceOf(datacenter.value);
  const owner = `TinkerbellDatacenterConfig ${datacenter.value.name} in ${expected}`;
  const others = [
    { kind: 'Cluster', located: cluster },
    ...groups.map(({ config }) => ({ kind: 'TinkerbellMachineConfig', located: config })),
  ];
  for (const { kind, located } of others) {
    const namespace = namespaceOf(located.value);
    if (namespace === expected) continue;
    const fact = `${kind} ${located.value.name} is in the namespace ${namespace} and ${owner}`;
    findings.refuse(placeOf(located, 'metadata.namespace'), `${fact}: all parts of a cluster share one`, namespace);
  }
}

function namespaceOf({ namespace = 'default' }: { readonly namespace?: string }): string {
  return namespace;
}

function checkFamilies({ groups, cluster }: ClusterParts, findings: Findings): void {
  const [controlPlane] = groups;
  if (controlPlane?.path !== 'spec.controlPlaneConfiguration') return; // it could not be read
  const expected = familyOf(controlPlane.config.value);
  for (const { config, rollout, path, kubernetesVersion } of groups) {
    const family = familyOf(config.value);
    const at = placeOf(config, 'spec.osFamily');
    if (family !== expected) {
      const fact = `the osFamily of TinkerbellMachineConfig ${config.value.name} is ${family}`;
      findings.refuse(at, `${fact} and the control plane's is ${expected}: all groups need the same`, family);
    }
    if (family !== 'bottlerocket') continue;
    if (rollout === 'InPlace') {
      const fix = 'write RollingUpdate, a Bottlerocket node is replaced as a whole';
      const message = `${path}.upgradeRolloutStrategy is InPlace and the machines run Bottlerocket: ${fix}`;
      findings.refuse(placeOf(cluster, `${path}.upgradeRolloutStrategy`), message);
    }
    const doubt = doubtOfBottlerocket(kubernetesVersion);
    if (doubt !== undefined) findings.warn(at, doubt);
  }
}

function familyOf({ osFamily = 'bottlerocket' }: MachineConfigManifest): string {
  return osFamily;
}

/** An image is named for the whole cluster or for each group; a template may name its own. */
function checkImage(group: LocatedGroup, { datacenter, cluster }: ClusterParts, findings: Findings): void {
  const { config, kubernetesVersion } = group;
  const { name, templateRef } = config.value;
  const subject = `TinkerbellMachineConfig ${name}`;
  const own = config.value.osImageURL;
  const shared = datacenter.value.osImageURL;
  const at = placeOf(config, 'spec.osImageURL');
  if (own !== undefined && shared !== undefined) {
    const fact = `${subject} and TinkerbellDatacenterConfig ${datacenter.value.name} both have an osImageURL`;
    findings.refuse(at, `${fact}: remove one of them`, own);
    return;
  }
  const url = own ?? shared;
  if (url === undefined) {
    if (templateRef !== undefined) return;
    const fix = 'add osImageURL to it, or to the TinkerbellDatacenterConfig for all groups';
    findings.refuse(at, `${subject} names neither an image nor a template: ${fix}`);
    return;
  }
  const { bootstrapper = 'kubeadm' } = cluster.value;
  if (bootstrapper !== 'kubeadm' || kubernetesVersion === UNREADABLE || isForVersion(url, kubernetesVersion)) return;
  const place = own === undefined ? placeOf(datacenter, 'spec.osImageURL') : at;
  const fact = `the osImageURL of ${subject} does not name Kubernetes ${kubernetesVersion}`;
  const digits = kubernetesVersion.replace('.', '-');
  findings.refuse(place, `${fact}: use an image made for it, with ${digits} in its URL`, url);
}

/** The published rule: the digits of the version stand in the URL once `-`, `.` and `_` are left out. */
function isForVersion(url: string, version: string): boolean {
  return url.replaceAll(/[-._]/g, '').includes(version.replace('.', ''));
}

/** A pod with a node's or the server's address would hide it from the pods of its node. */
function checkAddresses({ whole: cluster, datacenter }: ClusterParts, findings: Findings): void {
  if (cluster === undefined) return;
  const { podCidr, serviceCidr, controlPlane } = cluster.value;
  const networks = [
    { of: 'pods', cidr: podCidr },
    { of: 'services', cidr: serviceCidr },
  ];
  const addresses = [
    {
      what: 'the endpoint',
      address: controlPlane.endpointHost,
      at: placeOf(cluster, 'spec.controlPlaneConfiguration.endpoint.host'),
    },
    {
      what: 'the tinkerbellIP',
      address: datacenter.value.tinkerbellIP,
      at: placeOf(datacenter, 'spec.tinkerbellIP'),
    },
  ];
  for (const { what, address, at } of addresses) {
    if (faultOfIpv4(address) !== undefined) continue;
    for (const { of, cidr } of networks) {
      if (!doNetworksOverlap(cidr, address)) continue;
      findings.warn(
        at,
        `${what} ${address} is inside the network of the ${of}, ${cidr}: choose another clusterNetwork`,
      );
    }
  }
}

function checkProxy({ whole: cluster, datacenter }: ClusterParts, findings: Findings): void {
  if (cluster === undefined || cluster.value.proxy === undefined || datacenter.value.hookImagesURLPath !== undefined)
    return;
  const fact =
    'EKS Anywhere asks for spec.hookImagesURLPath in the TinkerbellDatacenterConfig of a cluster with a proxy';
  findings.warn(placeOf(cluster, 'spec.proxyConfiguration'), `${fact}; this server does not need it`);
}

/** A cluster that another one manages uses that one's server. */
export function checkManagement(parts: readonly ClusterParts[], findings: Findings): void {
  for (const { cluster, datacenter } of parts) {
    const manager = parts.find((other) => other.cluster.value.name === cluster.value.managementCluster);
    const addresses = [datacenter, manager?.datacenter].map((each) => each?.value.tinkerbellIP);
    if (addresses.includes(UNREADABLE)) continue;
    if (manager === undefined || manager.datacenter.value.tinkerbellIP === datacenter.value.tinkerbellIP) continue;
    const { tinkerbellIP } = datacenter.value;
    const fact = `the tinkerbellIP ${tinkerbellIP} of Cluster ${cluster.value.name} is not that of its management cluster`;
    const fix = `write ${manager.datacenter.value.tinkerbellIP}`;
    findings.refuse(
      placeOf(datacenter, 'spec.tinkerbellIP'),
      `${fact} ${manager.cluster.value.name}: ${fix}`,
      tinkerbellIP,
    );
  }
}
