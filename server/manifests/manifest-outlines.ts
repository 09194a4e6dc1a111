import { referenceTo } from './cluster-group-readers.ts';
import type { ClusterManifest, DatacenterManifest } from './cluster-kind.ts';
import { Findings } from './findings.ts';
import { faultOfKubernetesVersion } from './kubernetes-version.ts';
import type { MachineConfigManifest } from './machine-config-kind.ts';
import { faultOfIpv4 } from './network-address.ts';
import { faultOfObjectName } from './object-names.ts';
import { faultOfImageUrl } from './url-fault.ts';
import { entry, item, type Reader, scalarText, text, word, type YamlValue } from './yaml-reader.ts';

// What can be read of objects that have faults, as far as others refer to it: so that faults between objects are told together with
// those of their shapes. A field that is faulty itself is not judged again.

/** Stands for a text that cannot be read: no rule looks at it. */
export const UNREADABLE = '';

/** What the rules between objects ask of a cluster. */
export interface ClusterOutline
  extends Pick<ClusterManifest, 'name' | 'namespace' | 'bootstrapper' | 'kubernetesVersion' | 'datacenter'> {
  readonly managementCluster?: string;
  /** The control plane first. Those whose fields are faulty refer to UNREADABLE. */
  readonly groups: readonly GroupOutline[];
}

export interface GroupOutline {
  /** `spec.controlPlaneConfiguration`. */
  readonly path: string;
  /** Name of its TinkerbellMachineConfig. */
  readonly machineConfig: string;
  readonly kubernetesVersion: string;
  readonly rollout: 'RollingUpdate' | 'InPlace';
}

/** Undefined where the name or the namespace is not readable. */
export function outlineCluster(value: YamlValue): ClusterOutline | undefined {
  const head = headOf(value);
  if (head === undefined) return undefined;
  const kubernetesVersion = read(value, 'spec.kubernetesVersion', versionText) ?? UNREADABLE;
  const annotations = at(value, 'metadata.annotations');
  const bootstrapper = annotations && read(annotations, ['tinsmith.dev/bootstrapper'], text());
  const managementCluster = read(value, 'spec.managementCluster.name', objectName);
  return {
    ...head,
    kubernetesVersion,
    datacenter: read(value, 'spec.datacenterRef', referenceTo('TinkerbellDatacenterConfig')) ?? UNREADABLE,
    groups: groupValues(value).map((group) => outlineGroup(group, kubernetesVersion)),
    ...(bootstrapper !== undefined && { bootstrapper }),
    ...(managementCluster !== undefined && managementCluster !== head.name && { managementCluster }),
  };
}

function groupValues(value: YamlValue): readonly YamlValue[] {
  const first = at(value, 'spec.controlPlaneConfiguration');
  const workers = at(value, 'spec.workerNodeGroupConfigurations');
  const found: YamlValue[] = first === undefined ? [] : [first];
  if (workers === undefined) return found;
  for (let index = 0; ; index++) {
    const group = item(workers, index);
    if (group === undefined) return found;
    found.push(group);
  }
}

function outlineGroup(group: YamlValue, ofCluster: string): GroupOutline {
  // A version of its own that does not fit the cluster's may be the fault: its image is not judged by it.
  const hasOwn = at(group, 'kubernetesVersion') !== undefined;
  return {
    path: group.path,
    machineConfig: read(group, 'machineGroupRef', referenceTo('TinkerbellMachineConfig')) ?? UNREADABLE,
    kubernetesVersion: hasOwn ? UNREADABLE : ofCluster,
    rollout: read(group, 'upgradeRolloutStrategy.type', word(['RollingUpdate', 'InPlace'])) ?? 'RollingUpdate',
  };
}

/** Undefined where something that others are held against is given and faulty. */
export function outlineDatacenter(value: YamlValue): DatacenterManifest | undefined {
  const head = headOf(value);
  const tinkerbellIP = read(value, 'spec.tinkerbellIP', text(faultOfIpv4)) ?? UNREADABLE;
  const osImageURL = given(value, 'spec.osImageURL', text(faultOfImageUrl));
  if (head === undefined || osImageURL === 'faulty') return undefined;
  return { ...head, tinkerbellIP, ...osImageURL };
}

/** Undefined where something that others are held against is given and faulty. */
export function outlineMachineConfig(value: YamlValue): MachineConfigManifest | undefined {
  const head = headOf(value);
  const osFamily = given(value, 'spec.osFamily', word(['ubuntu', 'redhat', 'bottlerocket']));
  const osImageURL = given(value, 'spec.osImageURL', text(faultOfImageUrl));
  const templateRef = given(value, 'spec.templateRef', referenceTo('TinkerbellTemplateConfig'));
  if (head === undefined || osFamily === 'faulty' || osImageURL === 'faulty' || templateRef === 'faulty') {
    return undefined;
  }
  return { ...head, ...osFamily, ...osImageURL, ...templateRef, users: [], ntpServers: [], certBundles: [] };
}

const objectName = text(faultOfObjectName);
const versionText = scalarText(faultOfKubernetesVersion);

function headOf(value: YamlValue): { readonly name: string; readonly namespace?: string } | undefined {
  const name = read(value, 'metadata.name', objectName);
  const namespace = given(value, 'metadata.namespace', objectName);
  return name === undefined || namespace === 'faulty' ? undefined : { name, ...namespace };
}

/** The last name of the path with its value, nothing where it is not given. */
function given<const P extends string, T>(
  value: YamlValue,
  path: P,
  reader: Reader<T>,
): { readonly [K in LastOf<P>]?: T } | 'faulty' {
  if (at(value, path) === undefined) return {};
  const made = read(value, path, reader);
  const name = path.slice(path.lastIndexOf('.') + 1);
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the one key is the last name of the path
  return made === undefined ? 'faulty' : ({ [name]: made } as { readonly [K in LastOf<P>]?: T });
}

type LastOf<P extends string> = P extends `${string}.${infer Rest}` ? LastOf<Rest> : P;

/** What a reader makes of a value, without a word of its faults: those were told when its object was read. */
function read<T>(value: YamlValue, path: string | readonly string[], reader: Reader<T>): T | undefined {
  const found = at(value, path);
  return found === undefined ? undefined : reader(silent(found));
}

function at(value: YamlValue, path: string | readonly string[]): YamlValue | undefined {
  const names = typeof path === 'string' ? path.split('.') : path;
  return names.reduce<YamlValue | undefined>((inner, name) => inner && entry(silent(inner), name), value);
}

function silent(value: YamlValue): YamlValue {
  return { ...value, scope: { ...value.scope, findings: new Findings(), fields: new Map() } };
}
