import { isIPv4, isIPv6 } from 'node:net';

/** What the address plan of one interface says, as written. */
export interface AddressPlan {
  readonly address: string;
  readonly netmask: string;
  readonly gateway?: string;
}

/** A fault of one part of an address plan: which part, and what is wrong with the fix. */
export interface AddressFault {
  readonly part: keyof AddressPlan;
  readonly fault: string;
}

/** An Ethernet address in lower case with colons; `undefined` if the text is none. Takes `:`, `-`, `.` groups and bare hex. */
export function normaliseMac(text: string): string | undefined {
  const separated = /^[0-9a-f]{2}([:-])(?:[0-9a-f]{2}\1){4}[0-9a-f]{2}$/i.test(text);
  const dotted = /^(?:[0-9a-f]{4}\.){2}[0-9a-f]{4}$/i.test(text);
  const bare = /^[0-9a-f]{12}$/i.test(text);
  if (!separated && !dotted && !bare) return undefined;
  const digits = text.toLowerCase().replaceAll(/[^0-9a-f]/g, '');
  return digits.replaceAll(/..(?!$)/g, '$&:');
}

/** Says what is wrong with the MAC of a machine, and the fix. */
export function faultOfMac(text: string): string | undefined {
  const mac = normaliseMac(text);
  if (mac === undefined) return 'is not a MAC address: write six pairs of hex digits, like 08:00:27:99:5b:b7';
  if (mac === '00:00:00:00:00:00') return 'is the empty MAC address: write the one of the network card';
  const isGroup = (Number.parseInt(mac.slice(0, 2), 16) & 1) === 1;
  return isGroup ? 'is a multicast address: no network card has it, check the first pair' : undefined;
}

/** Says what is wrong with the address of a server, of either family, and the fix. */
export function faultOfIp(text: string): string | undefined {
  return isIPv6(text) ? undefined : faultOfIpv4(text);
}

export function faultOfIpv4(text: string): string | undefined {
  if (isIPv4(text)) return undefined;
  if (isIPv6(text)) return 'is an IPv6 address: write an IPv4 address';
  return 'is not an IP address: write four numbers from 0 to 255, like 192.168.10.31';
}

/** Length of a netmask's prefix; `undefined` if it is no contiguous mask of an IPv4 network. */
export function prefixOfNetmask(netmask: string): number | undefined {
  if (!isIPv4(netmask)) return undefined;
  const bits = toNumber(netmask).toString(2).padStart(32, '0');
  return /^1*0*$/.test(bits) ? bits.replaceAll('0', '').length : undefined;
}

/** Every fault of an IPv4 plan: each address by itself, then whether they fit together. */
export function faultsOfAddressPlan(plan: AddressPlan): AddressFault[] {
  const faults: AddressFault[] = [];
  const note = (part: keyof AddressPlan, fault: string | undefined) => {
    if (fault !== undefined) faults.push({ part, fault });
  };
  note('address', faultOfIpv4(plan.address));
  note('netmask', faultOfNetmask(plan.netmask));
  if (plan.gateway !== undefined) note('gateway', faultOfIpv4(plan.gateway));
  if (faults.length > 0) return faults;
  note('address', faultOfHostAddress(plan.address, plan.netmask));
  if (plan.gateway === undefined) return faults;
  note('gateway', faultOfHostAddress(plan.gateway, plan.netmask));
  note('address', faultOfNeighbourhood(plan.address, plan.gateway, plan.netmask));
  return faults;
}

function faultOfNetmask(text: string): string | undefined {
  const prefix = prefixOfNetmask(text);
  if (prefix !== undefined)
    return prefix === 0 ? 'covers every address: write the mask of the machine’s subnet' : undefined;
  const written = /^\/?(\d{1,2})$/.exec(text)?.[1];
  const length = written === undefined ? undefined : Number(written);
  if (length !== undefined && length >= 1 && length <= 32) {
    return `is a prefix length: write the mask ${netmaskOfPrefix(length)}`;
  }
  if (isIPv4(text)) return 'has holes: a netmask is ones and then zeros, like 255.255.255.0';
  return 'is not a netmask: write it like 255.255.255.0';
}

function faultOfHostAddress(address: string, netmask: string): string | undefined {
  const hostBits = ~toNumber(netmask) >>> 0;
  if (hostBits <= 1) return undefined;
  const host = (toNumber(address) & hostBits) >>> 0;
  if (host === 0) return `is the network address of its subnet (netmask ${netmask}): choose one inside it`;
  return host === hostBits
    ? `is the broadcast address of its subnet (netmask ${netmask}): choose one inside it`
    : undefined;
}

function faultOfNeighbourhood(address: string, gateway: string, netmask: string): string | undefined {
  if (address === gateway) return 'is the gateway’s address as well: give the machine its own';
  const mask = toNumber(netmask);
  if ((toNumber(address) & mask) === (toNumber(gateway) & mask)) return undefined;
  return `is outside the gateway’s subnet (gateway ${gateway}, netmask ${netmask}): correct one of the three`;
}

/** Says what is wrong with an IPv4 network, `192.168.0.0/16`, and the fix. */
export function faultOfCidr(text: string): string | undefined {
  const [address = '', length = ''] = text.split('/');
  if (isIPv6(address)) return 'is an IPv6 network: write an IPv4 network, like 192.168.0.0/16';
  if (!isIPv4(address) || !/^([1-9]|[12]\d|3[0-2])$/.test(length) || text !== `${address}/${length}`) {
    return 'is not a network: write its first address and prefix length, like 192.168.0.0/16';
  }
  return undefined;
}

/** A checked network, written with its first address: 10.96.0.1/12 → 10.96.0.0/12. */
export function canonicalCidr(cidr: string): string {
  return `${toAddress(firstOf(cidr))}/${prefixOfCidr(cidr)}`;
}

/** Length of a checked network's prefix. */
export function prefixOfCidr(cidr: string): number {
  return Number(cidr.slice(cidr.indexOf('/') + 1));
}

/** Whether two checked networks have an address in common; an address alone is a network of one. */
export function doNetworksOverlap(a: string, b: string): boolean {
  const [wide, narrow] = lastOf(a) - firstOf(a) >= lastOf(b) - firstOf(b) ? [a, b] : [b, a];
  return firstOf(wide) <= firstOf(narrow) && lastOf(narrow) <= lastOf(wide);
}

function firstOf(cidr: string): number {
  const [address = '', length = '32'] = cidr.split('/');
  return (toNumber(address) & maskOfPrefix(Number(length))) >>> 0;
}

function lastOf(cidr: string): number {
  const [, length = '32'] = cidr.split('/');
  return (firstOf(cidr) | ~maskOfPrefix(Number(length))) >>> 0;
}

function netmaskOfPrefix(length: number): string {
  return toAddress(maskOfPrefix(length));
}

function maskOfPrefix(length: number): number {
  return (0xffff_ffff << (32 - length)) >>> 0;
}

function toAddress(number: number): string {
  return [24, 16, 8, 0].map((shift) => (number >>> shift) & 255).join('.');
}

function toNumber(address: string): number {
  return address.split('.').reduce((sum, octet) => sum * 256 + Number(octet), 0);
}
