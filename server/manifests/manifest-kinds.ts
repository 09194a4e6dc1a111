import { isMap, isScalar, isSeq } from 'yaml';
import type { ClusterManifest, DatacenterManifest } from './cluster-kind.ts';
import { readCluster } from './cluster-reader.ts';
import { readDatacenter } from './datacenter-reader.ts';
import { didYouMean } from './did-you-mean.ts';
import { listed, shown } from './findings.ts';
import type { HardwareManifest } from './hardware-kind.ts';
import { readHardware } from './hardware-reader.ts';
import type { Located } from './located.ts';
import type { MachineConfigManifest } from './machine-config-kind.ts';
import { readMachineConfig } from './machine-config-reader.ts';
import { type ClusterOutline, outlineCluster, outlineDatacenter, outlineMachineConfig } from './manifest-outlines.ts';
import type { TemplateManifest } from './template-kind.ts';
import { readTemplate, readTemplateConfig } from './template-reader.ts';
import { UNSTORED_KINDS } from './unstored-kinds.ts';
import type { WorkflowManifest } from './workflow-kind.ts';
import { readWorkflow } from './workflow-reader.ts';
import { nodeOf, positionOf, resolved, type YamlDocument } from './yaml-documents.ts';
import { entry, type Reader, refuse, text, type YamlValue } from './yaml-reader.ts';

/** Where the manifests of a load are gathered. */
export interface ManifestBasket {
  readonly hardware: Located<HardwareManifest>[];
  readonly templates: Located<TemplateManifest>[];
  readonly workflows: Located<WorkflowManifest>[];
  readonly clusters: Located<ClusterManifest>[];
  readonly datacenters: Located<DatacenterManifest>[];
  readonly machineConfigs: Located<MachineConfigManifest>[];
  /** `Kind/name` of manifests that were refused: what refers to them is not a second mistake. */
  readonly refused: Set<string>;
  /** What can be read of refused ones that others refer to. */
  readonly outlines: ManifestOutlines;
}

export interface ManifestOutlines {
  readonly clusters: Located<ClusterOutline>[];
  readonly datacenters: Located<DatacenterManifest>[];
  readonly machineConfigs: Located<MachineConfigManifest>[];
}

/** Reads one document into the basket, by its apiVersion and kind. A Kubernetes List is read item by item. */
export function readManifest(document: YamlDocument, basket: ManifestBasket): void {
  const value = { node: document.root, scope: document.scope, path: '' };
  const head = readHead(value);
  if (head === undefined) return;
  if (head === LIST) readItems(document, basket);
  else readKind(value, head, basket);
}

const LIST = 'v1/List';

/** A kind whose manifests go into the basket. */
interface StoredKind {
  readonly read: Reader<unknown>;
  keep(value: YamlValue, basket: ManifestBasket): boolean;
}

function stored<T>(read: Reader<T>, listOf: (basket: ManifestBasket) => Located<T>[]): StoredKind {
  return { read, keep: (value, basket) => keep(value, read, listOf(basket)) };
}

const STORED_KINDS: Readonly<Record<string, StoredKind>> = {
  'tinkerbell.org/v1alpha1/Hardware': stored(readHardware, ({ hardware }) => hardware),
  'tinkerbell.org/v1alpha1/Template': stored(readTemplate, ({ templates }) => templates),
  'tinkerbell.org/v1alpha1/Workflow': stored(readWorkflow, ({ workflows }) => workflows),
  'anywhere.eks.amazonaws.com/v1alpha1/Cluster': stored(readCluster, ({ clusters }) => clusters),
  'anywhere.eks.amazonaws.com/v1alpha1/TinkerbellDatacenterConfig': stored(
    readDatacenter,
    ({ datacenters }) => datacenters,
  ),
  'anywhere.eks.amazonaws.com/v1alpha1/TinkerbellMachineConfig': stored(
    readMachineConfig,
    ({ machineConfigs }) => machineConfigs,
  ),
  'anywhere.eks.amazonaws.com/v1alpha1/TinkerbellTemplateConfig': stored(
    readTemplateConfig,
    ({ templates }) => templates,
  ),
};

/** `apiVersion/kind` → what reads it. */
export const KIND_READERS: Readonly<Record<string, Reader<unknown>>> = {
  ...Object.fromEntries(Object.entries(STORED_KINDS).map(([head, { read }]) => [head, read])),
  ...UNSTORED_KINDS,
};

const KNOWN_KINDS = Object.keys(KIND_READERS);

function readKind(value: YamlValue, head: string, basket: ManifestBasket): void {
  const kind = head.slice(head.lastIndexOf('/') + 1);
  const storedKind = STORED_KINDS[head];
  if (storedKind !== undefined) {
    if (storedKind.keep(value, basket)) return;
    basket.refused.add(`${kind}/${nameOf(value) ?? ''}`);
    OUTLINES[kind]?.(value, basket.outlines);
    return;
  }
  const { findings } = value.scope;
  const before = findings.problemCount;
  UNSTORED_KINDS[head]?.(value);
  if (findings.problemCount > before) return;
  const fact = IS_OTHERS_WORK.test(head) ? 'is not a provisioner’s work' : 'was checked for shape only';
  findings.warn(positionOf(value.scope, value.node), `${kind} ${nameOf(value) ?? ''} ${fact} and is not stored`);
}

const OUTLINES: Readonly<Record<string, (value: YamlValue, outlines: ManifestOutlines) => void>> = {
  Cluster: (value, { clusters }) => addLocated(value, outlineCluster(value), clusters),
  TinkerbellDatacenterConfig: (value, { datacenters }) => addLocated(value, outlineDatacenter(value), datacenters),
  TinkerbellMachineConfig: (value, { machineConfigs }) =>
    addLocated(value, outlineMachineConfig(value), machineConfigs),
};

/** Kinds of EKS Anywhere that its own controllers act on once there is a cluster. */
const IS_OTHERS_WORK = /^anywhere\.eks\.amazonaws\.com\//;

/** `apiVersion/kind` of a document if it is one that exists. */
function readHead(value: YamlValue): string | undefined {
  if (!isMap(value.node)) {
    return refuse(value, 'the document is no manifest: write a map that begins with apiVersion and kind');
  }
  const apiVersion = readWord(value, 'apiVersion', 'tinkerbell.org/v1alpha1');
  const kind = readWord(value, 'kind', 'Hardware');
  if (apiVersion === undefined || kind === undefined) return undefined;
  const head = `${apiVersion}/${kind}`;
  if (head === LIST || KNOWN_KINDS.includes(head)) return head;
  return refuseHead(value, apiVersion, kind);
}

function readWord(value: YamlValue, key: string, example: string): string | undefined {
  const found = entry(value, key);
  return found === undefined
    ? refuse(value, `${key} is missing: add it, for example ${key}: ${example}`)
    : text()(found);
}

function refuseHead(value: YamlValue, apiVersion: string, kind: string): undefined {
  const sameKind = KNOWN_KINDS.find((known) => known.endsWith(`/${kind}`));
  if (sameKind !== undefined) {
    const expected = sameKind.slice(0, -kind.length - 1);
    const at = entry(value, 'apiVersion') ?? value;
    return refuse(at, `${kind} has the apiVersion ${shown(apiVersion)}: write ${expected}`, apiVersion);
  }
  const kinds = [...new Set(KNOWN_KINDS.map((known) => known.slice(known.lastIndexOf('/') + 1)))];
  const hint = `${didYouMean(kind, kinds)}: there are ${listed(kinds, 30)}`;
  return refuse(entry(value, 'kind') ?? value, `the kind ${shown(kind)} is not known${hint}`, kind);
}

/** The items of `kubectl get -o yaml`: each has its own apiVersion and kind. */
function readItems(document: YamlDocument, basket: ManifestBasket): void {
  const value = { node: document.root, scope: document.scope, path: '' };
  const items = entry(value, 'items');
  if (items === undefined || !isSeq(items.node)) {
    refuse(items ?? value, 'the List has no items: write them as a list');
    return;
  }
  for (const item of items.node.items) {
    const root = resolved(document.scope, nodeOf(item) ?? items.node);
    const head = readHead({ node: root, scope: document.scope, path: '' });
    if (head === LIST) refuse({ ...value, node: root }, 'a List stands inside a List: write its items directly');
    // Its own table of places: the paths of two items are the same.
    else if (head !== undefined)
      readKind({ node: root, scope: { ...document.scope, fields: new Map() }, path: '' }, head, basket);
  }
}

function keep<T>(value: YamlValue, read: Reader<T>, found: Located<T>[]): boolean {
  const made = read(value);
  addLocated(value, made, found);
  return made !== undefined;
}

function addLocated<T>(value: YamlValue, made: T | undefined, found: Located<T>[]): void {
  if (made === undefined) return;
  const { fields } = value.scope;
  const at = fields.get('metadata.name') ?? positionOf(value.scope, value.node);
  found.push({ value: made, origin: 'yaml', at, fields });
}

/** The name of any object, if it has one; faults are told by its reader. */
function nameOf(value: YamlValue): string | undefined {
  const metadata = entry(value, 'metadata');
  const name = metadata === undefined ? undefined : entry(metadata, 'name');
  return name !== undefined && isScalar(name.node) && typeof name.node.value === 'string' ? name.node.value : undefined;
}
