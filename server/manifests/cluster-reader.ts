import {
  controlPlaneOf,
  type GivenWorkerGroup,
  readControlPlane,
  readHealthCheck,
  readWorkerGroup,
  referenceTo,
  workerGroupOf,
} from './cluster-group-readers.ts';
import type { ClusterManifest, Taint, WorkerGroupConfiguration } from './cluster-kind.ts';
import { DEFAULT_NETWORK, readClusterNetwork, readProxy, readRegistryMirror } from './cluster-network-readers.ts';
import { doubtOfKubernetesVersion, faultOfKubernetesVersion, minorOf } from './kubernetes-version.ts';
import { clusterFrame } from './object-metadata.ts';
import { faultOfObjectName } from './object-names.ts';
import {
  entry,
  item,
  jsonObject,
  list,
  noted,
  object,
  optional,
  type Reader,
  refined,
  refuse,
  refuseAt,
  refusedField,
  required,
  scalarText,
  secretText,
  text,
  warnAt,
  type YamlValue,
} from './yaml-reader.ts';

const BOOTSTRAPPER = 'tinsmith.dev/bootstrapper';
const BOTTLEROCKET_BOOTSTRAP_IMAGE = 'tinsmith.dev/bottlerocket-bootstrap-image';

/** What of a cluster is somebody else's: checked for shape, kept nowhere. */
const OUT_OF_SCOPE = [
  'bundlesRef',
  'gitOpsRef',
  'identityProviderRefs',
  'licenseToken',
  'packages',
  'podIamConfig',
] as const;

const specFields = object({
  bundlesRef: optional(jsonObject()),
  clusterNetwork: optional(readClusterNetwork),
  controlPlaneConfiguration: required(readControlPlane),
  datacenterRef: required(referenceTo('TinkerbellDatacenterConfig')),
  eksaVersion: optional(text()),
  etcdEncryption: optional(unsupported('encryption of etcd')),
  externalEtcdConfiguration: optional(unsupported('etcd outside the control plane')),
  gitOpsRef: optional(object({ kind: required(text()), name: required(text()) })),
  identityProviderRefs: optional(list(object({ kind: required(text()), name: required(text()) }))),
  kubernetesVersion: required(noted(scalarText(faultOfKubernetesVersion))),
  licenseToken: optional(secretText()),
  machineHealthCheck: optional(readHealthCheck),
  managementCluster: optional(object({ name: required(text(faultOfObjectName)) })),
  packages: optional(jsonObject()),
  podIamConfig: optional(jsonObject()),
  proxyConfiguration: optional(noted(readProxy)),
  registryMirrorConfiguration: optional(readRegistryMirror),
  workerNodeGroupConfigurations: optional(list(noted(readWorkerGroup))),
});

const clusterFields = object({ ...clusterFrame, spec: required(refined(specFields, checkedSpec)) });

/** Cluster, `anywhere.eks.amazonaws.com/v1alpha1`. What it says of other objects is checked by `clusterDefinitions`. */
export const readCluster: Reader<ClusterManifest> = refined(clusterFields, (made, value) => {
  const { findings } = value.scope;
  const before = findings.problemCount;
  const { name } = made.metadata;
  const fault = faultOfClusterName(name);
  const at = entry(value, 'metadata') ?? value;
  if (fault !== undefined) refuseAt(at, 'name', `metadata.name ${name} ${fault}`, name);
  const cluster = clusterOf(made);
  checkTaints(cluster, entry(value, 'spec') ?? value);
  return findings.problemCount > before ? undefined : cluster;
});

function clusterOf({ metadata, spec }: NonNullable<ReturnType<typeof clusterFields>>): ClusterManifest {
  const { name, namespace, annotations } = metadata;
  const { managementCluster, proxyConfiguration: proxy, registryMirrorConfiguration: registryMirror } = spec;
  const bootstrapper = annotations[BOOTSTRAPPER];
  const bottlerocketBootstrapImage = annotations[BOTTLEROCKET_BOOTSTRAP_IMAGE];
  const management = managementCluster?.name;
  return {
    name,
    kubernetesVersion: spec.kubernetesVersion,
    ...(spec.clusterNetwork ?? DEFAULT_NETWORK),
    controlPlane: controlPlaneOf(spec.controlPlaneConfiguration, spec.machineHealthCheck),
    workerGroups: workerGroups(spec),
    datacenter: spec.datacenterRef,
    ...(namespace !== undefined && { namespace }),
    ...(bootstrapper !== undefined && { bootstrapper }),
    ...(bottlerocketBootstrapImage !== undefined && { bottlerocketBootstrapImage }),
    ...(management !== undefined && management !== name && { managementCluster: management }),
    ...(proxy !== undefined && { proxy }),
    ...(registryMirror !== undefined && { registryMirror }),
  };
}

type GivenSpec = NonNullable<ReturnType<typeof specFields>>;

function unsupported(what: string): Reader<undefined> {
  return refusedField(`is not possible on bare metal: ${what} is not supported, remove it`);
}

/** The rules inside of one spec. */
function checkedSpec(spec: GivenSpec, value: YamlValue): GivenSpec | undefined {
  const { findings } = value.scope;
  const before = findings.problemCount;
  const doubt = doubtOfKubernetesVersion(spec.kubernetesVersion);
  const version = spec.kubernetesVersion;
  if (doubt !== undefined) warnAt(value, 'kubernetesVersion', `spec.kubernetesVersion ${version} ${doubt}`);
  for (const field of OUT_OF_SCOPE) {
    if (spec[field] === undefined) continue;
    warnAt(value, field, `spec.${field} is not a provisioner's work: it is accepted and not acted on`);
  }
  const groups = spec.workerNodeGroupConfigurations ?? [];
  checkGroupNames(groups, value);
  for (const [index, group] of groups.entries()) checkGroup(group, groupAt(value, index), spec);
  return findings.problemCount > before ? undefined : spec;
}

/** A worker group's place, for faults that concern it and something else. */
function groupAt(spec: YamlValue, index: number): YamlValue {
  const path = `spec.workerNodeGroupConfigurations[${index}]`;
  const groups = entry(spec, 'workerNodeGroupConfigurations');
  const group = groups === undefined ? undefined : item(groups, index);
  return group ?? { ...spec, path };
}

function checkGroupNames(groups: readonly GivenWorkerGroup[], spec: YamlValue): void {
  const first = new Map<string, number>();
  for (const [index, { name }] of groups.entries()) {
    const value = groupAt(spec, index);
    const taken = name ?? nameOfGroup(index);
    if (taken === undefined) refuse(value, `${value.path}.name is missing: add it, only the first group may lack one`);
    else if (first.has(taken)) {
      const path = `spec.workerNodeGroupConfigurations[${first.get(taken)}]`;
      refuseAt(value, 'name', `${value.path}.name ${taken} is the name of ${path} as well: rename one`, taken);
    } else first.set(taken, index);
  }
}

/** The name that a group has without being given one. */
function nameOfGroup(index: number): string | undefined {
  return index === 0 ? 'md-0' : undefined;
}

function checkGroup(group: GivenWorkerGroup, value: YamlValue, spec: GivenSpec): void {
  const { kubernetesVersion = spec.kubernetesVersion, upgradeRolloutStrategy } = group;
  const path = `${value.path}.kubernetesVersion ${kubernetesVersion}`;
  const ahead = minorOf(kubernetesVersion) - minorOf(spec.kubernetesVersion);
  const control = `the control plane's ${spec.kubernetesVersion}`;
  if (ahead > 0) {
    const message = `${path} is newer than ${control}: raise spec.kubernetesVersion first`;
    refuseAt(value, 'kubernetesVersion', message, kubernetesVersion);
  } else if (ahead < -2) {
    const message = `${path} is more than two versions behind ${control}: raise it`;
    refuseAt(value, 'kubernetesVersion', message, kubernetesVersion);
  }
  const type = upgradeRolloutStrategy?.type ?? 'RollingUpdate';
  const controlType = spec.controlPlaneConfiguration.upgradeRolloutStrategy?.type ?? 'RollingUpdate';
  if (type === controlType) return;
  const fact = `${value.path} is rolled out by ${type} and the control plane by ${controlType}`;
  refuseAt(value, 'upgradeRolloutStrategy', `${fact}: all groups need the same upgradeRolloutStrategy.type`);
}

function workerGroups(spec: GivenSpec): readonly WorkerGroupConfiguration[] {
  const groups = spec.workerNodeGroupConfigurations ?? [];
  return groups.map((group, index) =>
    workerGroupOf(group, group.name ?? nameOfGroup(index) ?? '', spec.machineHealthCheck),
  );
}

function checkTaints(cluster: ClusterManifest, spec: YamlValue): void {
  const { controlPlane, workerGroups: workers, managementCluster } = cluster;
  if (workers.length === 0) {
    if (controlPlane.taints === undefined || controlPlane.taints.length === 0) return;
    const fix = 'remove them, or add workerNodeGroupConfigurations';
    const message = `spec.controlPlaneConfiguration.taints keep all work away from a cluster without workers: ${fix}`;
    refuseAt(entry(spec, 'controlPlaneConfiguration') ?? spec, 'taints', message);
    return;
  }
  if (managementCluster !== undefined || workers.some((group) => !group.taints.some(keepsWorkAway))) return;
  const fact = 'every worker group has a taint NoSchedule or NoExecute, so nothing could run';
  refuseAt(spec, 'workerNodeGroupConfigurations', `${fact}: remove it from one group`);
}

function keepsWorkAway({ effect }: Taint): boolean {
  return effect !== 'PreferNoSchedule';
}

export function faultOfClusterName(name: string): string | undefined {
  if (name.length > 35) return `has ${name.length} characters: use at most 35`;
  if (/^[a-z][a-z0-9-]+$/.test(name)) return undefined;
  return 'is not a name of a cluster: use at least two lower-case letters, digits and "-", a letter first';
}
