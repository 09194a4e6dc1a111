import type { Problem } from '#proto/errors.ts';
import { existing } from './choose-machine.ts';
import type { ClusterDefinition, ClusterManifest, DatacenterManifest } from './cluster-kind.ts';
import { type ClusterParts, checkCluster, checkManagement, type LocatedGroup } from './cluster-rules.ts';
import { didYouMean } from './did-you-mean.ts';
import { Findings, type Position, shown } from './findings.ts';
import type { LoadedManifests } from './load-manifests.ts';
import { type Located, placeOf } from './located.ts';
import type { MachineConfigManifest } from './machine-config-kind.ts';
import { type ClusterOutline, UNREADABLE } from './manifest-outlines.ts';
import type { TemplateManifest } from './template-kind.ts';

/** The clusters of a load, each with everything that it refers to. */
export interface ResolvedClusters {
  /** Only those without any problem. */
  readonly definitions: readonly Located<ClusterDefinition>[];
  /** Those of the references and of how the parts fit; those of reading the files are in the loaded manifests. */
  readonly problems: readonly Problem[];
  readonly warnings: readonly Problem[];
}

/** What the store holds that a cluster file may refer to. */
export interface KnownTemplates {
  readonly templates: readonly TemplateManifest[];
}

/** Resolves the references of every Cluster of a load. Never throws for what the manifests say. */
export function clusterDefinitions(loaded: LoadedManifests, known: KnownTemplates): ResolvedClusters {
  const resolution = prepare(loaded, known);
  const whole = loaded.clusters.map((located) => ({
    located,
    outline: { ...located, value: outlineOf(located.value) },
  }));
  const faulty = loaded.outlines.clusters.map((outline) => ({ located: undefined, outline }));
  const found = [...whole, ...faulty].flatMap(({ located, outline }) => {
    const { parts, isWhole } = resolve(outline, resolution);
    if (parts === undefined) return [];
    return [{ ...parts, isWhole: isWhole && located !== undefined, ...(located && { whole: located }) }];
  });
  const { findings } = resolution;
  const definitions = found.flatMap((parts) => {
    const before = findings.problemCount;
    checkCluster(parts, findings);
    return findings.problemCount > before || !parts.isWhole ? [] : (definitionOf(parts, resolution) ?? []);
  });
  checkManagement(found, findings);
  for (const config of [...loaded.machineConfigs, ...loaded.outlines.machineConfigs]) findTemplate(config, resolution);
  warnAboutUnused(loaded, findings);
  const { problems, warnings } = findings;
  return { definitions, problems, warnings };
}

interface Resolution {
  readonly findings: Findings;
  readonly refused: ReadonlySet<string>;
  /** Those that have faults and are good for checks only. */
  readonly outlines: LoadedManifests['outlines'];
  readonly datacenters: ReadonlyMap<string, Located<DatacenterManifest>>;
  readonly machineConfigs: ReadonlyMap<string, Located<MachineConfigManifest>>;
  /** TinkerbellTemplateConfigs only. */
  readonly templates: ReadonlyMap<string, TemplateManifest>;
}

function prepare(loaded: LoadedManifests, known: KnownTemplates): Resolution {
  const templates = [...known.templates, ...loaded.templates.map(({ value }) => value)];
  return {
    findings: new Findings(),
    refused: loaded.refused,
    outlines: loaded.outlines,
    datacenters: byName([...loaded.datacenters, ...loaded.outlines.datacenters]),
    machineConfigs: byName([...loaded.machineConfigs, ...loaded.outlines.machineConfigs]),
    templates: new Map(
      templates
        .filter(({ source }) => source === 'TinkerbellTemplateConfig')
        .map((template) => [template.name, template]),
    ),
  };
}

function byName<T extends { readonly name: string }>(located: readonly Located<T>[]): ReadonlyMap<string, Located<T>> {
  return new Map(located.map((one) => [one.value.name, one]));
}

/** The parts that could be found; without a datacenter nothing can be said of them together. */
function resolve(
  cluster: Located<ClusterOutline>,
  resolution: Resolution,
): { readonly parts?: ClusterParts; readonly isWhole: boolean } {
  const datacenter = findDatacenter(cluster, resolution);
  const wanted = cluster.value.groups;
  const groups = wanted.flatMap(({ machineConfig, ...group }): LocatedGroup[] => {
    const at = placeOf(cluster, `${group.path}.machineGroupRef.name`);
    const config = findMachineConfig(machineConfig, at, resolution);
    return config === undefined ? [] : [{ ...group, config }];
  });
  if (datacenter === undefined) return { isWhole: false };
  const { outlines } = resolution;
  const isWhole =
    groups.length === wanted.length &&
    !outlines.datacenters.includes(datacenter) &&
    groups.every(({ config }) => !outlines.machineConfigs.includes(config));
  return { parts: { cluster, datacenter, groups }, isWhole };
}

function outlineOf(cluster: ClusterManifest): ClusterOutline {
  const { controlPlane, workerGroups, kubernetesVersion } = cluster;
  const first = { ...controlPlane, kubernetesVersion, path: 'spec.controlPlaneConfiguration' };
  const workers = workerGroups.map((group, index) => {
    return { kubernetesVersion, ...group, path: `spec.workerNodeGroupConfigurations[${index}]` };
  });
  const groups = [first, ...workers].map(({ path, machineConfig, rollout, ...group }) => {
    return { path, machineConfig, rollout: rollout.type, kubernetesVersion: group.kubernetesVersion };
  });
  return { ...cluster, groups };
}

/** Nothing if a template is missing or was refused. */
function definitionOf(parts: ClusterParts, resolution: Resolution): Located<ClusterDefinition> | undefined {
  const { whole } = parts;
  const configs = parts.groups.map(({ config }) => config);
  const templates = configs.map((config) => findTemplate(config, resolution));
  const isWhole = configs.every(
    ({ value }, index) => value.templateRef === undefined || templates[index] !== undefined,
  );
  if (!isWhole || whole === undefined) return undefined;
  const value: ClusterDefinition = {
    cluster: whole.value,
    datacenter: parts.datacenter.value,
    machineConfigs: Object.fromEntries(configs.map((config) => [config.value.name, config.value])),
    templates: Object.fromEntries(templates.flatMap((template) => (template ? [[template.name, template]] : []))),
  };
  return { ...whole, value };
}

function findDatacenter(
  cluster: Located<ClusterOutline>,
  { datacenters, refused, findings }: Resolution,
): Located<DatacenterManifest> | undefined {
  const name = cluster.value.datacenter;
  const datacenter = datacenters.get(name);
  if (datacenter !== undefined || name === UNREADABLE || refused.has(`TinkerbellDatacenterConfig/${name}`)) {
    return datacenter;
  }
  refuseName('TinkerbellDatacenterConfig', name, [...datacenters.keys()], {
    findings,
    at: placeOf(cluster, 'spec.datacenterRef.name'),
  });
  return undefined;
}

function findMachineConfig(
  name: string,
  at: Position,
  { machineConfigs, refused, findings }: Resolution,
): Located<MachineConfigManifest> | undefined {
  const config = machineConfigs.get(name);
  if (config !== undefined || name === UNREADABLE || refused.has(`TinkerbellMachineConfig/${name}`)) return config;
  refuseName('TinkerbellMachineConfig', name, [...machineConfigs.keys()], { findings, at });
  return undefined;
}

function findTemplate(
  config: Located<MachineConfigManifest>,
  { templates, refused, findings }: Resolution,
): TemplateManifest | undefined {
  const { templateRef } = config.value;
  if (templateRef === undefined || refused.has(`TinkerbellTemplateConfig/${templateRef}`)) return undefined;
  const template = templates.get(templateRef);
  if (template !== undefined) return template;
  const at = placeOf(config, 'spec.templateRef.name');
  refuseName('TinkerbellTemplateConfig', templateRef, [...templates.keys()], { findings, at });
  return undefined;
}

function refuseName(
  kind: string,
  name: string,
  names: readonly string[],
  { findings, at }: { readonly findings: Findings; readonly at: Position },
): void {
  const hint = didYouMean(name, names) || `: ${existing(kind, names)}`;
  findings.refuse(at, `there is no ${kind} ${shown(name)}${hint}`, name);
}

/** What no cluster refers to does nothing; mostly a name is misspelt. */
function warnAboutUnused(loaded: LoadedManifests, findings: Findings): void {
  if ([...loaded.refused].some((name) => name.startsWith('Cluster/'))) return;
  const clusters = loaded.clusters.map(({ value }) => value);
  const used = {
    TinkerbellDatacenterConfig: new Set(clusters.map(({ datacenter }) => datacenter)),
    TinkerbellMachineConfig: new Set(
      clusters.flatMap((cluster) => outlineOf(cluster).groups).map(({ machineConfig }) => machineConfig),
    ),
  };
  const parts = { TinkerbellDatacenterConfig: loaded.datacenters, TinkerbellMachineConfig: loaded.machineConfigs };
  for (const kind of ['TinkerbellDatacenterConfig', 'TinkerbellMachineConfig'] as const) {
    for (const { value, at } of parts[kind]) {
      if (!used[kind].has(value.name)) findings.warn(at, `no Cluster of these files refers to ${kind} ${value.name}`);
    }
  }
  warnAboutUnusedTemplates(loaded, findings);
}

function warnAboutUnusedTemplates(loaded: LoadedManifests, findings: Findings): void {
  if (loaded.clusters.length === 0) return;
  const used = new Set([
    ...[...loaded.machineConfigs, ...loaded.outlines.machineConfigs].map(({ value }) => value.templateRef),
    ...loaded.workflows.map(({ value }) => value.spec.templateRef),
  ]);
  for (const { value, at } of loaded.templates) {
    if (value.source !== 'TinkerbellTemplateConfig' || used.has(value.name)) continue;
    findings.warn(at, `no TinkerbellMachineConfig of these files refers to ${value.source} ${value.name}`);
  }
}
