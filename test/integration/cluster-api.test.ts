import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type {
  ClusterChangeAnswer,
  ClusterCreateAnswer,
  ClusterDeleteAnswer,
  ClusterView,
} from '#server/api/cluster-types.ts';
import type { ApplyResponse, ListOf, ReleaseAnswer } from '#server/api/types.ts';
import { nodeGroups } from '#server/cluster/node-groups.ts';
import { nodeRevision } from '#server/cluster/node-revision.ts';
import { type ApiWorld, startApiWorld } from '#test/support/api-world.ts';
import { clusterYaml, hardwareCsv } from '#test/support/cluster-files.ts';
import { nodeClaim, nodeStart } from '#test/support/cluster-records.ts';
import { hardwareManifest } from '#test/support/records.ts';

const operator = { actor: 'operator' } as const;

function filesOf(cluster: Parameters<typeof clusterYaml>[0] = {}, machines: Readonly<Record<number, string>> = TWO) {
  return [
    { name: 'cluster.yaml', text: clusterYaml(cluster) },
    { name: 'hardware.csv', text: hardwareCsv(machines) },
  ];
}

const TWO = { 1: 'cp', 2: 'dp' };

async function created(): Promise<ApiWorld> {
  const world = await startApiWorld();
  const answer = await world.call('POST', '/api/v1/clusters', { body: { files: filesOf() } });
  assert.equal(answer.status, 200, answer.text);
  return world;
}

/** Both machines of `c1` are ready nodes. */
async function ready(): Promise<ApiWorld> {
  const world = await created();
  const { transitions, store } = world;
  const definition = (await store.cluster('c1'))?.definition;
  assert.ok(definition);
  for (const [index, group] of nodeGroups(definition).entries()) {
    const name = `m${index + 1}`;
    const revision = nodeRevision(definition, group);
    await transitions.claimNode(nodeClaim(name, { group: group.name, role: group.role, revision }), operator);
    await transitions.startNode(nodeStart(name, `${name}-install-1`, { revision }), operator);
    await transitions.installNode(name, `${name}-install-1`, operator);
    await transitions.readyNode(name, operator);
    await transitions.cancelWorkflow(`${name}-install-1`, 'the test goes on', operator);
  }
  await transitions.settleCluster('c1', operator);
  return world;
}

async function show(world: ApiWorld): Promise<ClusterView> {
  return (await world.call('GET', '/api/v1/clusters/c1')).json<ClusterView>();
}

describe('clusters in the admin API', () => {
  it('are created with their hardware, and the same request again changes nothing', async () => {
    await using world = await startApiWorld();
    const body = { files: filesOf(), options: { retries: 3 } };

    const [first, second] = [
      await world.call('POST', '/api/v1/clusters', { body }),
      await world.call('POST', '/api/v1/clusters', { body }),
    ];

    assert.equal(first.json<ClusterCreateAnswer>().outcome, 'created');
    assert.equal(second.json<ClusterCreateAnswer>().outcome, 'unchanged');
    assert.equal(second.json<ClusterCreateAnswer>().cluster?.options.retries, 3);
    assert.deepEqual(
      (await world.store.listHardware()).map(({ name }) => name),
      ['m1', 'm2'],
    );
    const other = { files: filesOf({ version: '1.31' }) };
    const third = await world.call('POST', '/api/v1/clusters', { body: other });
    assert.equal(third.error().code, 'conflict');
    assert.match(
      third.error().message,
      /exists with another definition; change it with tinsmith cluster scale or upgrade/,
    );
  });

  it('are not begun where the plan refuses them: nothing is kept then', async () => {
    await using world = await startApiWorld();

    const answer = await world.call('POST', '/api/v1/clusters', { body: { files: filesOf({ workers: 2 }) } });

    assert.equal(answer.error().code, 'invalid_input');
    assert.match(
      answer
        .error()
        .problems.map(({ message }) => message)
        .join('\n'),
      /md-0/,
    );
    assert.deepEqual([await world.store.listClusters(), await world.store.listHardware()], [[], []]);
  });

  it('are listed and shown with what each node waits for, and without anything secret', async () => {
    await using world = await created();
    await world.transitions.claimNode(nodeClaim('m2'), operator);
    await world.transitions.startNode(nodeStart('m2', 'm2-install-1'), operator);

    const list = await world.call('GET', '/api/v1/clusters');

    const [cluster] = list.json<ListOf<ClusterView>>().items;
    assert.deepEqual(
      cluster?.groups.map(({ name, ready: up, count }) => `${name} ${up}/${count}`),
      ['control-plane 0/1', 'md-0 0/1'],
    );
    const [node] = cluster?.nodes ?? [];
    assert.equal(
      node?.waits?.text,
      'power on m2 (MAC 02:00:00:00:00:02) now: it boots from the network and begins its installation',
    );
    assert.equal(node?.workflow?.state, 'pending');
    assert.deepEqual(await show(world), cluster);
    assert.doesNotMatch(list.text, /PRIVATE KEY|client-key-data/);
    assert.equal((await world.call('GET', '/api/v1/clusters/none')).status, 404);
  });

  it('tell what scaling will do before it is done', async () => {
    await using world = await ready();
    await world.transitions.apply(
      { hardware: [{ ...hardwareManifest('m3', 3), labels: { type: 'dp' } }], templates: [], workflows: [] },
      operator,
    );
    const body = { workers: { 'md-0': 2 } };

    const dry = await world.call('POST', '/api/v1/clusters/c1/scale', { body: { ...body, dryRun: true } });
    assert.deepEqual(dry.json<ClusterChangeAnswer>(), {
      outcome: 'configured',
      steps: ['md-0: m3 is installed and joins, Kubernetes 1.30; its disks are erased'],
      warnings: [],
    });
    assert.equal((await show(world)).state, 'ready');
    await world.call('POST', '/api/v1/clusters/c1/scale', { body });

    const after = await show(world);
    assert.deepEqual([after.state, after.groups[1]?.count], ['changing', 2]);
    const unknown = await world.call('POST', '/api/v1/clusters/c1/scale', { body: { workers: { 'md-9': 1 } } });
    assert.match(unknown.error().message, /has no worker group "md-9": it has md-0/);
  });

  it('are upgraded by a file that describes them, and stay as they are by the same one', async () => {
    await using world = await ready();
    const upgrade = (cluster: Parameters<typeof clusterYaml>[0]) =>
      world.call('POST', '/api/v1/clusters/c1/upgrade', {
        body: { files: filesOf(cluster), options: { loseState: true } },
      });

    assert.equal((await upgrade({ name: 'c2' })).error().code, 'invalid_input');
    const answer = await upgrade({ version: '1.31' });

    assert.deepEqual(answer.json<ClusterChangeAnswer>().steps, [
      'control-plane: m1 is installed and makes the control plane, Kubernetes 1.31; its disks are erased',
      'md-0: m2 leaves Kubernetes and is installed anew on its own machine, Kubernetes 1.31; its disks are erased',
    ]);
    assert.equal((await show(world)).kubernetesVersion, '1.31');
  });

  it('are not changed into what they cannot become: every reason, with its place in the files', async () => {
    await using world = await ready();
    const refused = async (path: string, cluster: Parameters<typeof clusterYaml>[0]) =>
      (await world.call('POST', `/api/v1/clusters/c1/${path}`, { body: { files: filesOf(cluster) } })).error();

    const lowered = await refused('upgrade', { version: '1.29' });
    assert.equal(lowered.code, 'invalid_input');
    assert.match(lowered.problems[0]?.message ?? '', /a version cannot be lowered/);
    assert.equal(lowered.problems[0]?.file, 'cluster.yaml');
    assert.ok((lowered.problems[0]?.line ?? 0) > 0);
    assert.match((await refused('upgrade', { workers: 2 })).message, /changes how many nodes it has .*; scale it/);
    assert.match((await refused('scale', { version: '1.31' })).message, /that is an upgrade/);
    const both = await refused('upgrade', { version: '1.31', workers: 2 });
    assert.match(both.problems[0]?.message ?? '', /scale before or after the upgrade/);
    assert.equal((await show(world)).state, 'ready');
  });

  it('are checked by apply, which stores their machines and names the command that makes them', async () => {
    await using world = await startApiWorld();
    const apply = (cluster: Parameters<typeof clusterYaml>[0]) =>
      world.call('POST', '/api/v1/apply', { body: { files: filesOf(cluster) } });

    const refused = await apply({ controlPlane: 2 });
    const answer = await apply({});

    assert.match(refused.error().problems[0]?.message ?? '', /count is 2, which is even/);
    const { records, warnings } = answer.json<ApplyResponse>();
    assert.ok(records.length > 0 && records.every(({ kind }) => kind === 'Hardware'), JSON.stringify(records));
    assert.ok(
      warnings.some(({ message }) =>
        message.startsWith('Cluster c1 is checked and not made by apply: use tinsmith cluster'),
      ),
      JSON.stringify(warnings),
    );
    assert.deepEqual(await world.store.listClusters(), []);
  });

  it('are resumed and deleted', async () => {
    await using world = await created();
    await world.transitions.blockCluster('c1', 'no machine', operator);

    const told = await world.call('DELETE', '/api/v1/clusters/c1?dryRun=true');
    assert.deepEqual(told.json<ClusterDeleteAnswer>().steps, [
      'the cluster c1, its secrets and its templates are gone',
    ]);
    assert.equal((await show(world)).failure, 'no machine');
    const resumed = await world.call('POST', '/api/v1/clusters/c1/resume');
    assert.equal(resumed.json<ClusterView>().state, 'changing');
    for (let twice = 0; twice < 2; twice += 1) {
      assert.equal((await world.call('DELETE', '/api/v1/clusters/c1?wipe=false')).status, 200);
    }

    const cluster = await show(world);
    assert.deepEqual([cluster.state, cluster.options.wipe], ['deleting', false]);
  });

  it('give their kubeconfig to whoever has the token, and to no log', async () => {
    await using world = await created();

    const answer = await world.call('GET', '/api/v1/clusters/c1/kubeconfig');

    const { kubeconfig } = answer.json<{ kubeconfig: string }>();
    assert.match(kubeconfig, /^kind: Config$/m);
    assert.match(kubeconfig, /server: https:\/\/10\.9\.0\.200:6443/);
    assert.equal(
      (await world.call('GET', '/api/v1/clusters/c1/kubeconfig', { headers: { authorization: undefined } })).status,
      401,
    );
    assert.doesNotMatch(world.logged.join(''), /PRIVATE KEY|client-key-data/);
  });
});

describe('releasing a machine in the admin API', () => {
  it('wipes one that is in no cluster, and tells what it waits for until it is done', async () => {
    await using world = await startApiWorld();
    await world.transitions.apply({ hardware: [hardwareManifest('m1', 1)], templates: [], workflows: [] }, operator);

    const answer = await world.call('POST', '/api/v1/hardware/m1/release', { body: {} });

    assert.deepEqual(answer.json<ReleaseAnswer>(), {
      isReleased: false,
      steps: ['m1: its user data is dropped, its disks are wiped, it is switched off'],
      waits: 'power on m1 (MAC 02:00:00:00:00:01) now: it boots from the network and begins the wipe of its disks',
    });
    assert.equal((await world.call('POST', '/api/v1/hardware/m1/release', { body: {} })).status, 200);
    assert.equal((await world.store.listWorkflows()).length, 1);
    await world.transitions.failWorkflow(
      'm1-wipe-1',
      { code: 'write_failed', message: 'the disk is frozen' },
      operator,
    );
    const failed = await world.call('GET', '/api/v1/hardware/m1/release');
    assert.equal(failed.error().code, 'write_failed');
    assert.match(failed.error().message, /the disks of m1 were not wiped: the disk is frozen/);
  });

  it('takes a node out of its cluster, but not the only one of the control plane', async () => {
    await using world = await ready();

    const refused = await world.call('POST', '/api/v1/hardware/m1/release', { body: {} });
    assert.equal(refused.error().code, 'conflict');
    assert.match(refused.error().message, /only control-plane node of cluster c1; delete that/);
    const told = await world.call('POST', '/api/v1/hardware/m2/release', { body: { wipe: false, dryRun: true } });
    assert.match(
      told.json<ReleaseAnswer>().steps[0] ?? '',
      /^m2 leaves c1 because an operator released it; its disks are left/,
    );
    assert.match(told.json<ReleaseAnswer>().steps[1] ?? '', /^then c1 is blocked: the group md-0 lacks one machine/);
    assert.deepEqual((await world.store.cluster('c1'))?.released, []);
    const answer = await world.call('POST', '/api/v1/hardware/m2/release', { body: { wipe: false } });

    assert.equal(answer.json<ReleaseAnswer>().isReleased, false);
    assert.deepEqual((await world.store.cluster('c1'))?.released, [{ hardware: 'm2', wipe: false }]);
    const hardware = await world.call('GET', '/api/v1/hardware/m2');
    assert.deepEqual(hardware.json<{ claim: unknown }>().claim, { cluster: 'c1', group: 'md-0' });
  });
});
