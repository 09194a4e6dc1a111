import { readFileSync } from 'node:fs';
import { TinsmithError } from '#proto/errors.ts';
import type { ClusterDefinition, ClusterManifest } from '../manifests/cluster-kind.ts';
import { loadManifests } from '../manifests/load-manifests.ts';
import type { TemplateManifest } from '../manifests/template-kind.ts';
import { osFamilyOf } from './bootstrap/os-family.ts';
import type { NodeGroup } from './node-groups.ts';

/**
 * The default template of a group's OS family as a TinkerbellTemplateConfig, YAML with its comments: what is left to fill in are
 * the holes for each machine. `metadataUrl`: base URL of this server's metadata service, `http://10.0.0.1:7172`.
 * Throws `invalid_input` if the group names no image.
 */
export function defaultTemplateText(definition: ClusterDefinition, group: NodeGroup, metadataUrl: string): string {
  const { cluster, datacenter } = definition;
  const { osImageURL = datacenter.osImageURL, name } = group.machineConfig;
  const osFamily = osFamilyOf(group.machineConfig);
  if (osImageURL === undefined) {
    const fix = 'set osImageURL there or in the TinkerbellDatacenterConfig, or name a templateRef';
    throw new TinsmithError('invalid_input', `TinkerbellMachineConfig ${name} names no image: ${fix}`);
  }
  const urls = metadataUrls(metadataUrl, datacenter.tinkerbellIP);
  return fillIn(readFileSync(new URL(`./templates/${osFamily}.yaml`, import.meta.url), 'utf8'), {
    template: templateName(cluster, group),
    cluster: cluster.name,
    osImageUrl: osImageURL,
    metadataUrls: urls.join(','),
    metadataUrlList: urls.join(', '),
    metadataUrlQuotedList: urls.map((url) => `'${url}'`).join(', '),
    ...proxyWords(cluster, urls),
  });
}

/** The same, read as every TinkerbellTemplateConfig is. */
export function defaultTemplate(
  definition: ClusterDefinition,
  group: NodeGroup,
  metadataUrl: string,
): TemplateManifest {
  const osFamily = osFamilyOf(group.machineConfig);
  const text = defaultTemplateText(definition, group, metadataUrl);
  const { templates, problems } = loadManifests([{ name: `${osFamily}.yaml`, text }]);
  const [template] = templates;
  if (template !== undefined && problems.length === 0) return template.value;
  const what = `the default template of ${osFamily}, filled in for the group ${group.name},`;
  throw new TinsmithError('invalid_template', `${what} is not valid: ${problems[0]?.message ?? 'it is empty'}`, {
    problems,
  });
}

/** Name of the Template that a group's nodes are made from. */
export function templateName(cluster: Pick<ClusterManifest, 'name'>, group: Pick<NodeGroup, 'name'>): string {
  return `${cluster.name}-${group.name}`;
}

/** Where the nodes ask for their metadata: this server, and the tinkerbellIP if that is another address. */
export function metadataUrls(metadataUrl: string, tinkerbellIP: string): readonly string[] {
  const url = new URL(metadataUrl);
  url.hostname = tinkerbellIP;
  return [...new Set([metadataUrl, url.origin])];
}

/** The metadata service is never reached through a proxy. */
function proxyWords({ proxy }: ClusterManifest, urls: readonly string[]): Words {
  if (proxy === undefined) return {};
  const noProxy = [...new Set([...proxy.except, ...urls.map((url) => new URL(url).hostname)])].join(',');
  return { httpProxy: proxy.http, httpsProxy: proxy.https, noProxy };
}

type Words = Readonly<Record<string, string>>;

/** Replaces `@word@`; a quoted word becomes a YAML text. A line whose word has no value is left out. */
function fillIn(text: string, words: Words): string {
  return text
    .split('\n')
    .filter((line) => [...line.matchAll(WORD)].every(([, word]) => words[word ?? ''] !== undefined))
    .map((line) =>
      line
        .replace(QUOTED_WORD, (_, word: string) => JSON.stringify(words[word]))
        .replace(WORD, (_, word: string) => words[word] ?? ''),
    )
    .join('\n');
}

const WORD = /@([a-zA-Z]+)@/g;
const QUOTED_WORD = /"@([a-zA-Z]+)@"/g;
