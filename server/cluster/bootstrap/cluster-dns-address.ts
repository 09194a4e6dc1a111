import { isIPv6 } from 'node:net';

/** Where kubeadm puts the cluster's DNS: the tenth address of the services. `10.96.0.0/12` → `10.96.0.10` */
export function clusterDnsAddress(serviceCidr: string): string {
  const [network = ''] = serviceCidr.split('/');
  if (isIPv6(network)) return network.endsWith('::') ? `${network}a` : `${network.replace(/:[^:]*$/, '')}:a`;
  const last = network.lastIndexOf('.');
  return `${network.slice(0, last + 1)}${Number(network.slice(last + 1)) + 10}`;
}
