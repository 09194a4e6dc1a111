import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { clusterDefinition } from '#test/support/cluster-records.ts';
import { type ClusterWorld, eventNames, startClusterWorld } from '#test/support/cluster-world.ts';

const OPERATOR = { actor: 'operator' } as const;

describe('creating a cluster', () => {
  it('installs the control plane first, then the worker, whichever machine is powered on first', async () => {
    await using world = await startClusterWorld();
    await world.addMachines('cp', 1);
    await world.addMachines('dp', 2);
    await world.createCluster(clusterDefinition());
    world.powerOn(2);
    await world.reach('m1 provisioning, m2 claimed');
    assert.equal((await world.store.hardware('m2'))?.hasUserData, false);

    world.powerOn(1);
    await world.reachCluster('ready');

    assert.deepEqual(await eventNames(world, /^node\./), [
      'node.claimed m1',
      'node.claimed m2',
      'node.provisioning m1',
      'node.installed m1',
      'node.ready m1',
      'node.provisioning m2',
      'node.installed m2',
      'node.ready m2',
    ]);
    assert.match((await world.store.userData('m1')) ?? '', /^init m1 /);
    assert.match((await world.store.userData('m2')) ?? '', /^joinWorker m2 /);
    assert.equal(await world.store.clusterToken('c1'), undefined, 'nobody joins any more');
  });

  it('lets control-plane nodes join one after the other with the token of the first', async () => {
    await using world = await startClusterWorld();
    await world.addMachines('cp', 1, 2, 3);
    await world.createCluster(clusterDefinition({ controlPlane: 3, workers: {} }));
    for (const number of [1, 2, 3]) world.powerOn(number);

    await world.reachCluster('ready');

    const order = (await eventNames(world, /^node\.(provisioning|ready)/)).join();
    assert.equal(
      order,
      'node.provisioning m1,node.ready m1,node.provisioning m2,node.ready m2,node.provisioning m3,node.ready m3',
    );
    const data = await Promise.all([1, 2, 3].map((number) => world.store.userData(`m${number}`)));
    assert.deepEqual(
      data.map((text) => text?.split(' ')[0]),
      ['init', 'joinControlPlane', 'joinControlPlane'],
    );
    assert.equal(new Set(data.map((text) => text?.split(' ')[2])).size, 1);
    assert.deepEqual(world.asked, []);
  });

  it('forgets a token that has expired, and lets late nodes join by a new one that Kubernetes is told of', async () => {
    await using world = await startClusterWorld();
    await world.addMachines('cp', 1);
    await world.addMachines('dp', 2);
    world.agents.clock.offsetMs = -25 * 3_600_000;
    await world.createCluster(clusterDefinition());
    await world.reach('m1 provisioning, m2 claimed');
    const first = (await world.store.clusterToken('c1'))?.token;
    world.agents.clock.offsetMs = 0;

    world.powerOn(1);
    await world.reach('m1 ready, m2 provisioning');

    const second = (await world.store.clusterToken('c1'))?.token;
    assert.notEqual(second, first);
    assert.ok((await world.store.userData('m2'))?.includes(second ?? 'none'));
    assert.deepEqual(world.asked, ['add token']);
  });

  it('goes on where it was after the server was restarted, at any point', async () => {
    await using world = await startClusterWorld();
    await world.addMachines('cp', 1);
    await world.addMachines('dp', 2);
    await world.createCluster(clusterDefinition());
    await world.reach('m1 provisioning, m2 claimed');
    await world.restartServer();
    const gate = Promise.withResolvers<void>();
    world.powerOn(1, { pause: () => gate.promise });
    await running(world, 'm1-install-1');
    await world.restartServer();
    gate.resolve();
    await world.reach('m1 ready, m2 provisioning');
    await world.restartServer();

    world.powerOn(2);
    await world.reachCluster('ready');

    assert.deepEqual(
      (await world.store.listWorkflows()).map(({ name, state, attempt }) => `${name} ${state} ${attempt}`),
      ['m1-install-1 succeeded 1', 'm2-install-1 succeeded 1'],
    );
    assert.equal((await eventNames(world, /^node\.claimed/)).length, 2);
  });

  it('tries a machine again that failed', async () => {
    await using world = await startClusterWorld();
    await world.addMachines('cp', 1);
    await world.createCluster(clusterDefinition({ workers: {} }), { retries: 2 });
    world.powerOn(1, { failures: 2 });

    await world.reachCluster('ready');

    assert.deepEqual(
      (await world.store.listWorkflows()).map(({ name, state }) => `${name} ${state}`),
      ['m1-install-1 failed', 'm1-install-2 failed', 'm1-install-3 succeeded'],
    );
  });

  it('replaces a machine that fails for good by a spare', async () => {
    await using world = await startClusterWorld();
    await world.addMachines('cp', 1, 3);
    await world.createCluster(clusterDefinition({ workers: {} }), { retries: 1 });
    world.powerOn(1, { failures: 9 });
    world.powerOn(3);

    await world.reachCluster('ready');

    await world.reach('m1 failed, m3 ready');
    assert.match((await world.store.node('m1'))?.failure ?? '', /bad sectors/);
    assert.match((await world.store.userData('m3')) ?? '', /^init m3 /);
  });

  it('is blocked by a failed machine without a spare until its operator resumes it', async () => {
    await using world = await startClusterWorld();
    await world.addMachines('cp', 1);
    await world.createCluster(clusterDefinition({ workers: {} }), { retries: 0 });
    world.powerOn(1, { failures: 1 });
    await world.reachCluster('blocked');
    assert.match(
      (await world.store.cluster('c1'))?.failure ?? '',
      /^m1 failed once .*bad sectors.*tinsmith cluster resume c1/,
    );

    await world.transitions.resumeCluster('c1', { afresh: true }, OPERATOR);

    await world.reachCluster('ready');
  });

  it('is blocked while a machine is missing, and takes it when it comes', async () => {
    await using world = await startClusterWorld();
    await world.addMachines('cp', 1);
    await world.createCluster(clusterDefinition());
    world.powerOn(1);
    await world.reach('m1 ready');
    await world.reachCluster('blocked');

    await world.addMachines('dp', 2);
    world.powerOn(2);

    await world.reachCluster('ready');
  });
});

describe('two clusters that want the same machines', () => {
  it('never share one: each machine has one node, and the cluster without is blocked', async () => {
    await using world = await startClusterWorld();
    await world.addMachines('cp', 1);
    await world.addMachines('dp', 2);
    await Promise.all(['c1', 'c2'].map((name) => world.createCluster(clusterDefinition({ name }))));
    for (const number of [1, 2]) world.powerOn(number);

    const [winner = '', loser = ''] = await settledApart(world);

    const won = (await world.store.nodes(winner)).map(({ hardware }) => hardware);
    const lost = (await world.store.nodes(loser)).map(({ hardware }) => hardware);
    assert.equal(new Set([...won, ...lost]).size, won.length + lost.length);
    assert.deepEqual([...won, ...lost].toSorted(), ['m1', 'm2']);
  });
});

async function running({ store }: ClusterWorld, workflow: string): Promise<void> {
  for await (const _ of store.followEvents({ after: 0 }, AbortSignal.timeout(60_000))) {
    if ((await store.workflow(workflow))?.state === 'running') return;
  }
  throw new Error(`${workflow} never ran`);
}

/** Waits until one of the two clusters cannot go on. Resolves to the other one and it. */
async function settledApart({ store }: ClusterWorld): Promise<readonly string[]> {
  for await (const _ of store.followEvents({ after: 0 }, AbortSignal.timeout(60_000))) {
    const states = (await store.listClusters()).map(({ name, state }) => `${name} ${state}`);
    if (states.includes('c1 blocked')) return ['c2', 'c1'];
    if (states.includes('c2 blocked')) return ['c1', 'c2'];
  }
  throw new Error('no cluster was blocked');
}
