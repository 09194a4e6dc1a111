import { isIP, isIPv4 } from 'node:net';
import {
  BOND_MODES,
  type BondSpec,
  type EthernetSpec,
  HASH_POLICIES,
  type NetworkSpec,
  type VlanSpec,
} from '#proto/network/network-spec.ts';
import { didYouMean } from './did-you-mean.ts';
import { faultOfIp, faultOfMac, normaliseMac } from './network-address.ts';
import {
  boolean,
  entry,
  integer,
  item,
  list,
  object,
  optional,
  type Reader,
  record,
  refined,
  refuse,
  required,
  text,
  word,
  type YamlValue,
} from './yaml-reader.ts';

const readMac: Reader<string> = refined(text(faultOfMac), (mac) => normaliseMac(mac));

/** An address or network with its prefix length. */
function faultOfPrefixed(written: string): string | undefined {
  const [address = '', length, ...more] = written.split('/');
  const longest = isIPv4(address) ? 32 : 128;
  const isLength = length !== undefined && /^\d{1,3}$/.test(length) && Number(length) <= longest;
  if (isIP(address) !== 0 && isLength && more.length === 0) return undefined;
  return 'is no address with a prefix length: write it like 10.0.0.5/24';
}

function faultOfDestination(written: string): string | undefined {
  if (written === 'default' || faultOfPrefixed(written) === undefined) return undefined;
  return 'is no destination: write default, or a network like 10.2.0.0/16';
}

/** Linux takes 15 bytes; what is no word could be read as something else in one of the files that it goes to. */
function faultOfLinkName(name: string): string | undefined {
  return /^[A-Za-z0-9][\w.-]{0,14}$/.test(name)
    ? undefined
    : 'is no name of an interface: use up to 15 letters, digits, ".", "_" and "-"';
}

function faultOfDomain(name: string): string | undefined {
  return /^[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?$/.test(name) ? undefined : 'is no domain';
}

const LINK_FIELDS = {
  addresses: optional(list(text(faultOfPrefixed))),
  routes: optional(
    list(
      object({
        to: required(text(faultOfDestination)),
        via: required(text(faultOfIp)),
        metric: optional(integer(1, 4_294_967_295)),
      }),
    ),
  ),
  nameservers: optional(
    object({ addresses: optional(list(text(faultOfIp))), search: optional(list(text(faultOfDomain))) }),
  ),
  mtu: optional(integer(576, 65_535)),
  dhcp4: optional(boolean()),
} as const;

const DELAY = optional(integer(0, 3_600_000));

const readEthernet: Reader<EthernetSpec> = object({
  ...LINK_FIELDS,
  macaddress: required(readMac),
  name: optional(text(faultOfLinkName)),
});

const readBond: Reader<BondSpec> = object({
  ...LINK_FIELDS,
  interfaces: required(list(text())),
  parameters: optional(
    object({
      mode: optional(word(BOND_MODES)),
      'lacp-rate': optional(word(['slow', 'fast'])),
      'mii-monitor-interval': optional(integer(1, 3_600_000)),
      'up-delay': DELAY,
      'down-delay': DELAY,
      'min-links': optional(integer(1, 64)),
      'transmit-hash-policy': optional(word(HASH_POLICIES)),
    }),
  ),
});

const readVlan: Reader<VlanSpec> = object({
  ...LINK_FIELDS,
  id: required(integer(1, 4094)),
  link: required(text()),
});

/** `spec.network` of a Hardware: MACs in any notation become lower case with colons, also where bonds and VLANs name them. */
export const readNetwork: Reader<NetworkSpec> = refined(
  object({
    ethernets: optional(record(readEthernet, faultOfLinkName)),
    bonds: optional(record(readBond, faultOfLinkName)),
    vlans: optional(record(readVlan, faultOfLinkName)),
  }),
  (network, value) => (checkReferences(network, value) ? withPlainMacs(network) : undefined),
);

/** Whether everything that is referred to exists and may be used that way; the faults are among the findings. */
function checkReferences(network: NetworkSpec, value: YamlValue): boolean {
  const before = value.scope.findings.problemCount;
  checkNames(network, value);
  checkMacs(network, value);
  checkBonds(network, value);
  const bases = [...Object.keys(network.ethernets ?? {}), ...Object.keys(network.bonds ?? {})];
  for (const [name, { link }] of Object.entries(network.vlans ?? {})) {
    if (bases.includes(link) || faultOfMac(link) === undefined) continue;
    const hint = didYouMean(link, bases) || ': name an ethernet or a bond, or write its MAC';
    refuse(
      at(value, 'vlans', name, 'link'),
      `${value.path}.vlans.${name}.link ${link} is none of its links${hint}`,
      link,
    );
  }
  return value.scope.findings.problemCount === before;
}

function checkNames({ ethernets = {}, bonds = {}, vlans = {} }: NetworkSpec, value: YamlValue): void {
  const seen = new Map(Object.keys(ethernets).map((name) => [name, 'ethernets']));
  for (const [group, names] of [
    ['bonds', bonds],
    ['vlans', vlans],
  ] as const) {
    for (const name of Object.keys(names)) {
      const other = seen.get(name);
      if (other !== undefined) {
        refuse(
          at(value, group, name),
          `${value.path}.${group}.${name} has the name of one of the ${other}: choose another`,
        );
      }
      seen.set(name, group);
    }
  }
}

function checkMacs({ ethernets = {} }: NetworkSpec, value: YamlValue): void {
  const seen = new Map<string, string>();
  for (const [name, { macaddress }] of Object.entries(ethernets)) {
    const other = seen.get(macaddress);
    if (other !== undefined) {
      const fact = `${value.path}.ethernets.${name} has the MAC of ${other} (${macaddress}): a card has one entry`;
      refuse(at(value, 'ethernets', name, 'macaddress'), fact);
    }
    seen.set(macaddress, name);
  }
}

function checkBonds(network: NetworkSpec, value: YamlValue): void {
  const taken = new Map<string, string>();
  for (const [bond, { interfaces }] of Object.entries(network.bonds ?? {})) {
    const where = at(value, 'bonds', bond, 'interfaces');
    if (interfaces.length === 0) refuse(where, `${where.path} is empty: name the cards of the bond`);
    for (const [index, member] of interfaces.entries()) {
      const place = item(where, index) ?? where;
      const mac = macOfMember(network, member, place);
      if (mac === undefined) continue;
      const owner = taken.get(mac);
      const fault =
        owner === undefined ? faultOfMember(network, mac, bond) : `is part of ${owner} already: a card is in one bond`;
      if (fault !== undefined) refuse(place, `${place.path} ${member} ${fault}`, member);
      taken.set(mac, bond);
    }
  }
}

function macOfMember({ ethernets = {} }: NetworkSpec, member: string, place: YamlValue): string | undefined {
  const mac = ethernets[member]?.macaddress ?? (faultOfMac(member) === undefined ? normaliseMac(member) : undefined);
  if (mac !== undefined) return mac;
  const hint = didYouMean(member, Object.keys(ethernets)) || ': name one, or write a MAC';
  return refuse(place, `${place.path} ${member} is none of the ethernets${hint}`, member);
}

function faultOfMember({ ethernets = {} }: NetworkSpec, mac: string, bond: string): string | undefined {
  const card = Object.values(ethernets).find(({ macaddress }) => macaddress === mac);
  const hasOwn = (card?.addresses ?? []).length > 0 || card?.dhcp4 === true;
  return hasOwn ? `has addresses of its own: give them to ${bond}` : undefined;
}

/** The value that a path leads to, as far as it exists. */
function at(value: YamlValue, ...path: readonly string[]): YamlValue {
  return path.reduce((found, key) => entry(found, key) ?? found, value);
}

function withPlainMacs({ ethernets, bonds, vlans }: NetworkSpec): NetworkSpec {
  const known = new Set([...Object.keys(ethernets ?? {}), ...Object.keys(bonds ?? {})]);
  const plain = (reference: string): string =>
    known.has(reference) ? reference : (normaliseMac(reference) ?? reference);
  return {
    ...(ethernets && { ethernets }),
    ...(bonds && {
      bonds: mapped(bonds, (bond) => ({ ...bond, interfaces: bond.interfaces.map((name) => plain(name)) })),
    }),
    ...(vlans && { vlans: mapped(vlans, (vlan) => ({ ...vlan, link: plain(vlan.link) })) }),
  };
}

function mapped<T>(entries: Readonly<Record<string, T>>, change: (value: T) => T): Readonly<Record<string, T>> {
  return Object.fromEntries(Object.entries(entries).map(([name, value]) => [name, change(value)]));
}
