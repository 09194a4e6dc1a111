/**
 * `spec.network` of a Hardware: how the installed system is to be connected, in netplan's words, with cards told by their MAC. All
 * of it is optional: without it every interface of the record that has an address gets that.
 */
export interface NetworkSpec {
  /** By names of the author's choice, which bonds and VLANs refer to. */
  readonly ethernets?: Readonly<Record<string, EthernetSpec>>;
  readonly bonds?: Readonly<Record<string, BondSpec>>;
  readonly vlans?: Readonly<Record<string, VlanSpec>>;
}

interface LinkSpec {
  /** With prefix length: `10.0.0.5/24`. Absent: what the record says of the card (of a bond: of its first that has an address). */
  readonly addresses?: readonly string[];
  readonly routes?: readonly RouteSpec[];
  readonly nameservers?: { readonly addresses?: readonly string[]; readonly search?: readonly string[] };
  readonly mtu?: number;
  readonly dhcp4?: boolean;
}

export interface EthernetSpec extends LinkSpec {
  readonly macaddress: string;
  /** Its name in the installed system; Bottlerocket's bonds and VLANs cannot do without. */
  readonly name?: string;
}

export interface BondSpec extends LinkSpec {
  /** MACs, or names of `ethernets`. */
  readonly interfaces: readonly string[];
  readonly parameters?: BondParameters;
}

export interface VlanSpec extends LinkSpec {
  readonly id: number;
  /** Name of a bond or an ethernet, or a MAC. */
  readonly link: string;
}

export interface RouteSpec {
  /** `default`, or a network with its prefix length. */
  readonly to: string;
  readonly via: string;
  readonly metric?: number;
}

export const BOND_MODES = [
  'active-backup',
  '802.3ad',
  'balance-rr',
  'balance-xor',
  'broadcast',
  'balance-tlb',
  'balance-alb',
] as const;
export type BondMode = (typeof BOND_MODES)[number];
export const HASH_POLICIES = ['layer2', 'layer2+3', 'layer3+4', 'encap2+3', 'encap3+4'] as const;

/** Times in milliseconds. */
export interface BondParameters {
  /** Default: active-backup, the one that needs nothing of the switch. */
  readonly mode?: BondMode;
  readonly 'lacp-rate'?: 'slow' | 'fast';
  readonly 'mii-monitor-interval'?: number;
  readonly 'up-delay'?: number;
  readonly 'down-delay'?: number;
  readonly 'min-links'?: number;
  readonly 'transmit-hash-policy'?: (typeof HASH_POLICIES)[number];
}
