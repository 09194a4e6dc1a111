import { isIPv6 } from 'node:net';
import type { RegistryMirror } from '../../manifests/cluster-kind.ts';
import type { NodeFile } from './cloud-config.ts';

/** containerd's folder of registries, and its name for all that have no folder of their own. */
const HOSTS_FOLDER = '/etc/containerd/certs.d';
const EVERY_REGISTRY = '_default';

/** One registry and where its images are fetched from instead. */
export interface MirroredRegistry {
  /** Undefined: every registry. */
  readonly registry: string | undefined;
  /** `https://mirror.example:443/v2/namespace`, or without the path. */
  readonly url: string;
}

/** Without namespaces the mirror stands for every registry: our images, unlike EKS Anywhere's, come from more than one. */
export function mirroredRegistries(mirror: RegistryMirror): readonly MirroredRegistry[] {
  const base = mirrorUrl(mirror);
  if (mirror.ociNamespaces.length === 0) return [{ registry: undefined, url: base }];
  return mirror.ociNamespaces.map(({ registry, namespace }) => ({
    registry,
    url: namespace === '' ? base : `${base}/v2/${namespace}`,
  }));
}

export function mirrorUrl({ endpoint, port }: RegistryMirror): string {
  return `https://${mirrorHost({ endpoint, port })}`;
}

export function mirrorHost({ endpoint, port }: Pick<RegistryMirror, 'endpoint' | 'port'>): string {
  return `${isIPv6(endpoint) ? `[${endpoint}]` : endpoint}:${port}`;
}

/** containerd's hosts.toml of every mirrored registry, and the mirror's authority beside it. */
export function containerdMirrorFiles(mirror: RegistryMirror): readonly NodeFile[] {
  const authority = `${HOSTS_FOLDER}/mirror-ca.crt`;
  const { caCertContent } = mirror;
  const files = mirroredRegistries(mirror).map(({ registry, url }): NodeFile => {
    const lines = [
      ...(registry === undefined ? [] : [`server = "https://${registry}"`, '']),
      `[host."${url}"]`,
      '  capabilities = ["pull", "resolve"]',
      // The path is whole: containerd is not to put /v2 in front of it.
      ...(url.includes('/v2/') ? ['  override_path = true'] : []),
      ...(caCertContent === undefined ? [] : [`  ca = "${authority}"`]),
      ...(mirror.insecureSkipVerify ? ['  skip_verify = true'] : []),
    ];
    const path = `${HOSTS_FOLDER}/${registry ?? EVERY_REGISTRY}/hosts.toml`;
    return { path, content: `${lines.join('\n')}\n`, permissions: '0644' };
  });
  if (caCertContent === undefined) return files;
  return [...files, { path: authority, content: caCertContent, permissions: '0644' }];
}
