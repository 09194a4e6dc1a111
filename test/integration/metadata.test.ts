import assert from 'node:assert/strict';
import type { AddressInfo } from 'node:net';
import { describe, it } from 'node:test';
import { fastify } from 'fastify';
import { parse } from 'yaml';
import { type MetadataRoutesOptions, metadataRoutes } from '#server/installed/metadata-routes.ts';
import type { HardwareManifest } from '#server/manifests/hardware-kind.ts';
import { writePoolLease } from '#server/store/pool-lease.ts';
import { openSqliteStore, type SqliteStore } from '#server/store/sqlite-store.ts';
import { clusterDefinition, newCluster, nodeClaim, nodeStart } from '#test/support/cluster-records.ts';
import {
  agentSession,
  plannedWorkflow,
  someInventory,
  steppingClock,
  storedSequence,
  succeededAt,
} from '#test/support/records.ts';

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

  /** Names of the events of what installed systems did. */
  async said(): Promise<readonly string[]> {
    const names = [
      'machine.ready',
      'machine.phonedHome',
      'machine.bootstrapFailed',
      'userData.fetched',
      'userData.withheld',
      'metadata.refused',
    ] as const;
    return (await this.opened.store.events({ names })).map(({ name }) => name);
  }

  /** Machine `mine` as a node whose user data holds keys; its workflow is not run yet. */
  async claimMine(readyBy: 'phoneHome' | 'installed'): Promise<void> {
    const { transitions } = this.opened;
    await this.apply(machine('mine', '127.0.0.1'));
    await transitions.createCluster(newCluster(clusterDefinition({ name: 'c1' })), CAUSE);
    await transitions.claimNode(nodeClaim('mine'), CAUSE);
    const secret = { userData: 'keys', readyBy, userDataPolicy: 'untilReady' } as const;
    await transitions.startNode(nodeStart('mine', 'w-mine', secret), CAUSE);
  }

  /** A workflow of two actions, to its end. */
  async install(name: string): Promise<void> {
    const workflows = [plannedWorkflow(`w-${name}`, [name])];
    await this.opened.transitions.apply({ hardware: [], templates: [], workflows }, CAUSE);
    await this.run(name, 2);
  }

  /** The workflow of a machine, which has so many actions. */
  async run(name: string, actions: number): Promise<void> {
    const { transitions } = this.opened;
    const session = agentSession(name, 's');
    const ref = { workflow: `w-${name}`, attempt: 1, task: 0 };
    await transitions.agentConnected(session, CAUSE);
    let sequence = 0;
    const stored = () => storedSequence(session, (sequence += 1));
    await transitions.taskAccepted(ref, stored(), CAUSE);
    for (let action = 0; action < actions; action += 1) {
      await transitions.actionStarted({ ...ref, action }, NOW, stored(), CAUSE);
      await transitions.actionFinished({ ...ref, action }, succeededAt(NOW), stored(), CAUSE);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#close();
    await this.opened[Symbol.asyncDispose]();
  }
}

async function startSite(settings: Partial<MetadataRoutesOptions> = {}): Promise<Site> {
  const clock = settings.clock ?? (() => NOW);
  const opened = await openSqliteStore({ path: ':memory:', clock });
  const server = fastify();
  await server.register(metadataRoutes({ ...opened, clock, ...settings }));
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

const asking = (value: string): RequestInit => ({ headers: { 'x-aws-ec2-metadata-token': value } });

const asked = (macs: Record<string, string>, onLink = true): Partial<MetadataRoutesOptions> => ({
  neighbours: { areOnLink: () => onLink, macOf: async (address) => Promise.resolve(macs[address]) },
});

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
        const more = version === 'latest' ? '\nmac' : '';
        assert.deepEqual(await site.get(`/${version}/${path}`), [
          200,
          `instance-id\nhostname\nlocal-hostname\nlocal-ipv4${more}\nnetwork/`,
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

describe('metadata tokens', () => {
  const ttl = 'x-aws-ec2-metadata-token-ttl-seconds';
  const path = '/latest/meta-data/hostname';

  async function token(site: Site, seconds: string): Promise<string> {
    const [status, body] = await site.get('/latest/api/token', { method: 'PUT', headers: { [ttl]: seconds } });
    assert.equal(status, 200, body);
    return body;
  }

  it('are not needed by default, but one that is shown must be good', LIMIT, async () => {
    await using site = await startSite();
    await site.apply(machine('mine', '127.0.0.1'));

    assert.equal((await site.get(path))[0], 200);
    assert.equal((await site.get(path, asking(await token(site, '60'))))[0], 200);
    assert.equal((await site.get(path, asking('made-up')))[0], 401);
  });

  it('can be asked for every question, and end', LIMIT, async () => {
    const { now, advance } = steppingClock();
    await using site = await startSite({ tokenRequired: true, clock: now });
    await site.apply(machine('mine', '127.0.0.1', 'data'));
    const good = asking(await token(site, '60'));

    for (const data of [
      path,
      '/latest/user-data',
      '/2009-04-04/user-data',
      '/nocloud/user-data',
      '/nocloud/meta-data',
    ]) {
      assert.equal((await site.get(data))[0], 401, data);
      assert.equal((await site.get(data, good))[0], 200, data);
    }
    assert.equal((await site.get('/phone-home', { method: 'POST' }))[0], 200);
    advance(60_000);
    assert.equal((await site.get(path, good))[0], 401);
  });

  it('are refused to strangers, through proxies and for longer than six hours', LIMIT, async () => {
    await using site = await startSite();
    const put = async (headers: Record<string, string>) =>
      (await site.get('/latest/api/token', { method: 'PUT', headers }))[0];
    assert.equal(await put({ [ttl]: '60' }), 404);
    await site.apply(machine('mine', '127.0.0.1'));

    assert.equal(await put({ [ttl]: '60', 'x-forwarded-for': '127.0.0.1' }), 403);
    for (const seconds of ['0', '21601', '-1', '1.5', 'x']) assert.equal(await put({ [ttl]: seconds }), 400, seconds);
    assert.equal(await put({}), 400);
    assert.equal(await put({ [ttl]: '21600' }), 200);
  });
});

describe('metadata and the neighbour table', () => {
  it('refuses whoever has a machine’s address with another MAC, and says so now and then', LIMIT, async () => {
    await using site = await startSite(asked({ '127.0.0.1': '52:54:00:66:66:66' }));
    await site.apply(machine('mine', '127.0.0.1', 'secret'));

    for (const path of ['/latest/user-data', '/nocloud/user-data', '/latest/meta-data/hostname']) {
      const [status, body] = await site.get(path);
      assert.equal(status, 403, path);
      assert.ok(!body.includes('secret') && !body.includes('mine'));
    }
    assert.equal((await site.get('/phone-home', { method: 'POST' }))[0], 403);
    assert.equal((await site.get('/latest/api/token', { method: 'PUT' }))[0], 403);
    assert.deepEqual(await site.said(), ['metadata.refused']);
  });

  it('serves the machine itself, also by a card that only its agent saw', LIMIT, async () => {
    const card = '52:54:00:77:00:09';
    const macs: Record<string, string> = { '127.0.0.1': '52:54:00:00:00:01' };
    await using site = await startSite(asked(macs));
    await site.apply(machine('mine', '127.0.0.1', 'data'));
    assert.deepEqual(await site.get('/latest/user-data'), [200, 'data']);
    macs['127.0.0.1'] = card;
    assert.equal((await site.get('/latest/user-data'))[0], 403);

    const interfaces = [{ name: 'eth1', mac: card, hasLink: true, addresses: [] }];
    await site.opened.transitions.storeInventory('mine', { ...someInventory, interfaces }, CAUSE);
    assert.deepEqual(await site.get('/latest/user-data'), [200, 'data']);
  });

  it('is not asked behind a router, nor before the kernel knows the neighbour', LIMIT, async () => {
    for (const settings of [asked({ '127.0.0.1': '52:54:00:66:66:66' }, false), asked({})]) {
      await using site = await startSite(settings);
      await site.apply(machine('mine', '127.0.0.1', 'data'));

      assert.deepEqual(await site.get('/latest/user-data'), [200, 'data']);
    }
  });
});

describe('user data that holds keys', () => {
  it('is given until the system phoned home, and never again to this installation', LIMIT, async () => {
    await using site = await startSite();
    await site.claimMine('phoneHome');
    assert.deepEqual(await site.get('/2009-04-04/user-data'), [200, 'keys'], 'to the agent');
    await site.run('mine', 1);

    for (const _ of [1, 2]) assert.deepEqual(await site.get('/latest/user-data'), [200, 'keys'], 'to the new system');
    await site.get('/phone-home', { method: 'POST' });
    for (const _ of [1, 2]) assert.equal((await site.get('/latest/user-data'))[0], 404);
    // An empty file is NoCloud's "none": a missing one makes cloud-init take the machine for a new one.
    assert.deepEqual(await site.get('/nocloud/user-data'), [200, '']);

    assert.deepEqual(await site.said(), [
      'userData.fetched',
      'machine.phonedHome',
      'machine.ready',
      'userData.withheld',
    ]);
    assert.equal((await site.get('/latest/meta-data/hostname'))[0], 200, 'the rest is still there');
  });

  it('is not fetched by asking for its head alone', LIMIT, async () => {
    for (const path of ['/latest/user-data', '/2009-04-04/user-data', '/nocloud/user-data']) {
      await using site = await startSite();
      await site.claimMine('phoneHome');
      await site.run('mine', 1);
      await site.get('/phone-home', { method: 'POST' });

      assert.deepEqual(await site.get(path, { method: 'HEAD' }), [200, '']);
      assert.deepEqual(await site.said(), ['machine.phonedHome', 'machine.ready']);
      assert.deepEqual(await site.get(path), [200, 'keys']);
      assert.equal((await site.get('/latest/user-data'))[0], 404);
    }
  });

  it('is given on if the setting says so', LIMIT, async () => {
    await using site = await startSite({ keepSecrets: true });
    await site.claimMine('phoneHome');
    await site.run('mine', 1);
    await site.get('/latest/user-data');
    await site.get('/phone-home', { method: 'POST' });

    assert.deepEqual(await site.get('/latest/user-data'), [200, 'keys']);
  });

  it('goes to the agent alone where the installed system never asks', LIMIT, async () => {
    await using site = await startSite();
    await site.claimMine('installed');
    assert.deepEqual(await site.get('/2009-04-04/user-data'), [200, 'keys']);
    await site.run('mine', 1);

    assert.equal((await site.get('/2009-04-04/user-data'))[0], 404);
    assert.deepEqual(await site.readyAt('mine'), NOW);
  });

  it('is served again when the machine is installed again', LIMIT, async () => {
    await using site = await startSite();
    await site.claimMine('phoneHome');
    await site.run('mine', 1);
    await site.get('/latest/user-data');
    await site.get('/phone-home', { method: 'POST' });
    assert.equal((await site.get('/latest/user-data'))[0], 404);

    await site.opened.transitions.installNode('mine', 'w-mine', CAUSE);
    await site.opened.transitions.startNode(nodeStart('mine', 'w2', { userData: 'new keys', revision: 'r2' }), CAUSE);

    assert.deepEqual(await site.get('/latest/user-data'), [200, 'new keys']);
  });
});

describe('NoCloud', () => {
  it('has the four files of a machine, with the same id as EC2’s', LIMIT, async () => {
    await using site = await startSite();
    const mine = machine('mine', '127.0.0.1', '#cloud-config\n');
    const metadata = { instance: { id: 'i: "1"', hostname: 'host', ssh_keys: ['ssh-ed25519 AAAA a@b'] } };
    await site.apply({ ...mine, spec: { ...mine.spec, metadata, vendorData: '#cloud-config\nvendor: 1\n' } });

    assert.deepEqual(await site.get('/nocloud/user-data'), [200, '#cloud-config\n']);
    assert.deepEqual(await site.get('/nocloud/vendor-data'), [200, '#cloud-config\nvendor: 1\n']);
    assert.deepEqual(parse((await site.get('/nocloud/meta-data'))[1]), {
      'instance-id': 'i: "1"',
      'local-hostname': 'host',
      'public-keys': ['ssh-ed25519 AAAA a@b'],
    });
    assert.deepEqual(await site.get('/latest/meta-data/instance-id'), [200, 'i: "1"']);
    assert.deepEqual(parse((await site.get('/nocloud/network-config'))[1]), {
      version: 2,
      ethernets: { id0: { match: { macaddress: '52:54:00:00:00:01' }, addresses: ['127.0.0.1/8'] } },
    });
  });

  it('has empty files where there is nothing to say, and none for strangers', LIMIT, async () => {
    await using site = await startSite();
    assert.equal((await site.get('/nocloud/user-data'))[0], 404);
    await site.apply(machine('mine', '127.0.0.1'));

    assert.deepEqual(await site.get('/nocloud/user-data'), [200, '']);
    assert.deepEqual(await site.get('/nocloud/vendor-data'), [200, '']);
  });
});

describe('the keys of a machine', () => {
  it('are listed as EC2 does behind a slash, and as Tinkerbell’s clients read them without', LIMIT, async () => {
    await using site = await startSite();
    const mine = machine('mine', '127.0.0.1');
    const metadata = { instance: { ssh_keys: ['ssh-ed25519 AAAA==', 'ssh-rsa BBBB', 'ssh-ed25519 AAAA=='] } };
    await site.apply({ ...mine, spec: { ...mine.spec, metadata } });
    const folder = '/2009-04-04/meta-data/public-keys';

    assert.ok((await site.get('/2009-04-04/meta-data/'))[1].split('\n').includes('public-keys/'));
    assert.deepEqual(await site.get(`${folder}/`), [200, '0=key-0\n1=key-1']);
    assert.deepEqual(await site.get(`${folder}/1/openssh-key`), [200, 'ssh-rsa BBBB']);
    assert.deepEqual(await site.get(folder), [200, 'ssh-ed25519 AAAA==\nssh-rsa BBBB']);
    assert.equal((await site.get(`${folder}/2/openssh-key`))[0], 404);
  });
});

describe('a phone call', () => {
  it('that complains is shown, and does not make the machine ready', LIMIT, async () => {
    await using site = await startSite();
    await site.claimMine('phoneHome');
    await site.run('mine', 1);

    await site.get('/phone-home?status=failed&detail=kubeadm%20init%20failed', { method: 'POST' });

    assert.equal((await site.opened.store.hardware('mine'))?.bootstrapFailure, 'kubeadm init failed');
    assert.equal(await site.readyAt('mine'), undefined);
    assert.deepEqual(await site.said(), ['machine.bootstrapFailed']);
    assert.equal((await site.get('/phone-home?status=perhaps', { method: 'POST' }))[0], 400);
  });
});
