import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { clusterDefinition } from '#test/support/cluster-records.ts';
import { type ClusterWorld, eventNames, startClusterWorld } from '#test/support/cluster-world.ts';

const OPERATOR = { actor: 'operator' } as const;

/** A ready cluster `c1` of one control-plane node `m1` and one worker `m2`. */
async function readyCluster(): Promise<ClusterWorld & { machines: readonly ReturnType<ClusterWorld['powerOn']>[] }> {
  const world = await startClusterWorld();
  await world.addMachines('cp', 1);
  await world.addMachines('dp', 2);
  await world.createCluster(clusterDefinition());
  const machines = [world.powerOn(1), world.powerOn(2)];
  await world.reachCluster('ready');
  return Object.assign(world, { machines });
}

describe('changing a cluster', () => {
  it('grows by a worker, which joins with a new token', async () => {
    await using world = await readyCluster();
    await world.addMachines('dp', 3);
    world.powerOn(3);

    await world.changeCluster(clusterDefinition({ workers: { 'md-0': 2 } }));

    await world.reach('m1 ready, m2 ready, m3 ready');
    await world.reachCluster('ready');
    assert.deepEqual(world.asked, ['add token']);
  });

  it('waits, and says why, while Kubernetes does not take the new token', async () => {
    await using world = await readyCluster();
    await world.addMachines('dp', 3);
    world.powerOn(3);
    world.kubernetes.isUp = false;

    await world.changeCluster(clusterDefinition({ workers: { 'md-0': 2 } }));
    await noted(world, 'm3', /10\.9\.0\.200:6443 does not answer/);
    assert.equal((await world.store.node('m3'))?.state, 'claimed');
    world.kubernetes.isUp = true;

    await world.reachCluster('ready');
    assert.equal((await world.store.node('m3'))?.note, undefined);
  });

  it('shrinks: the node leaves Kubernetes, its machine is wiped, switched off and free', async () => {
    await using world = await readyCluster();

    await world.changeCluster(clusterDefinition({ workers: {} }));
    await world.reach('m1 ready, m2 releasing');
    assert.equal((await world.store.hardware('m2'))?.hasUserData, false);
    assert.equal((await world.store.hardware('m2'))?.netboot, true);
    await world.machines[1]?.cycle();
    await world.reachCluster('ready');

    await world.reach('m1 ready');
    assert.deepEqual(world.asked, ['remove worker m2']);
    assert.deepEqual(world.machines[1]?.ran, ['image2disk', 'reboot', 'wipe', 'poweroff']);
    const hardware = await world.store.hardware('m2');
    assert.deepEqual([hardware?.stage, hardware?.claim, hardware?.hasUserData], ['discovered', undefined, false]);
    assert.deepEqual(hardware?.labels, { type: 'dp' });
  });

  it('is upgraded with spares: each new node is ready before the old one leaves', async () => {
    await using world = await readyCluster();
    await world.addMachines('cp', 3);
    await world.addMachines('dp', 4);
    for (const number of [3, 4]) world.powerOn(number);

    await world.changeCluster(clusterDefinition({ version: '1.31' }));
    await world.reach('m1 releasing, m2 releasing, m3 ready, m4 ready');
    for (const machine of world.machines) await machine.cycle();
    await world.reachCluster('ready');

    await world.reach('m3 ready, m4 ready');
    const story = (await eventNames(world, /^node\.(ready|releasing)/)).slice(2);
    assert.deepEqual(story, ['node.ready m3', 'node.releasing m1', 'node.ready m4', 'node.releasing m2']);
    assert.deepEqual(world.asked, ['add token', 'remove controlPlane m1', 'remove worker m2']);
    assert.match((await world.store.userData('m3')) ?? '', /^joinControlPlane m3 /);
  });

  it('is upgraded on its own machines where there is no spare', async () => {
    await using world = await startClusterWorld();
    await world.addMachines('cp', 1, 2, 3);
    await world.createCluster(clusterDefinition({ controlPlane: 3, workers: {} }));
    const machines = [1, 2, 3].map((number) => world.powerOn(number));
    await world.reachCluster('ready');
    const before = await world.store.nodes('c1');

    await world.changeCluster(clusterDefinition({ controlPlane: 3, workers: {}, version: '1.31' }));
    for (const [index, machine] of machines.entries()) {
      await world.reach(stateOfThree(index, 'provisioning'));
      await machine.cycle();
    }
    await world.reachCluster('ready');

    const after = await world.store.nodes('c1');
    assert.deepEqual(
      after.map(({ hardware }) => hardware).toSorted(),
      before.map(({ hardware }) => hardware).toSorted(),
    );
    assert.equal(new Set(after.map(({ revision }) => revision)).size, 1);
    assert.notEqual(after[0]?.revision, before[0]?.revision);
    assert.deepEqual(
      world.asked.filter((what) => what.startsWith('remove')),
      ['remove controlPlane m1', 'remove controlPlane m2', 'remove controlPlane m3'],
    );
  });

  it('keeps a node until it has left Kubernetes, unless told not to ask', async () => {
    await using world = await readyCluster();
    world.kubernetes.isUp = false;

    await world.changeCluster(clusterDefinition({ workers: {} }));
    await noted(world, 'm2', /m2 has to leave Kubernetes first: .*does not answer.*--skip-drain/);
    assert.equal((await world.store.node('m2'))?.state, 'ready');
    await world.changeCluster(clusterDefinition({ workers: {} }), { skipDrain: true });

    await world.reach('m1 ready, m2 releasing');
    assert.deepEqual(world.asked, []);
  });
});

describe('a machine that is taken out of its cluster', () => {
  it('is replaced by a spare and not taken again', async () => {
    await using world = await readyCluster();
    await world.addMachines('dp', 3);
    world.powerOn(3);

    await world.transitions.withdrawNode({ hardware: 'm2', wipe: false }, OPERATOR);

    await world.reach('m1 ready, m3 ready');
    await world.reachCluster('ready');
    assert.equal((await world.store.hardware('m2'))?.stage, 'installed', 'its disk was left as it is');
  });
});

describe('deleting a cluster', () => {
  it('wipes its workers, then its control plane, and forgets its secrets', async () => {
    await using world = await readyCluster();
    const { options } = (await world.store.cluster('c1')) ?? {};
    assert.ok(options);

    await world.transitions.startClusterDelete('c1', options, OPERATOR);
    await world.reach('m1 ready, m2 releasing');
    await world.machines[1]?.cycle();
    await world.reach('m1 releasing');
    await world.machines[0]?.cycle();
    await world.reachCluster('gone');

    await assert.rejects(world.store.clusterSecrets('c1'), { code: 'not_found' });
    for (const name of ['m1', 'm2']) {
      const hardware = await world.store.hardware(name);
      assert.deepEqual([hardware?.stage, hardware?.claim, hardware?.hasUserData], ['discovered', undefined, false]);
    }
    assert.deepEqual(
      (await world.store.listWorkflows()).map(({ name }) => name),
      ['m2-wipe-1', 'm1-wipe-1'],
    );
  });
});

function stateOfThree(index: number, state: string): string {
  return [0, 1, 2].map((each) => `m${each + 1} ${each === index ? state : 'ready'}`).join(', ');
}

async function noted({ store }: ClusterWorld, hardware: string, pattern: RegExp): Promise<void> {
  for await (const _ of store.followEvents({ after: 0, names: ['node.waiting'] }, AbortSignal.timeout(60_000))) {
    if (pattern.test((await store.node(hardware))?.note ?? '')) return;
  }
  throw new Error(`${hardware} never said ${pattern}`);
}
