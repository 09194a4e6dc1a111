import type { ClusterDefinition } from '../../manifests/cluster-kind.ts';
import type { NodeFile } from './cloud-config.ts';
import { mirrorHost } from './registry-mirror.ts';

export interface NodeProxy {
  readonly http: string;
  readonly https: string;
  /** What is inside of the cluster and what provisions it never goes through the proxy. */
  readonly except: readonly string[];
}

export function nodeProxy({ cluster, datacenter }: ClusterDefinition): NodeProxy | undefined {
  const { proxy, registryMirror } = cluster;
  if (proxy === undefined) return undefined;
  const except = new Set([
    ...proxy.except,
    'localhost',
    '127.0.0.1',
    '.svc',
    '.cluster.local',
    cluster.podCidr,
    cluster.serviceCidr,
    cluster.controlPlane.endpointHost,
    datacenter.tinkerbellIP,
    ...(registryMirror === undefined ? [] : [registryMirror.endpoint, mirrorHost(registryMirror)]),
  ]);
  return { http: proxy.http, https: proxy.https, except: [...except] };
}

/** A drop-in that gives the proxy to a systemd service. A user's name and password may be in it. */
export function proxyDropIn(service: string, { http, https, except }: NodeProxy): NodeFile {
  const variables = { HTTP_PROXY: http, HTTPS_PROXY: https, NO_PROXY: except.join(',') };
  const lines = Object.entries(variables).map(([name, value]) => `Environment="${name}=${systemdText(value)}"`);
  const content = `[Service]\n${lines.join('\n')}\n`;
  return { path: `/etc/systemd/system/${service}.service.d/http-proxy.conf`, content, permissions: '0600' };
}

/** In double quotes of a unit file; `%` begins a specifier. */
function systemdText(value: string): string {
  return value.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('%', '%%');
}
