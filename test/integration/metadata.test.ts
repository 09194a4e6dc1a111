import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { parse } from 'yaml';
import type { MetadataRoutesOptions } from '#server/installed/metadata-routes.ts';
import { writePoolLease } from '#server/store/pool-lease.ts';
import { type MetadataSite, metadataSite, SITE_TIME, siteMachine } from '#test/support/metadata-site.ts';
import { someInventory, steppingClock } from '#test/support/records.ts';

const LIMIT = { timeout: 60_000 };
const CAUSE = { actor: 'operator' } as const;

const asking = (value: string): RequestInit => ({ headers: { 'x-aws-ec2-metadata-token': value } });

const asked = (macs: Record<string, string>, onLink = true): Partial<MetadataRoutesOptions> => ({
  neighbours: { areOnLink: () => onLink, macOf: async (address) => Promise.resolve(macs[address]) },
});

describe('metadata', () => {
  it('gives the machine that asks its own values and user data, under both versions', LIMIT, async () => {
    await using site = await metadataSite();
    await site.apply(
      siteMachine('mine', '127.0.0.1', '#cloud-config\nmine: ü\n'),
      siteMachine('other', '127.0.0.9', 'other’s'),
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
    await using site = await metadataSite();
    await site.apply(siteMachine('other', '127.0.0.9', 'secret'));

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
    await using site = await metadataSite();
    await site.apply(siteMachine('mine', '10.9.9.9', 'data'));
    const lease = { mac: '52:54:00:00:00:01', address: '127.0.0.1', netmask: '255.0.0.0' };
    await site.opened.store.putSetting(
      'dhcp.lease.52:54:00:00:00:01',
      writePoolLease({ ...lease, expiresAt: new Date(SITE_TIME.getTime() + 1) }),
    );
    assert.deepEqual(await site.get('/latest/user-data'), [200, 'data']);

    await site.opened.store.putSetting(
      'dhcp.lease.52:54:00:00:00:01',
      writePoolLease({ ...lease, expiresAt: SITE_TIME }),
    );
    assert.equal((await site.get('/latest/user-data'))[0], 404);
  });

  it('gives nobody the user data of an address that was reserved while a stranger holds its lease', LIMIT, async () => {
    await using site = await metadataSite();
    const lease = { mac: '52:54:00:00:00:99', address: '127.0.0.1', netmask: '255.0.0.0' };
    const record = (expiresAt: Date) => writePoolLease({ ...lease, expiresAt });
    await site.opened.store.putSetting('dhcp.lease.52:54:00:00:00:99', record(new Date(SITE_TIME.getTime() + 1)));
    await site.apply(siteMachine('mine', '127.0.0.1', 'secret'));
    const during = await site.get('/latest/user-data');
    await site.opened.store.putSetting('dhcp.lease.52:54:00:00:00:99', record(SITE_TIME));

    assert.equal(during[0], 404);
    assert.ok(!during[1].includes('secret'));
    assert.deepEqual(await site.get('/latest/user-data'), [200, 'secret']);
  });

  it(
    'answers 404 for values and user data that there are none of, and keeps answers out of caches',
    LIMIT,
    async () => {
      await using site = await metadataSite();
      await site.apply(siteMachine('mine', '127.0.0.1'));

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
    await using site = await metadataSite();
    await site.apply(siteMachine('mine', '127.0.0.1', 'data'));

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
      await using site = await metadataSite();
      await site.apply(siteMachine('mine', '127.0.0.1'));
      await site.install('mine');
      assert.equal((await site.opened.store.hardware('mine'))?.stage, 'installed');

      await site.get(path, init);
      await site.get(path, init);

      assert.deepEqual(await site.readyAt('mine'), SITE_TIME);
      assert.equal((await site.opened.store.events({ names: ['machine.ready'] })).length, 1);
    });
  }

  it('refuses to read a phone-home of a megabyte', LIMIT, async () => {
    await using site = await metadataSite();
    await site.apply(siteMachine('mine', '127.0.0.1'));

    assert.equal((await site.get('/phone-home', { method: 'POST', body: 'x'.repeat(1_000_000) }))[0], 413);
  });
});

describe('metadata tokens', () => {
  const ttl = 'x-aws-ec2-metadata-token-ttl-seconds';
  const path = '/latest/meta-data/hostname';

  async function token(site: MetadataSite, seconds: string): Promise<string> {
    const [status, body] = await site.get('/latest/api/token', { method: 'PUT', headers: { [ttl]: seconds } });
    assert.equal(status, 200, body);
    return body;
  }

  it('are not needed by default, but one that is shown must be good', LIMIT, async () => {
    await using site = await metadataSite();
    await site.apply(siteMachine('mine', '127.0.0.1'));

    assert.equal((await site.get(path))[0], 200);
    assert.equal((await site.get(path, asking(await token(site, '60'))))[0], 200);
    assert.equal((await site.get(path, asking('made-up')))[0], 401);
  });

  it('can be asked for every question, and end', LIMIT, async () => {
    const { now, advance } = steppingClock();
    await using site = await metadataSite({ tokenRequired: true, clock: now });
    await site.apply(siteMachine('mine', '127.0.0.1', 'data'));
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
    await using site = await metadataSite();
    const put = async (headers: Record<string, string>) =>
      (await site.get('/latest/api/token', { method: 'PUT', headers }))[0];
    assert.equal(await put({ [ttl]: '60' }), 404);
    await site.apply(siteMachine('mine', '127.0.0.1'));

    assert.equal(await put({ [ttl]: '60', 'x-forwarded-for': '127.0.0.1' }), 403);
    for (const seconds of ['0', '21601', '-1', '1.5', 'x']) assert.equal(await put({ [ttl]: seconds }), 400, seconds);
    assert.equal(await put({}), 400);
    assert.equal(await put({ [ttl]: '21600' }), 200);
  });
});

describe('metadata and the neighbour table', () => {
  it('refuses whoever has a machine’s address with another MAC, and says so now and then', LIMIT, async () => {
    await using site = await metadataSite(asked({ '127.0.0.1': '52:54:00:66:66:66' }));
    await site.apply(siteMachine('mine', '127.0.0.1', 'secret'));

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
    await using site = await metadataSite(asked(macs));
    await site.apply(siteMachine('mine', '127.0.0.1', 'data'));
    assert.deepEqual(await site.get('/latest/user-data'), [200, 'data']);
    macs['127.0.0.1'] = card;
    assert.equal((await site.get('/latest/user-data'))[0], 403);

    const interfaces = [{ name: 'eth1', mac: card, hasLink: true, addresses: [] }];
    await site.opened.transitions.storeInventory('mine', { ...someInventory, interfaces }, CAUSE);
    assert.deepEqual(await site.get('/latest/user-data'), [200, 'data']);
  });

  it('is not asked behind a router, nor before the kernel knows the neighbour', LIMIT, async () => {
    for (const settings of [asked({ '127.0.0.1': '52:54:00:66:66:66' }, false), asked({})]) {
      await using site = await metadataSite(settings);
      await site.apply(siteMachine('mine', '127.0.0.1', 'data'));

      assert.deepEqual(await site.get('/latest/user-data'), [200, 'data']);
    }
  });
});

describe('NoCloud', () => {
  it('has the four files of a machine, with the same id as EC2’s', LIMIT, async () => {
    await using site = await metadataSite();
    const mine = siteMachine('mine', '127.0.0.1', '#cloud-config\n');
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
    await using site = await metadataSite();
    assert.equal((await site.get('/nocloud/user-data'))[0], 404);
    await site.apply(siteMachine('mine', '127.0.0.1'));

    assert.deepEqual(await site.get('/nocloud/user-data'), [200, '']);
    assert.deepEqual(await site.get('/nocloud/vendor-data'), [200, '']);
  });
});

describe('the keys of a machine', () => {
  it('are listed as EC2 does behind a slash, and as Tinkerbell’s clients read them without', LIMIT, async () => {
    await using site = await metadataSite();
    const mine = siteMachine('mine', '127.0.0.1');
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
    await using site = await metadataSite();
    await site.claimMine('phoneHome');
    await site.run('mine', 1);

    await site.get('/phone-home?status=failed&detail=kubeadm%20init%20failed', { method: 'POST' });

    assert.equal((await site.opened.store.hardware('mine'))?.bootstrapFailure, 'kubeadm init failed');
    assert.equal(await site.readyAt('mine'), undefined);
    assert.deepEqual(await site.said(), ['machine.bootstrapFailed']);
    assert.equal((await site.get('/phone-home?status=perhaps', { method: 'POST' }))[0], 400);
  });
});
