import { TinsmithError } from '#proto/errors.ts';
import { clusterDefinitions } from '../manifests/cluster-definitions.ts';
import { listed } from '../manifests/findings.ts';
import { loadManifests, type ManifestFile } from '../manifests/load-manifests.ts';
import type { OsFamily } from '../manifests/machine-config-kind.ts';
import { defaultTemplateText } from './default-template.ts';
import { nodeGroups } from './node-groups.ts';

export interface TemplateRequest {
  /** Absent: that of the machine config. */
  readonly osFamily?: string;
  /** Name of a group; absent: all. */
  readonly group?: string;
  /** Absent: the tinkerbellIP's, at this port. */
  readonly metadataUrl?: string;
  readonly metadataPort: number;
}

const FAMILIES: readonly OsFamily[] = ['ubuntu', 'redhat', 'bottlerocket'];

/** The default template of each group of the one cluster in the files. Throws `invalid_input` with every problem of them. */
export function generateTemplates(files: readonly ManifestFile[], request: TemplateRequest): string {
  const loaded = loadManifests(files);
  const resolved = clusterDefinitions(loaded, { templates: [] });
  const problems = [...loaded.problems, ...resolved.problems];
  if (problems.length > 0) {
    const count = problems.length === 1 ? 'one problem' : `${problems.length} problems`;
    throw new TinsmithError('invalid_input', `the files have ${count}`, { problems });
  }
  const [located] = resolved.definitions;
  if (located === undefined || resolved.definitions.length > 1) {
    const names = resolved.definitions.map(({ value }) => value.cluster.name);
    const fact = names.length === 0 ? 'no Cluster' : `several Clusters (${listed(names)})`;
    throw new TinsmithError('invalid_input', `the files hold ${fact}: a template is made for one cluster`);
  }
  const definition = located.value;
  const groups = nodeGroups(definition);
  const chosen = groups.filter(({ name }) => request.group === undefined || name === request.group);
  if (chosen.length === 0) {
    const names = listed(groups.map(({ name }) => name));
    throw new TinsmithError('not_found', `there is no group ${request.group}: there are ${names}`);
  }
  const { osFamily, metadataUrl = `http://${definition.datacenter.tinkerbellIP}:${request.metadataPort}` } = request;
  const family = FAMILIES.find((known) => known === osFamily);
  const texts = chosen.map((group) => {
    const machineConfig = { ...group.machineConfig, ...(family !== undefined && { osFamily: family }) };
    return defaultTemplateText(definition, { ...group, machineConfig }, metadataUrl);
  });
  return texts.join('---\n');
}
