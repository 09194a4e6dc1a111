import type { NetworkLink } from '#proto/network/network-links.ts';
import type { BondParameters } from '#proto/network/network-spec.ts';

// NetworkManager's keyfiles (nm-settings-keyfile(5)): one connection a file, mode 0600 or NetworkManager does not read it.

export interface Keyfile {
  readonly name: string;
  readonly text: string;
}

export function networkKeyfiles(links: readonly NetworkLink[]): readonly Keyfile[] {
  return links.map((link) => ({
    name: `${link.name}.nmconnection`,
    text: [connection(link), ...kindSections(link, links), ...addressSections(link)]
      .map((lines) => `${lines.join('\n')}\n`)
      .join('\n'),
  }));
}

function connection(link: NetworkLink): readonly string[] {
  const of = link.kind === 'ethernet' ? link.bond : undefined;
  return [
    '[connection]',
    `id=${link.name}`,
    `type=${link.kind}`,
    ...(link.kind === 'ethernet' ? [] : [`interface-name=${link.name}`]),
    ...(of === undefined ? [] : [`master=${of}`, 'slave-type=bond']),
  ];
}

function kindSections(link: NetworkLink, links: readonly NetworkLink[]): readonly (readonly string[])[] {
  const mtu = link.mtu === undefined ? [] : [`mtu=${link.mtu}`];
  switch (link.kind) {
    case 'ethernet':
      return [['[ethernet]', `mac-address=${link.mac}`, ...mtu]];
    case 'bond':
      return [['[bond]', ...bondOptions(link.parameters)], ...(mtu.length === 0 ? [] : [['[ethernet]', ...mtu]])];
    case 'vlan': {
      const parent = links.find(({ name }) => name === link.link);
      // A card has no name that is known here: its MAC says which one carries the VLAN.
      const carrier = parent?.kind === 'ethernet' ? [`mac-address=${parent.mac}`] : [];
      const ethernet = [...carrier, ...mtu];
      const named = parent?.kind === 'ethernet' ? [] : [`parent=${link.link}`];
      const section = ['[vlan]', 'flags=1', `id=${link.id}`, ...named];
      return [...(ethernet.length === 0 ? [] : [['[ethernet]', ...ethernet]]), section];
    }
  }
}

/** The kernel's names of netplan's words. */
const BOND_OPTIONS: Readonly<Record<keyof BondParameters, string>> = {
  mode: 'mode',
  'lacp-rate': 'lacp_rate',
  'mii-monitor-interval': 'miimon',
  'up-delay': 'updelay',
  'down-delay': 'downdelay',
  'min-links': 'min_links',
  'transmit-hash-policy': 'xmit_hash_policy',
};
const BOND_WORDS = [
  'mode',
  'lacp-rate',
  'mii-monitor-interval',
  'up-delay',
  'down-delay',
  'min-links',
  'transmit-hash-policy',
] as const satisfies readonly (keyof BondParameters)[];

function bondOptions(parameters: Extract<NetworkLink, { kind: 'bond' }>['parameters']): readonly string[] {
  return BOND_WORDS.flatMap((word) => {
    const value = parameters[word];
    return value === undefined ? [] : [`${BOND_OPTIONS[word]}=${value}`];
  });
}

function addressSections(link: NetworkLink): readonly (readonly string[])[] {
  if (link.kind === 'ethernet' && link.bond !== undefined) return []; // a bond has the addresses of its cards
  const own = link.addresses.filter((address) => !isSix(address));
  const method = link.dhcp4 ? 'auto' : own.length > 0 ? 'manual' : 'disabled';
  return [
    ['[ipv4]', `method=${method}`, ...familyLines(link, 4)],
    ['[ipv6]', `method=${link.addresses.some(isSix) ? 'manual' : 'ignore'}`, ...familyLines(link, 6)],
  ];
}

function isSix(text: string): boolean {
  return text.includes(':');
}

function familyLines(link: NetworkLink, family: 4 | 6): readonly string[] {
  const wanted = family === 6;
  const addresses = link.addresses.filter((address) => isSix(address) === wanted);
  const routes = link.routes.filter(({ via }) => isSix(via) === wanted);
  const servers = link.nameServers.filter((server) => isSix(server) === wanted);
  const hasFamily = addresses.length > 0 || (!wanted && link.dhcp4);
  if (!hasFamily) return [];
  const everywhere = wanted ? '::/0' : '0.0.0.0/0';
  return [
    ...addresses.map((address, index) => `address${index + 1}=${address}`),
    ...routes.map(({ to, via, metric }, index) => {
      const rest = metric === undefined ? '' : `,${metric}`;
      return `route${index + 1}=${to === 'default' ? everywhere : to},${via}${rest}`;
    }),
    ...(servers.length === 0 ? [] : [`dns=${servers.join(';')};`]),
    ...(link.searchDomains.length === 0 ? [] : [`dns-search=${link.searchDomains.join(';')};`]),
  ];
}
