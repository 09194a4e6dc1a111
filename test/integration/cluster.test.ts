import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { kubeadm } from '#server/cluster/bootstrap/kubeadm.ts';
import { clusterDefinition } from '#test/support/cluster-records.ts';
import { type ClusterWorld, startClusterWorld } from '#test/support/cluster-world.ts';
import { type FakeServer, fakeServer } from '#test/support/fake-kubernetes.ts';

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

async function names({ store }: ClusterWorld, pattern: RegExp): Promise<readonly string[]> {
  return (await store.events())
    .filter(({ name }) => pattern.test(name))
    .map(({ name, hardware }) => `${name} ${hardware ?? ''}`.trim());
}

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

    assert.deepEqual(await names(world, /^node\./), [
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

    const order = (await names(world, /^node\.(provisioning|ready)/)).join();
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
    assert.equal((await names(world, /^node\.claimed/)).length, 2);
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
    const story = (await names(world, /^node\.(ready|releasing)/)).slice(2);
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

describe('a cluster of kubeadm', () => {
  it('joins its nodes by a token that the server makes, without asking its API server', async () => {
    await using world = await kubeadmCluster();

    assert.deepEqual(linesOf(world.server), []);
    const token = await tokenOf(world, 'm1', 'InitConfiguration');
    assert.equal(await tokenOf(world, 'm2', 'JoinConfiguration'), token);
    assert.equal((await world.store.hardware('m2'))?.userDataPolicy, 'untilReady');
    const events = JSON.stringify(await world.store.events());
    for (const secret of [token, 'PRIVATE KEY']) assert.ok(!events.includes(secret), 'no secret is in an event');
  });

  it('tells its API server of the token that a late node joins with, and lets it give up one that leaves', async () => {
    await using world = await kubeadmCluster();
    await world.addMachines('dp', 3);
    const machine = world.powerOn(3);

    await world.changeCluster(clusterDefinition({ bootstrapper: 'kubeadm', workers: { 'md-0': 2 } }));
    await world.reach('m1 ready, m2 ready, m3 ready');
    await world.reachCluster('ready');
    const id = (await tokenOf(world, 'm3', 'JoinConfiguration')).slice(0, 6);
    assert.deepEqual(linesOf(world.server), [`PATCH /api/v1/namespaces/kube-system/secrets/bootstrap-token-${id}`]);
    await world.changeCluster(clusterDefinition({ bootstrapper: 'kubeadm' }));
    await world.reach('m1 ready, m2 ready, m3 releasing');
    await machine.cycle();
    await world.reachCluster('ready');

    const asked = linesOf(world.server).slice(1);
    assert.deepEqual([asked[0], asked.at(-1)], ['GET /api/v1/nodes/m3', 'DELETE /api/v1/nodes/m3']);
  });
});

/** Nodes `m1` and `m2`, made by the product's own bootstrapper, and an API server of the test. */
async function kubeadmCluster(): Promise<ClusterWorld & { readonly server: FakeServer }> {
  const fake = Promise.withResolvers<FakeServer>();
  const world = await startClusterWorld({ real: { kubernetesUrl: async () => (await fake.promise).url } });
  const definition = clusterDefinition({ bootstrapper: 'kubeadm' });
  await world.addMachines('cp', 1);
  await world.addMachines('dp', 2);
  await world.createCluster(definition);
  const access = kubeadm.access(definition, (await world.store.clusterSecrets('c1')) ?? {});
  assert.ok(access);
  const server = await fakeServer({
    authority: { certificate: access.serverAuthority, key: access.clientAuthority.key },
    clientAuthority: access.clientAuthority,
    answer: ({ method, path }) => answerOf(method, path),
  });
  fake.resolve(server);
  for (const number of [1, 2]) world.powerOn(number);
  await world.reachCluster('ready');
  return {
    ...world,
    server,
    async [Symbol.asyncDispose]() {
      await world[Symbol.asyncDispose]();
      await server[Symbol.asyncDispose]();
    },
  };
}

/** The token in a node's user data, which is of this kind of kubeadm's. */
async function tokenOf({ store }: ClusterWorld, name: string, kind: string): Promise<string> {
  const data = (await store.userData(name)) ?? '';
  assert.ok(data.includes(`kind: ${kind}`), `${name} has ${kind}`);
  const [token] = /[a-z0-9]{6}\.[a-z0-9]{16}/.exec(data) ?? [];
  assert.ok(token);
  return token;
}

/** A node that is there and has no pods; everything else is taken. */
function answerOf(method: string, path: string): { readonly status?: number; readonly body?: object } {
  if (method !== 'GET') return {};
  if (path.endsWith('/pods')) return { body: { items: [] } };
  return { body: { metadata: { name: path.split('/').at(-1) }, status: { conditions: [] } } };
}

function linesOf({ requests }: FakeServer): readonly string[] {
  return requests.map(({ method, path }) => `${method} ${path}`);
}

const nobody = (): string => assert.fail('there is no API server to ask');

describe('a cluster without Kubernetes', () => {
  it('is made and changed without anybody being asked', async () => {
    await using world = await startClusterWorld({ real: { kubernetesUrl: nobody } });
    await world.addMachines('cp', 1);
    await world.addMachines('dp', 2);
    await world.createCluster(clusterDefinition({ bootstrapper: 'none' }));
    const machines = [1, 2].map((number) => world.powerOn(number));
    await world.reachCluster('ready');
    assert.match((await world.store.userData('m1')) ?? '', /^#cloud-config/);
    assert.equal((await world.store.hardware('m1'))?.userDataPolicy, undefined, 'it holds no keys');

    await world.changeCluster(clusterDefinition({ bootstrapper: 'none', workers: {} }));
    await world.reach('m1 ready, m2 releasing');
    await machines[1]?.cycle();

    await world.reachCluster('ready');
  });
});

function stateOfThree(index: number, state: string): string {
  return [0, 1, 2].map((each) => `m${each + 1} ${each === index ? state : 'ready'}`).join(', ');
}

async function running({ store }: ClusterWorld, workflow: string): Promise<void> {
  for await (const _ of store.followEvents({ after: 0 }, AbortSignal.timeout(10_000))) {
    if ((await store.workflow(workflow))?.state === 'running') return;
  }
  throw new Error(`${workflow} never ran`);
}

async function noted({ store }: ClusterWorld, hardware: string, pattern: RegExp): Promise<void> {
  for await (const _ of store.followEvents({ after: 0, names: ['node.waiting'] }, AbortSignal.timeout(10_000))) {
    if (pattern.test((await store.node(hardware))?.note ?? '')) return;
  }
  throw new Error(`${hardware} never said ${pattern}`);
}

/** Waits until one of the two clusters cannot go on. Resolves to the other one and it. */
async function settledApart({ store }: ClusterWorld): Promise<readonly string[]> {
  for await (const _ of store.followEvents({ after: 0 }, AbortSignal.timeout(10_000))) {
    const states = (await store.listClusters()).map(({ name, state }) => `${name} ${state}`);
    if (states.includes('c1 blocked')) return ['c2', 'c1'];
    if (states.includes('c2 blocked')) return ['c1', 'c2'];
  }
  throw new Error('no cluster was blocked');
}
