import assert from 'node:assert/strict';
import type { AddressInfo } from 'node:net';
import { describe, it } from 'node:test';
import { fastify } from 'fastify';
import { metadataRoutes } from '#server/installed/metadata-routes.ts';
import type { HardwareManifest } from '#server/manifests/hardware-kind.ts';
import { writePoolLease } from '#server/store/pool-lease.ts';
import { openSqliteStore, type SqliteStore } from '#server/store/sqlite-store.ts';
import { agentSession, plannedWorkflow, storedSequence, succeededAt } from '#test/support/records.ts';

const LIMIT = { timeout: 20_000 };
const NOW = new Date('2026-11-22T12:00:00Z');
const CAUSE = { actor: 'operator' } as const;

class Site implements AsyncDisposable {
  readonly opened: SqliteStore;
  readonly url: string;
  readonly #close: () => Promise<void>;

  constructor(opened: SqliteStore, url: string, close: () => Promise<void>) {
    this.opened = opened;
    this.url = url;
    this.#close = close;
  }

  async get(path: string, init: RequestInit = {}): Promise<readonly [number, string]> {
    const response = await fetch(`${this.url}${path}`, init);
    return [response.status, await response.text()];
  }

  async apply(...hardware: readonly HardwareManifest[]): Promise<void> {
    await this.opened.transitions.apply({ hardware, templates: [], workflows: [] }, CAUSE);
  }

  async readyAt(name: string): Promise<Date | undefined> {
    return (await this.opened.store.hardware(name))?.readyAt;
  }

  /** A workflow of two actions, to its end. */
  async install(name: string): Promise<void> {
    const { transitions } = this.opened;
    const session = agentSession(name, 's');
    const ref = { workflow: `w-${name}`, attempt: 1, task: 0 };
    await transitions.apply({ hardware: [], templates: [], workflows: [plannedWorkflow(`w-${name}`, [name])] }, CAUSE);
    await transitions.agentConnected(session, CAUSE);
    let sequence = 0;
    const stored = () => storedSequence(session, (sequence += 1));
    await transitions.taskAccepted(ref, stored(), CAUSE);
    for (const action of [0, 1]) {
      await transitions.actionStarted({ ...ref, action }, NOW, stored(), CAUSE);
      await transitions.actionFinished({ ...ref, action }, succeededAt(NOW), stored(), CAUSE);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#close();
    await this.opened[Symbol.asyncDispose]();
  }
}

async function startSite(): Promise<Site> {
  const opened = await openSqliteStore({ path: ':memory:', clock: () => NOW });
  const server = fastify();
  await server.register(metadataRoutes({ ...opened, clock: () => NOW }));
  await server.listen({ host: '127.0.0.1', port: 0 });
  const { port } = server.server.address() as AddressInfo;
  return new Site(opened, `http://127.0.0.1:${port}`, () => server.close());
}

function machine(name: string, address: string, userData?: string): HardwareManifest {
  const mac = `52:54:00:00:00:${name === 'mine' ? '01' : '02'}`;
  const dhcp = { mac, hostname: `${name}.example`, ip: { address, netmask: '255.0.0.0' } };
  return {
    name,
    labels: {},
    annotations: {},
    spec: { disks: [], interfaces: [{ dhcp }], ...(userData === undefined ? {} : { userData }) },
  };
}

describe('metadata', () => {
  it('gives the machine that asks its own values and user data, under both versions', LIMIT, async () => {
    await using site = await startSite();
    await site.apply(
      machine('mine', '127.0.0.1', '#cloud-config\nmine: ü\n'),
      machine('other', '127.0.0.9', 'other’s'),
    );

    for (const version of ['2009-04-04', 'latest']) {
      assert.deepEqual(await site.get(`/${version}/user-data`), [200, '#cloud-config\nmine: ü\n']);
      assert.deepEqual(await site.get(`/${version}/meta-data/hostname`), [200, 'mine.example']);
      assert.deepEqual(await site.get(`/${version}/`), [200, 'meta-data/\nuser-data']);
      for (const path of ['meta-data', 'meta-data/']) {
        assert.deepEqual(await site.get(`/${version}/${path}`), [
          200,
          'instance-id\nhostname\nlocal-hostname\nlocal-ipv4',
        ]);
      }
    }
  });

  it('tells a caller that is no machine nothing, whatever it claims to forward', LIMIT, async () => {
    await using site = await startSite();
    await site.apply(machine('other', '127.0.0.9', 'secret'));

    for (const headers of [
      {},
      { 'x-forwarded-for': '127.0.0.9' },
      { forwarded: 'for=127.0.0.9' },
      { host: '127.0.0.9' },
    ]) {
      const [status, body] = await site.get('/2009-04-04/user-data', { headers });
      assert.equal(status, 404);
      assert.ok(!body.includes('secret'));
    }
    assert.equal((await site.get('/phone-home', { method: 'POST' }))[0], 404);
  });

  it('knows a machine by its pool lease, until that is over', LIMIT, async () => {
    await using site = await startSite();
    await site.apply(machine('mine', '10.9.9.9', 'data'));
    const lease = { mac: '52:54:00:00:00:01', address: '127.0.0.1', netmask: '255.0.0.0' };
    await site.opened.store.putSetting(
      'dhcp.lease.52:54:00:00:00:01',
      writePoolLease({ ...lease, expiresAt: new Date(NOW.getTime() + 1) }),
    );
    assert.deepEqual(await site.get('/latest/user-data'), [200, 'data']);

    await site.opened.store.putSetting('dhcp.lease.52:54:00:00:00:01', writePoolLease({ ...lease, expiresAt: NOW }));
    assert.equal((await site.get('/latest/user-data'))[0], 404);
  });

  it('gives nobody the user data of an address that was reserved while a stranger holds its lease', LIMIT, async () => {
    await using site = await startSite();
    const lease = { mac: '52:54:00:00:00:99', address: '127.0.0.1', netmask: '255.0.0.0' };
    const record = (expiresAt: Date) => writePoolLease({ ...lease, expiresAt });
    await site.opened.store.putSetting('dhcp.lease.52:54:00:00:00:99', record(new Date(NOW.getTime() + 1)));
    await site.apply(machine('mine', '127.0.0.1', 'secret'));
    const during = await site.get('/latest/user-data');
    await site.opened.store.putSetting('dhcp.lease.52:54:00:00:00:99', record(NOW));

    assert.equal(during[0], 404);
    assert.ok(!during[1].includes('secret'));
    assert.deepEqual(await site.get('/latest/user-data'), [200, 'secret']);
  });

  it(
    'answers 404 for values and user data that there are none of, and keeps answers out of caches',
    LIMIT,
    async () => {
      await using site = await startSite();
      await site.apply(machine('mine', '127.0.0.1'));

      for (const path of [
        'user-data',
        'meta-data/public-ipv6',
        'meta-data/__proto__',
        'meta-data/%2e%2e/user-data',
        'nothing',
      ]) {
        assert.equal((await site.get(`/2009-04-04/${path}`))[0], 404, path);
      }
      const response = await fetch(`${site.url}/latest/meta-data/hostname`);
      assert.equal(response.headers.get('cache-control'), 'no-store');
    },
  );

  it('does not take the agent’s questions during provisioning for an installed system', LIMIT, async () => {
    await using site = await startSite();
    await site.apply(machine('mine', '127.0.0.1', 'data'));

    await site.get('/2009-04-04/user-data');
    await site.get('/phone-home', { method: 'POST', body: 'hostname=x' });

    assert.equal(await site.readyAt('mine'), undefined);
  });

  for (const [what, path, init] of [
    ['asks for its metadata', '/latest/meta-data/instance-id', {}],
    ['asks for user data that it has none of', '/latest/user-data', {}],
    [
      'phones home as cloud-init does',
      '/phone-home',
      { method: 'POST', body: new URLSearchParams({ instance_id: 'i', pub_key_rsa: 'k' }) },
    ],
    [
      'phones home with JSON',
      '/phone-home',
      { method: 'POST', body: '{', headers: { 'content-type': 'application/json' } },
    ],
    ['phones home without a body', '/phone-home', { method: 'POST' }],
  ] as const) {
    it(`notes once that an installed system is up when it ${what}`, LIMIT, async () => {
      await using site = await startSite();
      await site.apply(machine('mine', '127.0.0.1'));
      await site.install('mine');
      assert.equal((await site.opened.store.hardware('mine'))?.stage, 'installed');

      await site.get(path, init);
      await site.get(path, init);

      assert.deepEqual(await site.readyAt('mine'), NOW);
      assert.equal((await site.opened.store.events({ names: ['machine.ready'] })).length, 1);
    });
  }

  it('refuses to read a phone-home of a megabyte', LIMIT, async () => {
    await using site = await startSite();
    await site.apply(machine('mine', '127.0.0.1'));

    assert.equal((await site.get('/phone-home', { method: 'POST', body: 'x'.repeat(1_000_000) }))[0], 413);
  });
});
