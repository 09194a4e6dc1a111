import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { describe, it } from 'node:test';
import { writePoolLease } from '#server/store/pool-lease.ts';
import { type BootSite, NOW, startBootSite } from '#test/support/boot-site.ts';
import { someInventory } from '#test/support/records.ts';

const LIMIT = { timeout: 60_000 };
const MAC = '52:54:00:77:00:01';

describe('boot script over HTTP', () => {
  it('gives a known machine a token whose hash, and nothing else, the store and the log have', LIMIT, async () => {
    await using site = await startBootSite();
    await site.addMachine(MAC);

    const { status, body } = await site.script(MAC);
    const token = /tinsmith\.token=(\S+)/.exec(body)?.[1] ?? '';

    assert.equal(status, 200);
    assert.match(token, /^[\w-]{43}$/);
    assert.equal((await site.opened.store.hardware('node'))?.stage, 'booting');
    assert.ok(!site.log.join('').includes(token));
    const events = JSON.stringify(await site.opened.store.events());
    assert.ok(events.includes('machine.booting') && !events.includes(token));
    await assert.doesNotReject(enroll(site, token));
  });

  it('makes a new token each time, and the older one is worth nothing then', LIMIT, async () => {
    await using site = await startBootSite();
    await site.addMachine(MAC);
    const [first, second] = [await site.script(MAC), await site.script(MAC.replaceAll(':', '-').toUpperCase())].map(
      ({ body }) => /tinsmith\.token=(\S+)/.exec(body)?.[1] ?? '',
    );

    assert.notEqual(first, second);
    await assert.rejects(enroll(site, first ?? ''), { code: 'unauthenticated' });
    await assert.doesNotReject(enroll(site, second ?? ''));
  });

  it('makes no token for a HEAD request', LIMIT, async () => {
    await using site = await startBootSite();
    await site.addMachine(MAC);

    assert.equal((await site.script(MAC, { method: 'HEAD' })).status, 404);
    assert.equal((await site.opened.store.hardware('node'))?.stage, 'discovered');
  });

  it('refuses a request from another address than the machine’s, whatever it claims to forward', LIMIT, async () => {
    await using site = await startBootSite();
    await site.addMachine(MAC, { address: '127.0.0.9' });

    const { status } = await site.script(MAC, { headers: { 'x-forwarded-for': '127.0.0.9' } });

    assert.equal(status, 403);
    assert.equal((await site.opened.store.hardware('node'))?.stage, 'discovered');
    assert.ok(site.log.some((line) => line.includes('boot.refused')));
  });

  it(
    'gives no token for an interface that has no address of ours, unless its record leaves addresses to others',
    LIMIT,
    async () => {
      await using site = await startBootSite();
      await site.addMachine(MAC, { iface: { dhcp: { mac: MAC } } });
      const stranger = await site.script(MAC);
      await site.addMachine(MAC, { iface: { dhcp: { mac: MAC }, disableDhcp: true } });
      const elsewhere = await site.script(MAC);

      assert.equal(stranger.status, 403);
      assert.ok(!stranger.body.includes('token'));
      assert.equal(elsewhere.status, 200);
    },
  );

  it('does not judge addresses when another DHCP server gives them', LIMIT, async () => {
    await using site = await startBootSite({ dhcpMode: 'proxy' });
    await site.addMachine(MAC, { address: '127.0.0.9' });

    assert.equal((await site.script(MAC)).status, 200);
  });

  it('refuses an interface that may not netboot', LIMIT, async () => {
    await using site = await startBootSite();
    await site.addMachine(MAC, { iface: { netboot: { allowPXE: false } } });

    assert.equal((await site.script(MAC)).status, 403);
  });

  it(
    'lets a machine whose netboot is off boot its disk, without token and without a change of its stage',
    LIMIT,
    async () => {
      await using site = await startBootSite();
      await site.addMachine(MAC);
      await site.opened.transitions.setNetboot('node', false, { actor: 'operator' });

      const { status, body } = await site.script(MAC);

      assert.equal(status, 200);
      assert.match(body, /boots its disk/);
      assert.ok(!body.includes('token'));
      assert.equal((await site.opened.store.hardware('node'))?.stage, 'discovered');
    },
  );

  it('says which value of the record cannot be put into a script, and starts no boot', LIMIT, async () => {
    await using site = await startBootSite();
    await site.addMachine(MAC, { iface: { netboot: { osie: { kernelParams: ['a\nshell'] } } } });

    const { status, body } = await site.script(MAC);

    assert.equal(status, 400);
    assert.match(body, /osie\.kernelParams/);
    assert.equal((await site.opened.store.hardware('node'))?.stage, 'discovered');
  });

  for (const mac of ['52:54:00:77:00:99', 'zz', '..', '%00', 'a'.repeat(99)]) {
    it(`has no script for ${mac.slice(0, 20)}`, LIMIT, async () => {
      await using site = await startBootSite();

      assert.ok([400, 404, 414].includes((await site.script(mac)).status));
    });
  }

  it('makes a Hardware of an unknown machine with a lease of ours, once, when discovery is on', LIMIT, async () => {
    await using site = await startBootSite({ discovery: true });
    await putLease(site, { address: '127.0.0.1' });

    const first = await site.script(MAC);
    const second = await site.script(MAC);

    assert.deepEqual([first.status, second.status], [200, 200]);
    const [hardware, ...others] = await site.opened.store.listHardware();
    assert.equal(others.length, 0);
    assert.deepEqual(hardware?.spec.interfaces[0]?.dhcp?.ip?.address, '127.0.0.1');
    assert.deepEqual(
      [hardware?.spec.interfaces[0]?.dhcp?.arch, hardware?.spec.interfaces[0]?.dhcp?.uefi],
      ['x86_64', true],
    );
    assert.equal(hardware?.stage, 'booting');
  });

  it('discovers nobody without a lease, with another’s lease or with an expired one', LIMIT, async () => {
    await using site = await startBootSite({ discovery: true });
    const without = await site.script(MAC);
    await putLease(site, { address: '127.0.0.9' });
    const another = await site.script(MAC);
    await putLease(site, { address: '127.0.0.1', expiresAt: NOW });
    const expired = await site.script(MAC);

    assert.deepEqual([without.status, another.status, expired.status], [403, 403, 403]);
    assert.equal((await site.opened.store.listHardware()).length, 0);
  });
});

async function putLease(site: BootSite, change: { address: string; expiresAt?: Date }): Promise<void> {
  const lease = {
    mac: MAC,
    netmask: '255.0.0.0',
    expiresAt: new Date(NOW.getTime() + 1000),
    arch: 'x86_64',
    uefi: true,
    ...change,
  };
  await site.opened.store.putSetting(`dhcp.lease.${MAC}`, writePoolLease(lease));
}

async function enroll(site: BootSite, token: string): Promise<unknown> {
  return site.opened.transitions.enroll(
    {
      tokenHash: createHash('sha256').update(token).digest('hex'),
      mac: MAC,
      nonce: 'n',
      keyHash: 'k',
      bootId: 'b',
      agentVersion: '1',
      inventory: someInventory,
    },
    { actor: 'agent' },
  );
}
