import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { nodeStart } from '#test/support/cluster-records.ts';
import { metadataSite, SITE_TIME } from '#test/support/metadata-site.ts';

const LIMIT = { timeout: 60_000 };
const CAUSE = { actor: 'operator' } as const;

describe('user data that holds keys', () => {
  it('is given until the system phoned home, and never again to this installation', LIMIT, async () => {
    await using site = await metadataSite();
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
      await using site = await metadataSite();
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
    await using site = await metadataSite({ keepSecrets: true });
    await site.claimMine('phoneHome');
    await site.run('mine', 1);
    await site.get('/latest/user-data');
    await site.get('/phone-home', { method: 'POST' });

    assert.deepEqual(await site.get('/latest/user-data'), [200, 'keys']);
  });

  it('goes to the agent alone where the installed system never asks', LIMIT, async () => {
    await using site = await metadataSite();
    await site.claimMine('installed');
    assert.deepEqual(await site.get('/2009-04-04/user-data'), [200, 'keys']);
    await site.run('mine', 1);

    assert.equal((await site.get('/2009-04-04/user-data'))[0], 404);
    assert.deepEqual(await site.readyAt('mine'), SITE_TIME);
  });

  it('is served again when the machine is installed again', LIMIT, async () => {
    await using site = await metadataSite();
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
