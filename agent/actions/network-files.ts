import type { HardwareFacts, InterfaceFacts } from '#proto/actions/facts.ts';
import { TinsmithError } from '#proto/errors.ts';

// The texts are what EKS Anywhere's writefile makes of a DHCP offer; ours come from the hardware record instead, so that no
// offer has to be waited for and nothing can differ from what the machine was told.

interface Address {
  readonly mac: string;
  readonly cidr: string;
  readonly gateway: string | undefined;
  readonly nameServers: readonly string[];
  readonly vlanId: string | undefined;
}

/** netplan version 2 for one interface that is found by its MAC, with a VLAN above it if the record says so. */
export function netplanFile(facts: HardwareFacts, interfaceName?: string): string {
  const address = addressOf(facts, interfaceName);
  const settings = (indent: string): string[] =>
    [
      'addresses:',
      `    - ${address.cidr}`,
      'nameservers:',
      `    addresses: [${address.nameServers.join(', ')}]`,
      ...(address.gateway === undefined ? [] : ['routes:', '    - to: default', `      via: ${address.gateway}`]),
    ].map((line) => `${indent}${line}`);
  const match = (name: string): string[] => [
    `        ${name}:`,
    '            match:',
    `                macaddress: ${address.mac}`,
  ];
  const head = ['network:', '    version: 2', '    renderer: networkd', '    ethernets:'];
  const lines =
    address.vlanId === undefined
      ? [...head, ...match('id0'), ...settings('            ')]
      : [
          ...head,
          ...match('mainif'),
          '            set-name: mainif',
          '    vlans:',
          `        vlan${address.vlanId}:`,
          `            id: ${address.vlanId}`,
          '            link: mainif',
          ...settings('            '),
        ];
  return `${lines.join('\n')}\n`;
}

/** Bottlerocket's net.toml, version 3: the interface is named by its MAC. */
export function bottlerocketNetFile(facts: HardwareFacts, interfaceName?: string): string {
  const address = addressOf(facts, interfaceName);
  const route =
    address.gateway === undefined
      ? []
      : ['', `[["${address.mac}".route]]`, 'to = "default"', `via = "${address.gateway}"`, 'route-metric = 100'];
  return `${['version = 3', '', `["${address.mac}".static4]`, `addresses = ["${address.cidr}"]`, ...route].join('\n')}\n`;
}

/**
 * User data with a [settings.dns] table. Idempotent: one that is there already stays, because TOML allows a table once and
 * the kept one is either ours or a decision of the user.
 */
export function withBottlerocketDns(userData: string, facts: HardwareFacts, interfaceName?: string): string {
  const { nameServers } = addressOf(facts, interfaceName);
  const hasTable = /^[ \t]*\[[ \t]*settings[ \t]*\.[ \t]*dns[ \t]*\]/m.test(userData);
  if (hasTable || nameServers.length === 0) return userData;
  const list = nameServers.map((server) => `"${server}"`).join(', ');
  const gap = userData === '' || userData.endsWith('\n') ? '' : '\n';
  return `${userData}${gap}\n[settings.dns]\nname-servers = [${list}]\n`;
}

/** The interface that has an address and, if a name is given that is a MAC or a VLAN id, goes by it. */
function addressOf(facts: HardwareFacts, interfaceName: string | undefined): Address {
  const usable = facts.interfaces.filter((entry) => entry.address !== undefined && entry.address !== '');
  const wanted = interfaceName?.toLowerCase();
  const found = usable.find((entry) => wanted !== undefined && isNamed(entry, wanted)) ?? usable[0];
  if (found?.address === undefined) {
    throw new TinsmithError(
      'invalid_params',
      `cannot write a network file for ${facts.hardware}: no interface of its record has an address, set dhcp.ip.address`,
    );
  }
  return {
    mac: found.mac.toLowerCase(),
    cidr: `${found.address}/${prefixLength(found)}`,
    gateway: found.gateway === '' ? undefined : found.gateway,
    nameServers: found.nameServers,
    vlanId: found.vlanId === '' ? undefined : found.vlanId,
  };
}

/** A MAC, a VLAN id, or Linux' name of a VLAN interface: `eth0.120`. */
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
