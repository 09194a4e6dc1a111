import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { clusterDefinition, newCluster, nodeClaim, nodeStart } from '#test/support/cluster-records.ts';
import { operator, type StoreWorld, startStoreWorld } from '#test/support/store-world.ts';
import { DEFAULT_CLUSTER_OPTIONS } from '../cluster/cluster-options.ts';

async function world(): Promise<StoreWorld> {
  const made = await startStoreWorld();
  await made.transitions.createCluster(newCluster(), operator);
  return made;
}

async function stateOf({ store }: StoreWorld): Promise<string | undefined> {
  return (await store.cluster('c1'))?.state;
}

describe('a cluster in the store', () => {
  it('keeps its definition and its secrets, and shows the secrets only to whoever asks for them', async () => {
    await using made = await world();

    const cluster = await made.store.cluster('c1');

    assert.deepEqual(cluster?.definition, clusterDefinition());
    assert.equal(cluster.state, 'creating');
    assert.deepEqual(await made.store.clusterSecrets('c1'), { 'ca.key': 'the-secret-key' });
    assert.doesNotMatch(JSON.stringify([cluster, await made.store.events()]), /the-secret-key/);
  });

  it('is created once', async () => {
    await using made = await world();

    await assert.rejects(made.transitions.createCluster(newCluster(), operator), { code: 'conflict' });
    assert.deepEqual(
      (await made.store.listClusters()).map(({ name }) => name),
      ['c1'],
    );
  });

  it('is changed only from the version that the change was made from', async () => {
    await using made = await world();
    const options = DEFAULT_CLUSTER_OPTIONS;
    const version = (await made.store.cluster('c1'))?.version ?? 0;
    await made.transitions.settleCluster('c1', operator);
    const stale = { definition: clusterDefinition({ version: '1.31' }), options, version };

    await assert.rejects(made.transitions.changeCluster('c1', stale, operator), { code: 'conflict' });
    await made.transitions.changeCluster('c1', { ...stale, version: version + 1 }, operator);

    const cluster = await made.store.cluster('c1');
    assert.equal(cluster?.state, 'changing');
    assert.equal(cluster.definition.cluster.kubernetesVersion, '1.31');
  });

  it('says once why it is blocked, says it again when the reason is another, and goes on', async () => {
    await using made = await world();
    const before = await made.newestEvent();

    for (const reason of ['no machine', 'no machine', 'm1 failed'])
      await made.transitions.blockCluster('c1', reason, operator);
    const { failure } = (await made.store.cluster('c1')) ?? {};
    await made.transitions.resumeCluster('c1', { afresh: false }, operator);
    await made.transitions.resumeCluster('c1', { afresh: false }, operator);

    assert.equal(failure, 'm1 failed');
    assert.equal(await stateOf(made), 'changing');
    assert.equal((await made.store.cluster('c1'))?.failure, undefined);
    assert.deepEqual(await made.eventNames(before), ['cluster.blocked', 'cluster.blocked', 'cluster.resumed']);
  });

  it('tries failed nodes afresh when an operator resumes it', async () => {
    await using made = await world();
    await made.transitions.claimNode(nodeClaim('m1'), operator);
    await made.transitions.startNode(nodeStart('m1', 'w1'), operator);
    await made.transitions.failWorkflow('w1', { code: 'write_failed', message: 'no disk' }, operator);
    await made.transitions.failNode('m1', 'w1', 'no disk', operator);
    await made.transitions.blockCluster('c1', 'm1 failed', operator);

    await made.transitions.resumeCluster('c1', { afresh: true }, operator);

    assert.equal((await made.store.node('m1'))?.tries, 0);
  });

  it('keeps the token that nodes join with sealed, and drops it when nobody joins any more', async () => {
    await using made = await world();
    const token = { token: 'abcdef.0123456789abcdef', expiresAt: new Date('2026-01-02T00:00:00Z') };

    await made.transitions.putClusterToken('c1', token);
    assert.deepEqual(await made.store.clusterToken('c1'), token);
    await made.transitions.putClusterToken('c1', undefined);

    assert.equal(await made.store.clusterToken('c1'), undefined);
  });

  it('is removed only when it is being deleted and has no nodes, with its templates and secrets', async () => {
    await using made = await world();
    await made.transitions.claimNode(nodeClaim('m1'), operator);
    await made.transitions.startNode(nodeStart('m1', 'w1'), operator);
    await assert.rejects(made.transitions.deleteCluster('c1', operator), { code: 'conflict', message: /creating/ });
    await made.transitions.startClusterDelete('c1', DEFAULT_CLUSTER_OPTIONS, operator);
    await made.transitions.startClusterDelete('c1', DEFAULT_CLUSTER_OPTIONS, operator);
    await assert.rejects(made.transitions.deleteCluster('c1', operator), { code: 'conflict', message: /1 node/ });

    await made.transitions.startRelease({ hardware: 'm1', reason: 'the cluster goes' }, operator);
    await made.transitions.releaseNode('m1', operator);
    await made.transitions.deleteCluster('c1', operator);

    assert.equal(await made.store.cluster('c1'), undefined);
    assert.deepEqual(await made.store.listTemplates(), []);
    await assert.rejects(made.store.clusterSecrets('c1'), { code: 'not_found' });
  });
});
