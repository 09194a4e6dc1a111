import { isIPv6 } from 'node:net';

const TENTH = 10;

/** Where kubeadm puts the cluster's DNS: the tenth address of the services' network. `10.96.0.0/12` → `10.96.0.10` */
export function clusterDnsAddress(serviceCidr: string): string {
  const [address = '', length = ''] = serviceCidr.split('/');
  const isV6 = isIPv6(address);
  const [bits, groupBits] = isV6 ? [128, 16] : [32, 8];
  const groups = isV6 ? v6Groups(address) : address.split('.').map(Number);
  const value = groups.reduce((sum, group) => (sum << BigInt(groupBits)) | BigInt(group), 0n);
  const hostBits = BigInt(bits - Number(length));
  const found = ((value >> hostBits) << hostBits) + BigInt(TENTH);
  const mask = (1n << BigInt(groupBits)) - 1n;
  const parts = groups.map((_, index) => (found >> BigInt(bits - groupBits * (index + 1))) & mask);
  // URL writes IPv6 in its one canonical form.
  return isV6
    ? new URL(`http://[${parts.map((part) => part.toString(16)).join(':')}]`).hostname.slice(1, -1)
    : parts.join('.');
}

function v6Groups(address: string): readonly number[] {
  const [head = '', tail] = new URL(`http://[${address}]`).hostname.slice(1, -1).split('::');
  const [before, after] = [numbers(head), numbers(tail ?? '')];
  return [...before, ...Array<number>(8 - before.length - after.length).fill(0), ...after];
}

function numbers(text: string): readonly number[] {
  return text === '' ? [] : text.split(':').map((group) => Number.parseInt(group, 16));
}
