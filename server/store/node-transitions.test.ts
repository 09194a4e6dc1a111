import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { clusterDefinition, newCluster, nodeClaim, nodeStart, nodeWorkflow } from '#test/support/cluster-records.ts';
import { hardwareManifest, plannedWorkflow, succeededAt } from '#test/support/records.ts';
import { operator, type StoreWorld, startStoreWorld } from '#test/support/store-world.ts';
import { DEFAULT_CLUSTER_OPTIONS } from '../cluster/cluster-options.ts';

const leaving = { hardware: 'm1', reason: 'it is not wanted any more' } as const;

/** Clusters `c1` and `c2`, machines `m1` to `m3`. */
async function world(): Promise<StoreWorld> {
  const made = await startStoreWorld();
  for (const name of ['c1', 'c2']) {
    await made.transitions.createCluster(newCluster(clusterDefinition({ name })), operator);
  }
  return made;
}

/** Machine `m1` is a node whose workflow `w1` exists. */
async function worldWithNode(): Promise<StoreWorld> {
  const made = await world();
  await made.transitions.claimNode(nodeClaim('m1'), operator);
  await made.transitions.startNode(nodeStart('m1', 'w1'), operator);
  return made;
}

const stored = (sequence: number) => ({ session: 's1', sequence, hardware: 'm1' });
const leavingWith = (wipe: string) => ({ ...leaving, wipe: nodeWorkflow('m1', wipe, 'wipe') });

/** Runs the one action of a machine's workflow to its end. */
async function run({ transitions, clock }: StoreWorld, workflow: string, from: number): Promise<void> {
  const ref = { workflow, attempt: 1, task: 0 };
  await transitions.taskAccepted(ref, stored(from), operator);
  await transitions.actionStarted({ ...ref, action: 0 }, clock.now(), stored(from + 1), operator);
  await transitions.actionFinished({ ...ref, action: 0 }, succeededAt(clock.now()), stored(from + 2), operator);
}

describe('claiming a machine', () => {
  it('makes it a node of its cluster, and only of that one', async () => {
    await using made = await world();

    await made.transitions.claimNode(nodeClaim('m1'), operator);
    await made.transitions.claimNode(nodeClaim('m1'), operator);

    assert.deepEqual((await made.hardware('m1')).claim, { cluster: 'c1', group: 'md-0' });
    assert.equal((await made.hardware('m2')).claim, undefined);
    assert.deepEqual(
      (await made.store.nodes('c1')).map(({ hardware, state }) => `${hardware} ${state}`),
      ['m1 claimed'],
    );
    await assert.rejects(made.transitions.claimNode(nodeClaim('m1', { cluster: 'c2' }), operator), {
      code: 'conflict',
      message: /m1 a node of cluster c2: it is a node of cluster c1/,
    });
    await assert.rejects(made.transitions.claimNode(nodeClaim('m1', { group: 'md-1' }), operator), {
      code: 'conflict',
    });
  });

  it('gives one machine to one of many that want it at the same time', async () => {
    await using made = await world();
    for (let number = 3; number <= 20; number += 1) {
      await made.transitions.createCluster(newCluster(clusterDefinition({ name: `c${number}` })), operator);
    }
    const wanted = Array.from({ length: 20 }, (_, index) => `c${index + 1}`);

    const outcomes = await Promise.allSettled(
      wanted.flatMap((cluster) =>
        ['m1', 'm2', 'm3'].map((hardware) => made.transitions.claimNode(nodeClaim(hardware, { cluster }), operator)),
      ),
    );

    assert.equal(outcomes.filter(({ status }) => status === 'fulfilled').length, 3);
    const nodes = await Promise.all(wanted.map((cluster) => made.store.nodes(cluster)));
    assert.deepEqual(
      nodes
        .flat()
        .map(({ hardware }) => hardware)
        .toSorted(),
      ['m1', 'm2', 'm3'],
    );
    assert.equal((await made.eventNames()).filter((name) => name === 'node.claimed').length, 3);
  });

  it('is refused for a machine that is busy, unknown, or wanted by a cluster that goes', async () => {
    await using made = await world();
    await made.apply(plannedWorkflow('w', ['m1']));
    await made.transitions.startClusterDelete('c2', DEFAULT_CLUSTER_OPTIONS, operator);

    await assert.rejects(made.transitions.claimNode(nodeClaim('m1'), operator), {
      code: 'conflict',
      message: /Workflow w is pending/,
    });
    await assert.rejects(made.transitions.claimNode(nodeClaim('m9'), operator), { code: 'not_found' });
    await assert.rejects(made.transitions.claimNode(nodeClaim('m2', { cluster: 'c2' }), operator), {
      code: 'conflict',
      message: /being deleted/,
    });
  });

  it('keeps the record of the machine from being deleted', async () => {
    await using made = await world();
    await made.transitions.claimNode(nodeClaim('m1'), operator);

    await assert.rejects(made.transitions.deleteHardware('m1', operator), {
      code: 'conflict',
      message: /it is a node of cluster c1; take it out first/,
    });
  });
});

describe('installing a node', () => {
  it('sets user data, workflow and state in one change', async () => {
    await using made = await worldWithNode();

    const node = await made.store.node('m1');
    assert.equal(node?.state, 'provisioning');
    assert.equal(node.workflow, 'w1');
    assert.equal(node.tries, 1);
    assert.equal(await made.store.userData('m1'), '#cloud-config of m1');
    assert.equal((await made.workflow('w1')).state, 'pending');
    assert.equal((await made.store.template('c1-install'))?.name, 'c1-install');
  });

  it('is not undone by a Hardware that is applied again with user data of its own', async () => {
    await using made = await worldWithNode();
    const hardware = [hardwareManifest('m1', 1, { userData: '#of-a-file' })];

    await made.transitions.apply({ hardware, templates: [], workflows: [] }, operator);

    assert.equal(await made.store.userData('m1'), '#cloud-config of m1');
  });

  it('leaves nothing of it where a part is refused', async () => {
    await using made = await world();
    await made.transitions.claimNode(nodeClaim('m1'), operator);
    await made.apply(plannedWorkflow('w1', ['m2'])); // the name is taken

    await assert.rejects(made.transitions.startNode(nodeStart('m1', 'w1'), operator), { code: 'conflict' });

    assert.equal((await made.store.node('m1'))?.state, 'claimed');
    assert.equal((await made.hardware('m1')).hasUserData, false);
  });

  it('is refused where the cluster was deleted, or the machine was taken back, after it was decided on', async () => {
    await using made = await world();
    await made.transitions.claimNode(nodeClaim('m1'), operator);
    await made.transitions.claimNode(nodeClaim('m2', { cluster: 'c2' }), operator);
    await made.transitions.startClusterDelete('c1', DEFAULT_CLUSTER_OPTIONS, operator);
    await made.transitions.withdrawNode({ hardware: 'm2', wipe: false }, operator);

    await assert.rejects(made.transitions.startNode(nodeStart('m1', 'w1'), operator), {
      code: 'conflict',
      message: /m1 for cluster c1: the cluster is being deleted/,
    });
    await assert.rejects(made.transitions.startNode({ ...nodeStart('m2', 'w2'), cluster: 'c2' }, operator), {
      code: 'conflict',
      message: /m2 for cluster c2: an operator released it/,
    });
    for (const name of ['m1', 'm2']) assert.equal((await made.hardware(name)).hasUserData, false);
    assert.equal(await made.store.workflow('w1'), undefined);
  });

  it('may be asked for twice, and is refused while the machine is busy', async () => {
    await using made = await worldWithNode();
    const before = await made.newestEvent();

    await made.transitions.startNode(nodeStart('m1', 'w1'), operator);

    assert.deepEqual(await made.eventNames(before), []);
    await assert.rejects(made.transitions.startNode(nodeStart('m1', 'w2'), operator), { code: 'conflict' });
  });

  it('goes from its workflow to ready', async () => {
    await using made = await worldWithNode();
    await run(made, 'w1', 1);

    await made.transitions.installNode('m1', 'an older one', operator);
    assert.equal((await made.store.node('m1'))?.state, 'provisioning');
    for (let twice = 0; twice < 2; twice += 1) await made.transitions.installNode('m1', 'w1', operator);
    assert.equal((await made.store.node('m1'))?.state, 'installed');
    for (let twice = 0; twice < 2; twice += 1) await made.transitions.readyNode('m1', operator);

    assert.equal((await made.store.node('m1'))?.state, 'ready');
    const names = await made.eventNames();
    assert.deepEqual(
      names.filter((name) => name.startsWith('node.')),
      ['node.claimed', 'node.provisioning', 'node.installed', 'node.ready'],
    );
  });

  it('counts its tries, which begin again with another revision', async () => {
    await using made = await worldWithNode();
    for (const [from, to, revision] of [
      ['w1', 'w2', 'r1'],
      ['w2', 'w3', 'r2'],
    ] as const) {
      await made.transitions.failWorkflow(from, { code: 'write_failed', message: 'no disk' }, operator);
      await made.transitions.failNode('m1', from, 'no disk', operator);
      await made.transitions.failNode('m1', from, 'no disk', operator);
      assert.equal((await made.store.node('m1'))?.failure, 'no disk');
      await made.transitions.startNode(nodeStart('m1', to, { revision }), operator);
      await made.transitions.failNode('m1', from, 'late', operator);
      const node = await made.store.node('m1');
      assert.deepEqual([node?.state, node?.tries, node?.failure], ['provisioning', to === 'w2' ? 2 : 1, undefined]);
    }
  });

  it('is taken up again when an operator retries its workflow', async () => {
    await using made = await worldWithNode();
    await made.transitions.failWorkflow('w1', { code: 'write_failed', message: 'no disk' }, operator);
    await made.transitions.failNode('m1', 'w1', 'no disk', operator);
    await made.transitions.retryWorkflow('w1', operator);

    await made.transitions.retryNode('m1', 'an older one', operator);
    assert.equal((await made.store.node('m1'))?.state, 'failed');
    for (let twice = 0; twice < 2; twice += 1) await made.transitions.retryNode('m1', 'w1', operator);

    const node = await made.store.node('m1');
    assert.deepEqual([node?.state, node?.workflow, node?.failure], ['provisioning', 'w1', undefined]);
  });

  it('has one node that makes the control plane', async () => {
    await using made = await world();
    for (const name of ['m1', 'm2']) {
      await made.transitions.claimNode(nodeClaim(name, { role: 'controlPlane', group: 'control-plane' }), operator);
      await made.transitions.startNode(nodeStart(name, `w-${name}`, { initialises: true }), operator);
    }

    const nodes = await made.store.nodes('c1');

    assert.deepEqual(
      nodes.map(({ hardware, initialises }) => [hardware, initialises]),
      [
        ['m1', false],
        ['m2', true],
      ],
    );
  });

  it('says once what it waits for', async () => {
    await using made = await worldWithNode();
    const before = await made.newestEvent();

    for (const note of ['the API server is away', 'the API server is away', undefined, undefined]) {
      await made.transitions.noteNode('m1', note, operator);
    }

    assert.deepEqual(await made.eventNames(before), ['node.waiting']);
    assert.equal((await made.store.node('m1'))?.note, undefined);
  });
});

describe('releasing a node', () => {
  it('cancels its installation and drops its user data at once, and the claim at the end', async () => {
    await using made = await worldWithNode();
    const { labels } = await made.hardware('m1');

    await made.transitions.startRelease(leaving, operator);
    await made.transitions.startRelease(leaving, operator);
    assert.equal((await made.workflow('w1')).state, 'cancelled');
    assert.equal(await made.store.userData('m1'), undefined);
    for (let twice = 0; twice < 2; twice += 1) await made.transitions.releaseNode('m1', operator);

    assert.deepEqual(await made.store.nodes('c1'), []);
    const hardware = await made.hardware('m1');
    assert.equal(hardware.claim, undefined);
    assert.deepEqual(hardware.labels, labels);
    assert.equal(await made.store.workflow('w1'), undefined, 'its rendered template may hold keys');
    await made.transitions.claimNode(nodeClaim('m1', { cluster: 'c2' }), operator);
  });

  it('is not given back before it was told to leave', async () => {
    await using made = await worldWithNode();

    await assert.rejects(made.transitions.releaseNode('m1', operator), { code: 'conflict' });
  });

  it('wipes it; the machine is then as it was found', async () => {
    await using made = await worldWithNode();
    await run(made, 'w1', 1);
    assert.equal((await made.hardware('m1')).stage, 'installed');

    await made.transitions.startRelease(leavingWith('wipe-1'), operator);
    assert.equal((await made.hardware('m1')).netboot, true);
    await run(made, 'wipe-1', 10);
    await made.transitions.releaseNode('m1', operator);

    const hardware = await made.hardware('m1');
    assert.equal(hardware.stage, 'discovered');
    assert.equal(hardware.netboot, true);
    assert.equal((await made.workflow('wipe-1')).state, 'succeeded', 'it tells what became of the disks');
    assert.ok((await made.eventNames()).includes('machine.wiped'));
  });

  it('wipes again after a wipe that failed, and not while one is under way', async () => {
    await using made = await worldWithNode();
    await made.transitions.startRelease(leavingWith('wipe-1'), operator);

    await made.transitions.startRelease(leavingWith('wipe-2'), operator);
    assert.equal((await made.store.node('m1'))?.workflow, 'wipe-1');
    await made.transitions.failWorkflow('wipe-1', { code: 'write_failed', message: 'frozen' }, operator);
    await made.transitions.failNode('m1', 'wipe-1', 'frozen', operator);
    assert.equal((await made.store.node('m1'))?.note, 'frozen');
    await made.transitions.startRelease(leavingWith('wipe-2'), operator);

    const node = await made.store.node('m1');
    assert.deepEqual([node?.state, node?.workflow, node?.tries], ['releasing', 'wipe-2', 2]);
  });

  it('makes a cluster that was ready whole again without the machine that its operator took', async () => {
    await using made = await worldWithNode();
    await made.transitions.settleCluster('c1', operator);

    await made.transitions.withdrawNode({ hardware: 'm1', wipe: false }, operator);

    const cluster = await made.store.cluster('c1');
    assert.equal(cluster?.state, 'changing');
    assert.deepEqual(cluster.released, [{ hardware: 'm1', wipe: false }]);
    await made.transitions.resumeCluster('c1', { afresh: true }, operator);
    assert.deepEqual((await made.store.cluster('c1'))?.released, []);
  });
});

describe('releasing a machine that is in no cluster', () => {
  it('drops its user data and wipes it', async () => {
    await using made = await world();

    await made.transitions.releaseHardware({ hardware: 'm1', wipe: nodeWorkflow('m1', 'wipe-1', 'wipe') }, operator);
    await run(made, 'wipe-1', 1);

    assert.equal((await made.hardware('m1')).stage, 'discovered');
  });

  it('is refused while it is busy or a node', async () => {
    await using made = await worldWithNode();
    await made.apply(plannedWorkflow('w', ['m2']));

    await assert.rejects(made.transitions.releaseHardware({ hardware: 'm1' }, operator), {
      message: /a node of cluster c1/,
    });
    await assert.rejects(made.transitions.releaseHardware({ hardware: 'm2' }, operator), {
      message: /Workflow w is pending/,
    });
  });
});
