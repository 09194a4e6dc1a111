import { poolLeaseOfAddress } from '../store/pool-lease.ts';
import type { Hardware, Store } from '../store/store.ts';

export interface CallerParts {
  readonly store: Pick<Store, 'hardwareByAddress' | 'hardwareByMac' | 'listSettings'>;
  readonly clock: () => Date;
  /** Absent: neighbours are not asked for their MAC. */
  readonly neighbours?: Neighbours;
}

export interface Neighbours {
  /** Whether an address is on the network that the server itself is on. */
  readonly areOnLink: (address: string) => boolean;
  /** MAC of a neighbour, lower case; undefined while it is not known. */
  readonly macOf: (address: string) => Promise<string | undefined>;
}

export type Caller =
  | { readonly kind: 'machine'; readonly hardware: Hardware; readonly address: string }
  | { readonly kind: 'stranger' }
  /** The address is a machine's, but who uses it is not that machine. */
  | { readonly kind: 'impostor'; readonly hardware: Hardware; readonly mac: string };

/**
 * Who connects from an address: the machine that it is reserved for or leased to. On our own network the neighbour table must
 * not say that somebody else has it: behind a router or a relay every address has the router's MAC, so nothing is asked there.
 */
export async function callingMachine(parts: CallerParts, address: string): Promise<Caller> {
  const hardware = await machineAt(parts, address);
  if (hardware === undefined) return { kind: 'stranger' };
  const mac = await foreignMac(parts, hardware, address);
  return mac === undefined ? { kind: 'machine', hardware, address } : { kind: 'impostor', hardware, mac };
}

/** The address of the other end, without the form that a dual-stack socket gives IPv4. */
export function plainAddress(address: string): string {
  return address.replace(/^::ffff:(?=\d+\.)/i, '');
}

async function machineAt({ store, clock }: CallerParts, address: string): Promise<Hardware | undefined> {
  const reserved = await store.hardwareByAddress(address);
  const lease = await poolLeaseOfAddress(store, address, clock());
  if (lease === undefined) return reserved;
  const holder = await store.hardwareByMac(lease.mac);
  // Reserved while another machine still holds a lease of it: who asks is not known, and user data is a secret.
  return reserved === undefined || reserved.name === holder?.name ? holder : undefined;
}

/** The MAC behind the address, if it is none of the machine's. An address that the kernel knows no MAC of yet is not refused. */
async function foreignMac(
  { neighbours }: CallerParts,
  hardware: Hardware,
  address: string,
): Promise<string | undefined> {
  if (neighbours === undefined || !neighbours.areOnLink(address)) return undefined;
  const mac = await neighbours.macOf(address);
  return mac === undefined || macsOf(hardware).has(mac) ? undefined : mac;
}

/** Those of its record, and those that its agent reported: a bond may show the MAC of any of its cards. */
function macsOf({ spec, inventory }: Hardware): ReadonlySet<string> {
  const written = spec.interfaces.flatMap(({ dhcp }) => (dhcp === undefined ? [] : [dhcp.mac.toLowerCase()]));
  const { ethernets = {}, bonds = {} } = spec.network ?? {};
  const described = [
    ...Object.values(ethernets).map(({ macaddress }) => macaddress),
    ...Object.values(bonds).flatMap(({ interfaces }) => interfaces),
  ];
  return new Set([...written, ...described, ...(inventory?.interfaces.map(({ mac }) => mac.toLowerCase()) ?? [])]);
}
