import { createHash } from 'node:crypto';
import { isIPv4 } from 'node:net';
import type { Logger } from 'pino';
import { TinsmithError } from '#proto/errors.ts';
import { POOL_LEASE_PREFIX, type PoolLease, poolLeaseKey, readPoolLease, writePoolLease } from '../store/pool-lease.ts';
import type { Store } from '../store/store.ts';
import { addressNumber, addressText } from './ipv4.ts';

/** Addresses for machines that no Hardware reserves one for. */
export interface Pool {
  readonly first: string;
  readonly last: string;
  readonly netmask: string;
  readonly gateway?: string;
  readonly leaseSeconds: number;
}

/** What DHCP told about the machine itself, kept with its lease. */
export type MachineKind = Pick<PoolLease, 'arch' | 'uefi'>;

export interface LeasePoolOptions {
  readonly pool: Pool;
  readonly store: Pick<Store, 'hardwareByAddress' | 'listSettings' | 'putSetting' | 'deleteSetting'>;
  readonly log: Pick<Logger, 'warn'>;
  readonly clock: () => Date;
  /** Addresses in the range that are never given out: the server's own. */
  readonly reserved: readonly string[];
}

const MAX_POOL_SIZE = 65_536;
/** How long an offered address waits for its REQUEST. */
const OFFER_MS = 60_000;
/** How long an address that somebody else answers on is left alone. */
const QUARANTINE_MS = 600_000;
const QUARANTINE_PREFIX = 'dhcp.quarantine.';

/** Leases that outlive a restart of the server: an ACK is sent only after its lease is stored. */
export interface LeasePool {
  /** The address to offer: the machine's former one, else the wanted one, else a free one. Undefined: none is left. */
  offer(mac: string, wanted: string | undefined): Promise<string | undefined>;
  /** The address that the machine holds or was offered. */
  held(mac: string): string | undefined;
  /** Stores the lease. Twice is harmless: the second time only renews it. */
  bind(mac: string, address: string, kind: MachineKind): Promise<void>;
  /** Ends the machine's lease of this address; nothing if it has none. */
  release(mac: string, address: string): Promise<void>;
  /** Somebody else uses this address: the lease ends and the address is left alone for a while. */
  decline(mac: string, address: string): Promise<void>;
}

interface Holding {
  readonly mac: string;
  readonly until: number;
}

/** Reads the stored leases; damaged records count as none. Throws `invalid_input` for a pool without or with too many addresses. */
export async function openLeasePool(options: LeasePoolOptions): Promise<LeasePool> {
  const { first, last } = options.pool;
  const size = addressNumber(last) - addressNumber(first) + 1;
  if (size < 1 || size > MAX_POOL_SIZE) {
    throw new TinsmithError(
      'invalid_input',
      `cannot use the DHCP pool ${first}-${last}: it has ${size} addresses, but 1 to ${MAX_POOL_SIZE} are possible`,
    );
  }
  const pool = new StoredLeasePool(options);
  await pool.load();
  return pool;
}

class StoredLeasePool implements LeasePool {
  readonly #options: LeasePoolOptions;
  readonly #first: number;
  readonly #size: number;
  /** By address; expired ones stay until their address is needed, so that a machine gets its old address back. */
  readonly #holdings = new Map<string, Holding>();
  readonly #addressOfMac = new Map<string, string>();
  readonly #quarantine = new Map<string, number>();
  /** Whose record the store holds for an address, so that its next holder's replaces it and records stay as few as addresses. */
  readonly #recordedMac = new Map<string, string>();

  constructor(options: LeasePoolOptions) {
    this.#options = options;
    this.#first = addressNumber(options.pool.first);
    this.#size = addressNumber(options.pool.last) - this.#first + 1;
  }

  async load(): Promise<void> {
    for (const { value } of await this.#options.store.listSettings(POOL_LEASE_PREFIX)) {
      const lease = readPoolLease(value);
      if (lease !== undefined && this.#isInPool(lease.address)) {
        this.#hold(lease.mac, lease.address, lease.expiresAt.getTime());
        this.#recordedMac.set(lease.address, lease.mac);
      }
    }
    for (const { key, value } of await this.#options.store.listSettings(QUARANTINE_PREFIX)) {
      this.#quarantine.set(key.slice(QUARANTINE_PREFIX.length), Date.parse(value));
    }
  }

  async offer(mac: string, wanted: string | undefined): Promise<string | undefined> {
    for (const address of this.#candidates(mac, wanted)) {
      if ((await this.#options.store.hardwareByAddress(address)) !== undefined) continue;
      // Asked again after the wait above: another machine may have been offered it meanwhile.
      if (!this.#isFreeFor(mac, address)) continue;
      const until = this.#now() + OFFER_MS;
      this.#hold(mac, address, Math.max(until, this.#untilOf(mac, address)));
      return address;
    }
    this.#options.log.warn({ mac, pool: this.#options.pool }, 'dhcp.poolExhausted');
    return undefined;
  }

  held(mac: string): string | undefined {
    const address = this.#addressOfMac.get(mac);
    return address !== undefined && this.#isFreeFor(mac, address) ? address : undefined;
  }

  async bind(mac: string, address: string, kind: MachineKind): Promise<void> {
    const { netmask, gateway, leaseSeconds } = this.#options.pool;
    const expiresAt = new Date(this.#now() + leaseSeconds * 1000);
    this.#hold(mac, address, expiresAt.getTime());
    const lease = { mac, address, netmask, expiresAt, ...kind, ...(gateway === undefined ? {} : { gateway }) };
    const former = this.#recordedMac.get(address);
    this.#recordedMac.set(address, mac);
    await this.#options.store.putSetting(poolLeaseKey(mac), writePoolLease(lease));
    if (former !== undefined && former !== mac) await this.#options.store.deleteSetting(poolLeaseKey(former));
  }

  async release(mac: string, address: string): Promise<void> {
    if (this.#addressOfMac.get(mac) !== address) return;
    // It stays in the table as expired: the machine gets it again while nobody else needs it.
    this.#hold(mac, address, 0);
    await this.#options.store.deleteSetting(poolLeaseKey(mac));
  }

  async decline(mac: string, address: string): Promise<void> {
    if (this.#addressOfMac.get(mac) !== address) return;
    this.#drop(mac, address);
    const until = this.#now() + QUARANTINE_MS;
    this.#quarantine.set(address, until);
    await this.#options.store.putSetting(`${QUARANTINE_PREFIX}${address}`, new Date(until).toISOString());
    await this.#options.store.deleteSetting(poolLeaseKey(mac));
  }

  /** Every address of the pool at most once, best first; the caller stops at the first that it can use. */
  *#candidates(mac: string, wanted: string | undefined): Iterable<string> {
    const former = this.#addressOfMac.get(mac);
    for (const address of [former, wanted]) {
      if (address !== undefined && this.#isInPool(address) && this.#isFreeFor(mac, address)) yield address;
    }
    // Starting at a place that the MAC decides gives a machine the same address even after its record is gone.
    const start = createHash('sha256').update(mac).digest().readUInt32BE(0) % this.#size;
    const expired: string[] = [];
    for (let step = 0; step < this.#size; step += 1) {
      const address = addressText(this.#first + ((start + step) % this.#size));
      if (!this.#isFreeFor(mac, address)) continue;
      if (this.#holdings.has(address)) expired.push(address);
      else yield address;
    }
    yield* expired;
  }

  #isInPool(address: string): boolean {
    const offset = isIPv4(address) ? addressNumber(address) - this.#first : -1;
    return offset >= 0 && offset < this.#size;
  }

  #isFreeFor(mac: string, address: string): boolean {
    const now = this.#now();
    if (this.#options.reserved.includes(address)) return false;
    if ((this.#quarantine.get(address) ?? 0) > now) return false;
    const holding = this.#holdings.get(address);
    return holding === undefined || holding.mac === mac || holding.until <= now;
  }

  #untilOf(mac: string, address: string): number {
    const holding = this.#holdings.get(address);
    return holding?.mac === mac ? holding.until : 0;
  }

  #hold(mac: string, address: string, until: number): void {
    const before = this.#addressOfMac.get(mac);
    if (before !== undefined && before !== address) this.#drop(mac, before);
    const other = this.#holdings.get(address);
    if (other !== undefined && other.mac !== mac) this.#addressOfMac.delete(other.mac);
    this.#holdings.set(address, { mac, until });
    this.#addressOfMac.set(mac, address);
  }

  #drop(mac: string, address: string): void {
    this.#holdings.delete(address);
    this.#addressOfMac.delete(mac);
  }

  #now(): number {
    return this.#options.clock().getTime();
  }
}
