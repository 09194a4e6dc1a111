import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { poolLeaseOfAddress, poolLeaseOfMac } from '../store/pool-lease.ts';
import type { Hardware } from '../store/store.ts';
import { type LeasePool, openLeasePool } from './dhcp-leases.ts';

const POOL = {
  first: '10.0.0.10',
  last: '10.0.0.13',
  netmask: '255.255.255.0',
  gateway: '10.0.0.1',
  leaseSeconds: 600,
};

/** What outlives a restart (settings), the reservations, the clock and the warnings. */
class World {
  readonly settings = new Map<string, string>();
  readonly reservations = new Set<string>();
  readonly warnings: string[] = [];
  now = Date.parse('2026-11-22T12:00:00Z');

  readonly store = {
    hardwareByAddress: (address: string): Promise<Hardware | undefined> =>
      Promise.resolve(this.reservations.has(address) ? ({ name: 'known' } as Hardware) : undefined),
    setting: (key: string) => Promise.resolve(this.settings.get(key)),
    putSetting: (key: string, value: string) => Promise.resolve(void this.settings.set(key, value)),
    deleteSetting: (key: string) => Promise.resolve(void this.settings.delete(key)),
    listSettings: (prefix: string) =>
      Promise.resolve(
        [...this.settings].filter(([key]) => key.startsWith(prefix)).map(([key, value]) => ({ key, value })),
      ),
  };

  open(): Promise<LeasePool> {
    return openLeasePool({
      pool: POOL,
      store: this.store,
      clock: () => new Date(this.now),
      log: { warn: (_facts: unknown, message?: string) => this.warnings.push(String(message)) } as never,
      reserved: ['10.0.0.13'],
    });
  }
}

async function lease(pool: LeasePool, mac: string, wanted?: string): Promise<string | undefined> {
  const address = await pool.offer(mac, wanted);
  if (address !== undefined) await pool.bind(mac, address, {});
  return address;
}

describe('dhcp leases', () => {
  it('gives every machine another address and, when none is left, none and a warning', async () => {
    const world = new World();
    const pool = await world.open();

    const given = [await lease(pool, 'a'), await lease(pool, 'b'), await lease(pool, 'c'), await lease(pool, 'd')];

    assert.deepEqual(new Set(given.slice(0, 3)), new Set(['10.0.0.10', '10.0.0.11', '10.0.0.12']));
    assert.equal(given[3], undefined);
    assert.deepEqual(world.warnings, ['dhcp.poolExhausted']);
  });

  it('offers addresses to two machines that ask at the same time without giving one twice', async () => {
    const pool = await new World().open();

    const given = await Promise.all(['a', 'b', 'c'].map((mac) => pool.offer(mac, '10.0.0.11')));

    assert.equal(new Set(given).size, 3);
  });

  it('gives a machine its address again, also after a restart of the server and after the lease is over', async () => {
    const world = new World();
    const first = await lease(await world.open(), 'a', '10.0.0.12');

    world.now += 10_000_000;
    const restarted = await world.open();

    assert.equal(first, '10.0.0.12');
    assert.equal(restarted.held('a'), '10.0.0.12');
    assert.equal(await restarted.offer('a', undefined), '10.0.0.12');
  });

  it('honours the address that a machine wants only if it is free and in the pool', async () => {
    const pool = await new World().open();
    await lease(pool, 'a', '10.0.0.11');

    assert.notEqual(await pool.offer('b', '10.0.0.11'), '10.0.0.11');
    assert.match((await pool.offer('c', '10.9.9.9')) ?? '', /^10\.0\.0\.1[0-2]$/);
  });

  it('gives an expired lease’s address to another machine, and only one record stays', async () => {
    const world = new World();
    const pool = await world.open();
    for (const mac of ['a', 'b', 'c']) await lease(pool, mac);
    world.now += 601_000;

    const address = await lease(pool, 'd');

    assert.ok(address !== undefined);
    assert.equal([...world.settings.values()].filter((value) => value.includes(`"${address}"`)).length, 1);
    assert.equal((await poolLeaseOfAddress(world.store, address, new Date(world.now)))?.mac, 'd');
  });

  it('forgets an offer that nobody takes', async () => {
    const world = new World();
    const pool = await world.open();
    for (const mac of ['a', 'b', 'c']) await pool.offer(mac, undefined);
    world.now += 61_000;

    assert.notEqual(await pool.offer('d', undefined), undefined);
    assert.equal(world.settings.size, 0);
  });

  it('never gives out an address that a Hardware reserves, nor the server’s own', async () => {
    const world = new World();
    world.reservations.add('10.0.0.10').add('10.0.0.11');
    const pool = await world.open();

    assert.equal(await pool.offer('a', '10.0.0.13'), '10.0.0.12');
    assert.equal(await pool.offer('b', '10.0.0.10'), undefined);
  });

  it('leaves a declined address alone, also after a restart, until its quarantine is over', async () => {
    const world = new World();
    const pool = await world.open();
    const address = await lease(pool, 'a', '10.0.0.11');
    assert.equal(address, '10.0.0.11');

    await pool.decline('a', '10.0.0.11');

    assert.equal(pool.held('a'), undefined);
    const restarted = await world.open();
    assert.notEqual(await restarted.offer('b', '10.0.0.11'), '10.0.0.11');
    world.now += 600_000;
    assert.equal(await restarted.offer('c', '10.0.0.11'), '10.0.0.11');
  });

  it('lets nobody release or decline the address of another machine', async () => {
    const world = new World();
    const pool = await world.open();
    await lease(pool, 'a', '10.0.0.11');

    await pool.release('b', '10.0.0.11');
    await pool.decline('b', '10.0.0.11');

    assert.equal(pool.held('a'), '10.0.0.11');
    assert.notEqual(await poolLeaseOfMac(world.store, 'a', new Date(world.now)), undefined);
  });

  it('frees a released address for others', async () => {
    const world = new World();
    const pool = await world.open();
    await lease(pool, 'a', '10.0.0.11');

    await pool.release('a', '10.0.0.11');

    assert.equal(await poolLeaseOfMac(world.store, 'a', new Date(world.now)), undefined);
    assert.equal(await pool.offer('b', '10.0.0.11'), '10.0.0.11');
  });

  it('starts with damaged records in the store', async () => {
    const world = new World();
    for (const [key, value] of [
      ['x', '{'],
      ['y', 'null'],
      ['z', '{"mac":"z","address":"10.0.0.10","netmask":"","expiresAt":"soon"}'],
    ] as const) {
      world.settings.set(`dhcp.lease.${key}`, value);
    }

    assert.notEqual(await (await world.open()).offer('a', undefined), undefined);
  });

  for (const [first, last] of [
    ['10.0.0.99', '10.0.0.50'],
    ['10.0.0.0', '10.255.255.255'],
  ] as const) {
    it(`refuses the pool ${first}-${last} with a sentence that names it`, async () => {
      const options = {
        store: new World().store,
        clock: () => new Date(0),
        log: { warn: () => undefined },
        reserved: [],
      };

      await assert.rejects(openLeasePool({ ...options, pool: { ...POOL, first, last } }), {
        code: 'invalid_input',
        message: new RegExp(`${first}-${last}`),
      });
    });
  }
});
