import { isIP, isIPv6 } from 'node:net';
import type { ClusterManifest } from '../../manifests/cluster-kind.ts';

export const API_PORT = 6443;

/** `10.0.0.10:6443`, `[fd00::10]:6443` */
export function apiEndpoint({ controlPlane }: Pick<ClusterManifest, 'controlPlane'>): string {
  const { endpointHost } = controlPlane;
  return `${isIPv6(endpointHost) ? `[${endpointHost}]` : endpointHost}:${API_PORT}`;
}

export function apiUrl(cluster: Pick<ClusterManifest, 'controlPlane'>): string {
  return `https://${apiEndpoint(cluster)}`;
}

/** Length of the prefix that kube-vip gives to the address: itself and nothing else. */
export function endpointPrefixLength({ controlPlane }: Pick<ClusterManifest, 'controlPlane'>): number {
  return isIP(controlPlane.endpointHost) === 6 ? 128 : 32;
}
