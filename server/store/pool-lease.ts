import type { Store } from './store.ts';

/**
 * A pool address that an unknown machine holds, as kept in the store's settings. The discover room writes it; boot and
 * metadata read it here to know which machine an address belongs to.
 */
export interface PoolLease {
  /** Lower case, colons. */
  readonly mac: string;
  readonly address: string;
  readonly netmask: string;
  readonly gateway?: string;
  readonly expiresAt: Date;
  /** Tinkerbell's names, from DHCP option 93: `x86_64`, `aarch64`. */
  readonly arch?: string;
  readonly uefi?: boolean;
}

export const POOL_LEASE_PREFIX = 'dhcp.lease.';

export function poolLeaseKey(mac: string): string {
  return `${POOL_LEASE_PREFIX}${mac}`;
}

export function writePoolLease(lease: PoolLease): string {
  return JSON.stringify(lease);
}

/** Undefined for text that is no lease: an older or damaged record counts as none. */
export function readPoolLease(text: string): PoolLease | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    // Not JSON, so not a lease: the machine simply asks again.
    return undefined;
  }
  if (!isRecord(value)) return undefined;
  const { mac, address, netmask, gateway, expiresAt, arch, uefi } = value;
  if (typeof mac !== 'string' || typeof address !== 'string' || typeof netmask !== 'string') return undefined;
  if (typeof expiresAt !== 'string' || Number.isNaN(Date.parse(expiresAt))) return undefined;
  return {
    mac,
    address,
    netmask,
    expiresAt: new Date(expiresAt),
    ...(typeof gateway === 'string' ? { gateway } : {}),
    ...(typeof arch === 'string' ? { arch } : {}),
    ...(typeof uefi === 'boolean' ? { uefi } : {}),
  };
}

/** The lease that a machine holds now. */
export async function poolLeaseOfMac(
  store: Pick<Store, 'setting'>,
  mac: string,
  now: Date,
): Promise<PoolLease | undefined> {
  const text = await store.setting(poolLeaseKey(mac));
  const lease = text === undefined ? undefined : readPoolLease(text);
  return lease !== undefined && lease.expiresAt > now ? lease : undefined;
}

/** The lease by which somebody holds `address` now. */
export async function poolLeaseOfAddress(
  store: Pick<Store, 'listSettings'>,
  address: string,
  now: Date,
): Promise<PoolLease | undefined> {
  const rows = await store.listSettings(POOL_LEASE_PREFIX);
  return rows
    .map((row) => readPoolLease(row.value))
    .find((lease) => lease !== undefined && lease.address === address && lease.expiresAt > now);
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null;
}
