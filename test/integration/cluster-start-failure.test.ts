import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { clusterDefinition } from '#test/support/cluster-records.ts';
import { START_FAILURE, startClusterWorld } from '#test/support/cluster-world.ts';

describe('a node whose system says that its first start failed', () => {
  it('is installed again, once however often it complains', async () => {
    await using world = await startClusterWorld();
    await world.addMachines('cp', 1);
    await world.createCluster(clusterDefinition({ workers: {} }), { retries: 1 });
    const machine = world.powerOn(1, { startFailures: 1 });
    await world.reachWorkflow('m1-install-2');

    // The system of the first try goes on complaining until somebody restarts its machine.
    for (const detail of [START_FAILURE, 'something else']) {
      await world.transitions.noteBootstrapFailed('m1', detail, { actor: 'machine' });
    }
    await machine.cycle();

    await world.reachCluster('ready');
    assert.deepEqual(
      (await world.store.listWorkflows()).map(({ name, state }) => `${name} ${state}`),
      ['m1-install-1 succeeded', 'm1-install-2 succeeded'],
    );
    const names = ['machine.bootstrapFailed', 'node.failed'] as const;
    assert.deepEqual(
      (await world.store.events({ names })).map(({ name }) => name),
      names,
    );
  });

  it('is replaced by a spare at last', async () => {
    await using world = await startClusterWorld();
    await world.addMachines('cp', 1, 3);
    await world.createCluster(clusterDefinition({ workers: {} }), { retries: 0 });
    world.powerOn(1, { startFailures: 1 });
    world.powerOn(3);

    await world.reachCluster('ready');

    await world.reach('m1 failed, m3 ready');
    assert.equal((await world.store.node('m1'))?.failure, `its first start failed: ${START_FAILURE}`);
  });
});
