import { type Problem, TinsmithError } from '#proto/errors.ts';
import type { ActionImages } from '../manifests/action-images.ts';
import { clusterDefinitions } from '../manifests/cluster-definitions.ts';
import type { ClusterDefinition } from '../manifests/cluster-kind.ts';
import { Findings, listed, type Position } from '../manifests/findings.ts';
import type { HardwareManifest } from '../manifests/hardware-kind.ts';
import { type KnownMachine, knownMachines } from '../manifests/known-machines.ts';
import { type LoadedManifests, loadManifests, type ManifestFile } from '../manifests/load-manifests.ts';
import { type Located, placeOf } from '../manifests/located.ts';
import { checkAgainstStored, type KnownRecords } from '../manifests/plan-apply.ts';
import type { Store } from '../store/store.ts';

/** What files say of one cluster, held against what is stored. */
export interface ClusterFiles {
  readonly definition: ClusterDefinition;
  /** The machines of the files, to be applied with it. */
  readonly hardware: readonly HardwareManifest[];
  /** All machines, stored ones and those of the files, by name; what is stored of a machine stays with it. */
  readonly machines: ReadonlyMap<string, KnownMachine>;
  readonly placeOf: PlaceOf;
  readonly warnings: readonly Problem[];
}

/** Where a value of the definition stands; of its kind's manifest if the value itself is not found. */
export type PlaceOf = (kind: DefinitionKind, name: string, path: string) => Position;
export type DefinitionKind = 'Cluster' | 'TinkerbellDatacenterConfig' | 'TinkerbellMachineConfig' | 'Hardware';

/** The same when it may be faulty. */
export interface ClusterReading {
  readonly problems: readonly Problem[];
  readonly warnings: readonly Problem[];
  /** Missing where the cluster or a machine is faulty: nothing can be said of them together then. */
  readonly files?: ClusterFiles;
}

/** Reads one cluster with its machines. Throws `invalid_input` that carries every problem of every file. */
export function readClusterFiles(
  files: readonly ManifestFile[],
  known: KnownRecords,
  actionImages?: ActionImages,
): ClusterFiles {
  const reading = tryReadClusterFiles(files, known, actionImages);
  if (reading.files !== undefined && reading.problems.length === 0) return reading.files;
  throw faultyFiles(reading.problems);
}

/** What everything that is read is held against. */
export async function knownRecords(
  store: Pick<Store, 'listHardware' | 'listTemplates' | 'listWorkflows'>,
): Promise<KnownRecords> {
  return {
    hardware: await store.listHardware(),
    templates: await store.listTemplates(),
    workflows: await store.listWorkflows(),
  };
}

/** The failure of a cluster's files. */
export function faultyFiles(problems: readonly Problem[]): TinsmithError {
  const count = problems.length === 1 ? 'one problem' : `${problems.length} problems`;
  return new TinsmithError(
    'invalid_input',
    `the cluster cannot be made from these files: there ${verb(problems)} ${count}`,
    {
      problems,
    },
  );
}

/** Never throws for what is in the files. */
export function tryReadClusterFiles(
  files: readonly ManifestFile[],
  known: KnownRecords,
  actionImages?: ActionImages,
): ClusterReading {
  const loaded = loadManifests(files, actionImages);
  const resolved = clusterDefinitions(loaded, known);
  const findings = new Findings();
  checkAgainstStored(loaded, known.hardware, findings);
  const definition = onlyCluster(loaded, resolved.definitions, findings);
  for (const { value, at } of loaded.workflows) {
    findings.warn(at, `Workflow ${value.name} is no part of a cluster and is left out: apply it by itself`);
  }
  const problems = [...loaded.problems, ...resolved.problems, ...findings.problems];
  const warnings = [...loaded.warnings, ...resolved.warnings, ...findings.warnings];
  const hasRefusedHardware = [...loaded.refused].some((name) => name.startsWith('Hardware/'));
  if (definition === undefined || hasRefusedHardware) return { problems, warnings };
  const read: ClusterFiles = {
    definition: definition.value,
    hardware: loaded.hardware.map(({ value }) => value),
    machines: knownMachines(loaded.hardware, known.hardware, known.workflows),
    placeOf: placesOf(loaded),
    warnings,
  };
  return { problems, warnings, files: read };
}

/** The cluster that the files are about. */
function onlyCluster(
  loaded: LoadedManifests,
  definitions: readonly Located<ClusterDefinition>[],
  findings: Findings,
): Located<ClusterDefinition> | undefined {
  const names = loaded.clusters.map(({ value }) => value.name);
  const second = loaded.clusters[1];
  if (second !== undefined) {
    findings.refuse(second.at, `the files hold several Clusters (${listed(names)}): give those of one at a time`);
    return undefined;
  }
  const isRefused = [...loaded.refused].some((name) => name.startsWith('Cluster/'));
  if (names.length === 0 && !isRefused && loaded.problems.length === 0) {
    const file = loaded.hardware[0]?.at.file ?? 'the files';
    findings.refuse({ file, line: 0, column: 0 }, 'there is no Cluster in the files: add its file, -f cluster.yaml');
  }
  return definitions[0];
}

function placesOf(loaded: LoadedManifests): PlaceOf {
  const located: Readonly<Record<DefinitionKind, readonly Located<{ readonly name: string }>[]>> = {
    Cluster: loaded.clusters,
    TinkerbellDatacenterConfig: loaded.datacenters,
    TinkerbellMachineConfig: loaded.machineConfigs,
    Hardware: loaded.hardware,
  };
  return (kind, name, path) => {
    const found = located[kind].find(({ value }) => value.name === name);
    return found === undefined ? { file: `${kind} ${name}`, line: 0, column: 0 } : placeOf(found, path);
  };
}

function verb(problems: readonly Problem[]): string {
  return problems.length === 1 ? 'is' : 'are';
}
