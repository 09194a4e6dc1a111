import { isIPv4 } from 'node:net';
import { TinsmithError } from '#proto/errors.ts';
import type { Config } from '../config.ts';
import type { DhcpServerOptions } from './dhcp-server.ts';
import { addressNumber, isInNetwork } from './ipv4.ts';

/**
 * The pool for unknown machines as the configuration names it, or none. Throws `invalid_input` for a range that is no range,
 * runs backwards or lies outside the network that the server faces.
 */
export function poolSetting(
  config: Pick<Config, 'dhcp.pool' | 'dhcp.netmask' | 'dhcp.gateway' | 'dhcp.nameservers'>,
  facing: { readonly address: string; readonly netmask: string },
): DhcpServerOptions['pool'] {
  if (config['dhcp.pool'] === '') return undefined;
  const range = rangeOf(config['dhcp.pool'], facing);
  const netmask = config['dhcp.netmask'] || facing.netmask;
  const gateway = config['dhcp.gateway'];
  for (const [name, value] of [
    ['--dhcp-netmask', netmask],
    ['--dhcp-gateway', gateway || '0.0.0.0'],
  ] as const) {
    if (!isIPv4(value)) throw new TinsmithError('invalid_input', `cannot use ${name} ${value}: it is no IPv4 address`);
  }
  return { ...range, netmask, nameServers: config['dhcp.nameservers'], ...(gateway !== '' && { gateway }) };
}

function rangeOf(
  text: string,
  facing: { readonly address: string; readonly netmask: string },
): { readonly first: string; readonly last: string } {
  const [first = '', last = '', ...rest] = text.split('-').map((piece) => piece.trim());
  if (!isIPv4(first) || !isIPv4(last) || rest.length > 0) refuse(text, 'it is no range: write 10.0.0.50-10.0.0.99');
  if (addressNumber(first) > addressNumber(last)) refuse(text, 'it runs backwards: write the lower address first');
  for (const address of [first, last]) {
    if (!isInNetwork(address, facing)) {
      refuse(text, `${address} is outside the network of ${facing.address} with netmask ${facing.netmask}`);
    }
  }
  return { first, last };
}

function refuse(text: string, why: string): never {
  throw new TinsmithError('invalid_input', `cannot use the pool ${text}: ${why}`);
}
