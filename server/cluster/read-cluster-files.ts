import { type Problem, TinsmithError } from '#proto/errors.ts';
import { clusterDefinitions } from '../manifests/cluster-definitions.ts';
import type { ClusterDefinition } from '../manifests/cluster-kind.ts';
import type { HardwareManifest } from '../manifests/hardware-kind.ts';
import { loadManifests, type ManifestFile } from '../manifests/load-manifests.ts';
import { planApply } from '../manifests/plan-apply.ts';
import type { RenderDefaults } from '../manifests/render-workflow.ts';
import type { Store } from '../store/store.ts';

export interface ClusterFiles {
  readonly definition: ClusterDefinition;
  /** To be applied with it. */
  readonly hardware: readonly HardwareManifest[];
  readonly warnings: readonly Problem[];
}

/** Reads the files of one cluster and its machines. Throws `invalid_input` that carries every problem of every file. */
export async function readClusterFiles(
  store: Store,
  files: readonly ManifestFile[],
  defaults: RenderDefaults,
): Promise<ClusterFiles> {
  const loaded = loadManifests(files);
  const templates = await store.listTemplates();
  const known = { hardware: await store.listHardware(), templates, workflows: await store.listWorkflows() };
  const plan = planApply(loaded, known, defaults);
  const { definitions } = clusterDefinitions(loaded, { templates });
  const problems = [...loaded.problems, ...plan.problems];
  if (problems.length > 0) {
    const count = problems.length === 1 ? 'one problem' : `${problems.length} problems`;
    throw new TinsmithError('invalid_input', `nothing was changed: the files have ${count}`, { problems });
  }
  const [definition, second] = definitions;
  if (definition === undefined || second !== undefined) {
    const names = definitions.map(({ value }) => value.cluster.name).join(', ');
    const fact = definition === undefined ? 'the files hold no Cluster' : `the files hold several clusters (${names})`;
    throw new TinsmithError('invalid_input', `nothing was changed: ${fact}; name the files of one`);
  }
  const hardware = loaded.hardware.map(({ value }) => value);
  return { definition: definition.value, hardware, warnings: [...loaded.warnings, ...plan.warnings] };
}
