import type { HardwareFacts, InterfaceFacts } from '../actions/facts.ts';
import { TinsmithError } from '../errors.ts';
import type { BondParameters, EthernetSpec, NetworkSpec, RouteSpec } from './network-spec.ts';

/** One link of the installed system, with everything decided; what it stands on comes before it. */
export type NetworkLink = Ethernet | Bond | Vlan;

interface Addressing {
  readonly name: string;
  /** With prefix length. */
  readonly addresses: readonly string[];
  readonly routes: readonly RouteSpec[];
  readonly nameServers: readonly string[];
  readonly searchDomains: readonly string[];
  readonly mtu?: number;
  readonly dhcp4: boolean;
}

export interface Ethernet extends Addressing {
  readonly kind: 'ethernet';
  readonly mac: string;
  /** What the system is to call it. */
  readonly setName?: string;
  /** What the system calls it by itself, as far as the record tells. */
  readonly knownAs?: string;
  /** Name of the bond that it is part of. */
  readonly bond?: string;
}

export interface Bond extends Addressing {
  readonly kind: 'bond';
  /** Names of ethernets. */
  readonly members: readonly string[];
  readonly parameters: BondParameters & Required<Pick<BondParameters, 'mode' | 'mii-monitor-interval'>>;
}

export interface Vlan extends Addressing {
  readonly kind: 'vlan';
  readonly id: number;
  /** Name of an ethernet or a bond. */
  readonly link: string;
}

/**
 * The links of a machine's installed system, from its record. `only`: a MAC or VLAN id (also as in Linux' `eth0.120`) of the one
 * interface that is wanted, if the record has no `network`; anything else is ignored. Throws `invalid_params` if nothing has an
 * address.
 */
export function networkLinks(facts: HardwareFacts, only?: string): readonly NetworkLink[] {
  const links = facts.network === undefined ? plainLinks(facts, only) : describedLinks(facts, facts.network);
  if (links.some(({ addresses, dhcp4 }) => addresses.length > 0 || dhcp4)) return withOneDefault(links, facts);
  throw new TinsmithError(
    'invalid_params',
    `cannot write a network file for ${facts.hardware}: no interface of its record has an address, set dhcp.ip.address`,
  );
}

function plainLinks(facts: HardwareFacts, only: string | undefined): readonly NetworkLink[] {
  const usable = facts.interfaces.filter(hasAddress);
  const wanted = only?.toLowerCase();
  const named = usable.filter((entry) => wanted !== undefined && isNamed(entry, wanted));
  return (named.length > 0 ? named : usable).flatMap(plainLink);
}

/** A card that only the record's `dhcp` describes: with a VLAN above it if that says so. */
function plainLink(entry: InterfaceFacts, index: number): readonly NetworkLink[] {
  const { name: knownAs, vlanId } = entry;
  const card = { kind: 'ethernet', mac: entry.mac.toLowerCase(), ...(knownAs && { knownAs }) } as const;
  if (vlanId === undefined || vlanId === '') return [{ ...card, name: `id${index}`, ...recorded(entry) }];
  const name = index === 0 ? 'mainif' : `mainif${index}`;
  return [
    { ...card, setName: name, name, ...NOTHING },
    { kind: 'vlan', name: `vlan${vlanId}`, id: Number(vlanId), link: name, ...recorded(entry) },
  ];
}

function describedLinks(facts: HardwareFacts, network: NetworkSpec): readonly NetworkLink[] {
  const cards = new Cards(network);
  const used = new Set<InterfaceFacts>();
  const recordOf = (macs: readonly string[], vlan?: number): InterfaceFacts | undefined => {
    const found = facts.interfaces.find(
      (entry) =>
        hasAddress(entry) &&
        macs.includes(entry.mac.toLowerCase()) &&
        (entry.vlanId ?? '') === (vlan === undefined ? '' : String(vlan)),
    );
    if (found !== undefined) used.add(found);
    return found;
  };
  const bonds = Object.entries(network.bonds ?? {}).map(([name, spec]): Bond => {
    const members = spec.interfaces.map((member) => cards.named(member, name));
    const macs = members.map((member) => cards.macOf(member));
    const parameters = { mode: 'active-backup', 'mii-monitor-interval': 100, ...spec.parameters } as const;
    return { kind: 'bond', name, members, parameters, ...addressing(spec, recordOf(macs)) };
  });
  const vlans = Object.entries(network.vlans ?? {}).map(([name, spec]): Vlan => {
    const bond = bonds.find((each) => each.name === spec.link);
    const link = bond?.name ?? cards.named(spec.link);
    const macs = (bond?.members ?? [link]).map((member) => cards.macOf(member));
    return { kind: 'vlan', name, id: spec.id, link, ...addressing(spec, recordOf(macs, spec.id)) };
  });
  const ethernets = cards.list().map(({ name, mac, spec, bond }): Ethernet => {
    const of = bond === undefined ? recordOf([mac]) : undefined;
    const named = spec.name === undefined ? {} : { setName: spec.name, knownAs: spec.name };
    return { kind: 'ethernet', name, mac, ...named, ...(bond !== undefined && { bond }), ...addressing(spec, of) };
  });
  // A card that is described for another reason keeps the VLAN of its record.
  const untold = facts.interfaces.flatMap((entry): readonly Vlan[] => {
    const card = cards.list().find(({ mac }) => mac === entry.mac.toLowerCase());
    const id = Number(entry.vlanId ?? '');
    if (card === undefined || !hasAddress(entry) || used.has(entry) || id === 0) return [];
    if (vlans.some((vlan) => vlan.id === id)) return [];
    return [{ kind: 'vlan', name: `vlan${id}`, id, link: card.bond ?? card.name, ...recorded(entry) }];
  });
  const rest = facts.interfaces.filter((entry) => hasAddress(entry) && !used.has(entry) && !cards.has(entry.mac));
  return [...ethernets, ...rest.flatMap((entry, index) => plainLink(entry, index)), ...bonds, ...vlans, ...untold];
}

interface Card {
  readonly name: string;
  readonly mac: string;
  readonly spec: Partial<EthernetSpec>;
  bond?: string;
}

/** The cards that a record's `network` speaks of: by name, or by MAC alone, in which case they get a name. */
class Cards {
  readonly #cards = new Map<string, Card>();

  constructor({ ethernets = {} }: NetworkSpec) {
    for (const [name, spec] of Object.entries(ethernets)) {
      this.#cards.set(name, { name, mac: spec.macaddress.toLowerCase(), spec });
    }
  }

  list(): readonly Card[] {
    return [...this.#cards.values()];
  }

  has(mac: string): boolean {
    return this.list().some((card) => card.mac === mac.toLowerCase());
  }

  /** The name of a card that is told by its name or MAC; `bond`: what it becomes part of. */
  named(reference: string, bond?: string): string {
    const mac = reference.toLowerCase();
    let card = this.#cards.get(reference) ?? this.list().find((each) => each.mac === mac);
    if (card === undefined) {
      card = { name: `nic${mac.replaceAll(':', '')}`, mac, spec: {} };
      this.#cards.set(card.name, card);
    }
    if (bond !== undefined) card.bond = bond;
    return card.name;
  }

  macOf(name: string): string {
    return this.#cards.get(name)?.mac ?? name;
  }
}

const NOTHING = { addresses: [], routes: [], nameServers: [], searchDomains: [], dhcp4: false } as const;

type LinkSpec = Pick<EthernetSpec, 'addresses' | 'routes' | 'nameservers' | 'mtu' | 'dhcp4'>;

/** What the author wrote of a link; where that leaves out addresses, those of the record. */
function addressing(spec: LinkSpec, entry: InterfaceFacts | undefined): Omit<Addressing, 'name'> {
  const isWritten = spec.addresses !== undefined || spec.dhcp4 === true || entry === undefined;
  const base = isWritten ? { ...NOTHING, addresses: spec.addresses ?? [] } : recorded(entry);
  const written = spec.routes ?? [];
  const own = written.some(({ to }) => to === 'default') ? [] : base.routes;
  return {
    addresses: base.addresses,
    routes: [...own, ...written],
    nameServers: spec.nameservers?.addresses ?? base.nameServers,
    searchDomains: spec.nameservers?.search ?? [],
    dhcp4: spec.dhcp4 === true,
    ...(spec.mtu !== undefined && { mtu: spec.mtu }),
  };
}

function recorded(entry: InterfaceFacts): Omit<Addressing, 'name'> {
  const { gateway } = entry;
  return {
    ...NOTHING,
    addresses: [`${entry.address}/${prefixLength(entry)}`],
    routes: gateway === undefined || gateway === '' ? [] : [{ to: 'default', via: gateway }],
    nameServers: entry.nameServers,
  };
}

/**
 * One way out of the machine for each family: a written one before those of the record, whose first interface comes first. The
 * others get a metric, or a system would see a contradiction.
 */
function withOneDefault(links: readonly NetworkLink[], { interfaces }: HardwareFacts): readonly NetworkLink[] {
  const rank = ({ via }: RouteSpec): number => interfaces.findIndex(({ gateway }) => gateway === via);
  const ways = links
    .flatMap(({ routes }) => routes.filter(({ to, metric }) => to === 'default' && metric === undefined))
    .toSorted((a, b) => rank(a) - rank(b));
  const metricOf = (route: RouteSpec): number => {
    const family = ways.filter(({ via }) => via.includes(':') === route.via.includes(':'));
    return 100 * (family.indexOf(route) + 1);
  };
  return links.map((link) => ({
    ...link,
    routes: link.routes.map((route) =>
      ways.includes(route) && metricOf(route) > 100 ? { ...route, metric: metricOf(route) } : route,
    ),
  }));
}

function hasAddress({ address }: InterfaceFacts): boolean {
  return address !== undefined && address !== '';
}

function isNamed(entry: InterfaceFacts, wanted: string): boolean {
  return entry.mac.toLowerCase() === wanted || (entry.vlanId ?? '-') === wanted.replace(/^.*\./, '');
}

function prefixLength(entry: InterfaceFacts): number {
  if (entry.address?.includes(':') === true) return 64;
  const parts = (entry.netmask ?? '').split('.').map(Number);
  const bits = parts.map((part) => part.toString(2).padStart(8, '0')).join('');
  if (parts.length === 4 && /^1*0*$/.test(bits) && bits.length === 32) return bits.lastIndexOf('1') + 1;
  throw new TinsmithError(
    'invalid_params',
    `cannot write a network file for ${entry.mac}: the netmask of its record is ${JSON.stringify(entry.netmask)}, use one such as 255.255.255.0`,
  );
}
