import type { NetworkLink } from './network-links.ts';

// netplan's YAML, version 2, which is cloud-init's network-config version 2 as well. Cards are told by their MAC.

/** A file for /etc/netplan. */
export function netplanText(links: readonly NetworkLink[]): string {
  const lines = ['version: 2', 'renderer: networkd', ...linkLines(links)];
  return `network:\n${lines.map((line) => `    ${line}\n`).join('')}`;
}

/**
 * cloud-init's file `network-config`; the renderer is the system's choice. The word `default` is netplan's: cloud-init 22.4, which
 * Debian 12 has, stops at it.
 */
export function networkConfigText(links: readonly NetworkLink[]): string {
  const numbered = links.map((link) => ({
    ...link,
    routes: link.routes.map((route) => ({ ...route, to: route.to === 'default' ? everywhere(route.via) : route.to })),
  }));
  return `${['version: 2', ...linkLines(numbered)].join('\n')}\n`;
}

function everywhere(via: string): string {
  return via.includes(':') ? '::/0' : '0.0.0.0/0';
}

const GROUPS = { ethernet: 'ethernets', bond: 'bonds', vlan: 'vlans' } as const;

function linkLines(links: readonly NetworkLink[]): readonly string[] {
  return Object.entries(GROUPS).flatMap(([kind, group]) => {
    const own = links.filter((link) => link.kind === kind);
    if (own.length === 0) return [];
    const body = own.flatMap((link) => [`${link.name}:`, ...indented([...kindLines(link), ...addressLines(link)])]);
    return [`${group}:`, ...indented(body)];
  });
}

function kindLines(link: NetworkLink): readonly string[] {
  switch (link.kind) {
    case 'ethernet': {
      const name = link.setName === undefined ? [] : [`set-name: ${link.setName}`];
      return ['match:', `    macaddress: "${link.mac}"`, ...name];
    }
    case 'bond': {
      const parameters = Object.entries(link.parameters).map(([key, value]) => `    ${key}: ${value}`);
      return [`interfaces: [${link.members.join(', ')}]`, 'parameters:', ...parameters];
    }
    case 'vlan':
      return [`id: ${link.id}`, `link: ${link.link}`];
  }
}

function addressLines({ addresses, routes, nameServers, searchDomains, mtu, dhcp4 }: NetworkLink): readonly string[] {
  const dns = [
    ...(nameServers.length === 0 ? [] : [`    addresses: [${list(nameServers)}]`]),
    ...(searchDomains.length === 0 ? [] : [`    search: [${list(searchDomains)}]`]),
  ];
  const ways = routes.flatMap(({ to, via, metric }) => [
    `    - to: ${quoted(to)}`,
    `      via: ${quoted(via)}`,
    ...(metric === undefined ? [] : [`      metric: ${metric}`]),
  ]);
  return [
    ...(mtu === undefined ? [] : [`mtu: ${mtu}`]),
    ...(dhcp4 ? ['dhcp4: true'] : []),
    ...(addresses.length === 0 ? [] : ['addresses:', ...addresses.map((address) => `    - ${quoted(address)}`)]),
    ...(dns.length === 0 ? [] : ['nameservers:', ...dns]),
    ...(ways.length === 0 ? [] : ['routes:', ...ways]),
  ];
}

function indented(lines: readonly string[]): readonly string[] {
  return lines.map((line) => `    ${line}`);
}

function list(items: readonly string[]): string {
  return items.map((item) => quoted(item)).join(', ');
}

/** A colon means something in YAML (1.1 even takes 52:54:00:00:00:01 for a number): MACs and IPv6 are quoted. */
function quoted(text: string): string {
  return text.includes(':') ? JSON.stringify(text) : text;
}
