import { TinsmithError } from '#proto/errors.ts';
import type { NetworkLink } from '#proto/network/network-links.ts';

// Bottlerocket's net.toml, version 3. Cards go by their MAC; bonds and VLANs name what they stand on, because Bottlerocket's
// netdog takes no MAC there. Of bonds it knows active-backup only. Name servers are in its settings, not here.

/** Throws `invalid_params` for what net.toml cannot say. */
export function bottlerocketNetText(links: readonly NetworkLink[]): string {
  // A card that is part of a bond, or that only carries VLANs, is brought up by what stands on it.
  const devices = links.filter(
    (link) => link.kind !== 'ethernet' || link.dhcp4 || link.addresses.length > 0 || link.mtu !== undefined,
  );
  const members = new Set(links.flatMap((link) => (link.kind === 'bond' ? link.members : [])));
  const shown = devices.filter(({ name }) => !members.has(name));
  const primary = shown.find(({ routes }) => routes.some(({ to, metric }) => to === 'default' && metric === undefined));
  const tables = shown.map((link) => {
    const isPrimary = shown.length > 1 && link === primary;
    return deviceLines(link, links, isPrimary ? ['primary = true'] : []);
  });
  return `${['version = 3', ...tables.map((lines) => `\n${lines.join('\n')}`)].join('\n')}\n`;
}

/**
 * User data with a [settings.dns] table. Idempotent: one that is there already stays, because TOML allows a table once and
 * the kept one is either ours or a decision of the user.
 */
export function withBottlerocketDns(userData: string, links: readonly NetworkLink[]): string {
  const nameServers = [...new Set(links.flatMap((link) => link.nameServers))];
  const search = [...new Set(links.flatMap((link) => link.searchDomains))];
  const hasTable = /^[ \t]*\[[ \t]*settings[ \t]*\.[ \t]*dns[ \t]*\]/m.test(userData);
  if (hasTable || nameServers.length + search.length === 0) return userData;
  const gap = userData === '' || userData.endsWith('\n') ? '' : '\n';
  const lines = [
    ...(nameServers.length === 0 ? [] : [`name-servers = ${list(nameServers)}`]),
    ...(search.length === 0 ? [] : [`search-list = ${list(search)}`]),
  ];
  return `${userData}${gap}\n[settings.dns]\n${lines.join('\n')}\n`;
}

function deviceLines(link: NetworkLink, links: readonly NetworkLink[], first: readonly string[]): readonly string[] {
  const key = link.kind === 'ethernet' ? `"${link.mac}"` : `"${link.name}"`;
  const top = [
    ...first,
    ...kindLines(link, links),
    ...(link.mtu === undefined ? [] : [`mtu = ${link.mtu}`]),
    ...(link.dhcp4 ? ['dhcp4 = true'] : []),
  ];
  const tables = [
    ...(top.length === 0 ? [] : [[`[${key}]`, ...top]]),
    ...(link.kind === 'bond' ? [monitoring(key, link.parameters)] : []),
    ...staticTable(
      `${key}.static4`,
      link.addresses.filter((address) => !address.includes(':')),
    ),
    ...staticTable(
      `${key}.static6`,
      link.addresses.filter((address) => address.includes(':')),
    ),
    ...link.routes.map(({ to, via, metric }) => [
      `[[${key}.route]]`,
      `to = "${to}"`,
      `via = "${via}"`,
      `route-metric = ${metric ?? 100}`,
    ]),
  ];
  return tables.flatMap((lines, index) => (index === 0 ? lines : ['', ...lines]));
}

function kindLines(link: NetworkLink, links: readonly NetworkLink[]): readonly string[] {
  switch (link.kind) {
    case 'ethernet':
      return [];
    case 'bond': {
      const { mode, 'min-links': least } = link.parameters;
      if (mode !== 'active-backup') throw unfit(`bond ${link.name} has mode ${mode}`, 'use active-backup');
      const names = link.members.map((member) => systemName(member, links));
      const min = least === undefined ? [] : [`min-links = ${least}`];
      return ['kind = "bond"', `interfaces = ${list(names)}`, `mode = "${mode}"`, ...min];
    }
    case 'vlan':
      return ['kind = "vlan"', `device = "${systemName(link.link, links)}"`, `id = ${link.id}`];
  }
}

function monitoring(key: string, parameters: Extract<NetworkLink, { kind: 'bond' }>['parameters']): readonly string[] {
  const every = parameters['mii-monitor-interval'];
  return [
    `[${key}.monitoring]`,
    `miimon-frequency-ms = ${every}`,
    // netdog refuses delays below the interval; both are rounded to multiples of it anyway.
    `miimon-updelay-ms = ${Math.max(every, parameters['up-delay'] ?? 0)}`,
    `miimon-downdelay-ms = ${Math.max(every, parameters['down-delay'] ?? 0)}`,
  ];
}

function staticTable(table: string, addresses: readonly string[]): readonly (readonly string[])[] {
  return addresses.length === 0 ? [] : [[`[${table}]`, `addresses = ${list(addresses)}`]];
}

function systemName(name: string, links: readonly NetworkLink[]): string {
  const link = links.find((each) => each.name === name);
  if (link?.kind !== 'ethernet') return name;
  if (link.knownAs !== undefined) return link.knownAs;
  throw unfit(
    `the card ${link.mac} has no name for what stands on it`,
    'set spec.network.ethernets.X.name, or dhcp.iface_name, to what the system calls it, such as eno1',
  );
}

function unfit(fact: string, fix: string): TinsmithError {
  return new TinsmithError('invalid_params', `cannot write net.toml for Bottlerocket: ${fact}, ${fix}`);
}

function list(items: readonly string[]): string {
  return `[${items.map((item) => JSON.stringify(item)).join(', ')}]`;
}
