import type { Problem } from '#proto/errors.ts';
import type { ActionImages } from './action-images.ts';
import { Claims, identitiesOf } from './claims.ts';
import type { ClusterManifest, DatacenterManifest } from './cluster-kind.ts';
import { Findings } from './findings.ts';
import { readHardwareCsv } from './hardware-csv.ts';
import type { HardwareManifest } from './hardware-kind.ts';
import { type Located, placeOf } from './located.ts';
import type { MachineConfigManifest } from './machine-config-kind.ts';
import { type ManifestBasket, type ManifestOutlines, readManifest } from './manifest-kinds.ts';
import type { TemplateManifest } from './template-kind.ts';
import type { WorkflowManifest } from './workflow-kind.ts';
import { parseYaml } from './yaml-documents.ts';

/** A file as the user gave it. The name tells the format: `.csv` or YAML and JSON; any other name is told by its content. */
export interface ManifestFile {
  readonly name: string;
  readonly text: string;
}

export interface LoadedManifests {
  readonly hardware: readonly Located<HardwareManifest>[];
  /** Of both kinds: Template and TinkerbellTemplateConfig. */
  readonly templates: readonly Located<TemplateManifest>[];
  readonly workflows: readonly Located<WorkflowManifest>[];
  /** Each for itself; `clusterDefinitions` puts them together. */
  readonly clusters: readonly Located<ClusterManifest>[];
  readonly datacenters: readonly Located<DatacenterManifest>[];
  readonly machineConfigs: readonly Located<MachineConfigManifest>[];
  /** `Kind/name` of manifests that have problems and are in none of the lists. */
  readonly refused: ReadonlySet<string>;
  /** What can be read of refused ones that others refer to. */
  readonly outlines: ManifestOutlines;
  readonly problems: readonly Problem[];
  readonly warnings: readonly Problem[];
}

/** Bytes of one file. */
const LARGEST_FILE = 4 * 1024 * 1024;

/**
 * Reads manifests from files. Never throws for what is in them: every fault of every file is in `problems`, with its
 * place, its value and the fix. What the manifests say of each other is checked by `planApply`.
 */
export function loadManifests(files: readonly ManifestFile[], actionImages?: ActionImages): LoadedManifests {
  const findings = new Findings();
  const claims = new Claims(findings);
  const basket = {
    hardware: [],
    templates: [],
    workflows: [],
    clusters: [],
    datacenters: [],
    machineConfigs: [],
    refused: new Set<string>(),
    outlines: { clusters: [], datacenters: [], machineConfigs: [] },
  } satisfies ManifestBasket;
  for (const file of files) loadFile(file, { basket, findings, claims, actionImages });
  claimAll(basket, claims);
  return { ...basket, problems: findings.problems, warnings: findings.warnings };
}

interface Load {
  readonly basket: ManifestBasket;
  readonly findings: Findings;
  readonly claims: Claims;
  readonly actionImages: ActionImages | undefined;
}

function loadFile(file: ManifestFile, load: Load): void {
  const { basket, findings, claims, actionImages } = load;
  const text = file.text.startsWith(BOM) ? file.text.slice(1) : file.text;
  const fault = faultOfText(text);
  if (fault !== undefined) {
    findings.refuse({ file: file.name, line: 0, column: 0 }, fault);
    return;
  }
  if (isCsv(file.name, text)) {
    const csv = readHardwareCsv({ name: file.name, text }, findings, claims);
    basket.hardware.push(...csv.hardware);
    for (const hostname of csv.refused) basket.refused.add(`Hardware/${hostname}`);
    return;
  }
  for (const document of parseYaml({ name: file.name, text }, findings, actionImages)) {
    readManifest(document, basket);
  }
}

const BOM = '\uFEFF';

function faultOfText(text: string): string | undefined {
  const size = Buffer.byteLength(text);
  if (size > LARGEST_FILE) return `the file has ${size} bytes: at most ${LARGEST_FILE} are read, split it`;
  // U+FFFD is what a decoder leaves where bytes are no UTF-8.
  if (/[\0\uFFFD]/.test(text)) return 'the file is not UTF-8 text: save it as UTF-8';
  return undefined;
}

/** A CSV is known by its name; standard input and names without a known ending by a header with our columns. */
function isCsv(name: string, text: string): boolean {
  if (/\.csv$/i.test(name)) return true;
  if (/\.(ya?ml|json)$/i.test(name)) return false;
  const header = /^\s*(\S.{0,2000})/.exec(text)?.[1] ?? '';
  const columns = header.split(',').map((column) => column.trim().toLowerCase());
  return columns.length > 3 && (columns.includes('hostname') || columns.includes('mac'));
}

/** Names, MACs and addresses that two manifests of this load both claim. CSV rows have claimed theirs, faulty rows too. */
function claimAll(basket: ManifestBasket, claims: Claims): void {
  for (const cluster of basket.clusters) claimCluster(cluster, claims);
  for (const datacenter of basket.datacenters) claimDatacenter(datacenter, claims);
  for (const located of basket.hardware) claimHardware(located, claims);
  for (const { value, at } of basket.templates) claims.claimName('Template', value.name, at);
  for (const { value, at } of basket.workflows) claims.claimName('Workflow', value.name, at);
  for (const { value, at } of basket.machineConfigs) claims.claimName('TinkerbellMachineConfig', value.name, at);
}

function claimCluster(cluster: Located<ClusterManifest>, claims: Claims): void {
  const { name, controlPlane } = cluster.value;
  const at = placeOf(cluster, 'spec.controlPlaneConfiguration.endpoint.host');
  claims.claimName('Cluster', name, cluster.at);
  claims.claim('IP address', controlPlane.endpointHost, `the control plane endpoint of Cluster ${name}`, at);
}

/** All clusters of one management cluster share the tinkerbellIP. */
function claimDatacenter(datacenter: Located<DatacenterManifest>, claims: Claims): void {
  const { name, tinkerbellIP } = datacenter.value;
  claims.claimName('TinkerbellDatacenterConfig', name, datacenter.at);
  claims.claim('IP address', tinkerbellIP, 'the tinkerbellIP', placeOf(datacenter, 'spec.tinkerbellIP'));
}

function claimHardware(located: Located<HardwareManifest>, claims: Claims): void {
  const { value, origin, at } = located;
  if (origin === 'yaml') claims.claimName('Hardware', value.name, at);
  for (const { what, value: claimed, path } of identitiesOf(value)) {
    claims.claim(what, claimed, `Hardware ${value.name}`, placeOf(located, path));
  }
}
