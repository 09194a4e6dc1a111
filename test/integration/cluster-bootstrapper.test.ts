import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { kubeadm } from '#server/cluster/bootstrap/kubeadm.ts';
import { clusterDefinition } from '#test/support/cluster-records.ts';
import { type ClusterWorld, startClusterWorld } from '#test/support/cluster-world.ts';
import { type FakeServer, fakeServer } from '#test/support/fake-kubernetes.ts';

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
