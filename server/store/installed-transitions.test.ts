import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { clusterDefinition, newCluster, nodeClaim, nodeStart } from '#test/support/cluster-records.ts';
import { plannedWorkflow, succeededAt } from '#test/support/records.ts';
import { operator, type StoreWorld, startStoreWorld } from '#test/support/store-world.ts';
import type { ReadyBy } from './schema.ts';

const machine = { actor: 'machine' } as const;
const agent = { actor: 'agent' } as const;

const stored = (sequence: number) => ({ session: 's1', sequence, hardware: 'm1' });

/** Machine `m1` is a node whose one-action workflow `w1` exists. */
async function worldWithNode(readyBy: ReadyBy): Promise<StoreWorld> {
  const world = await startStoreWorld();
  await world.transitions.createCluster(newCluster(clusterDefinition({ name: 'c1' })), operator);
  await world.transitions.claimNode(nodeClaim('m1'), operator);
  await world.transitions.startNode({ ...nodeStart('m1', 'w1'), readyBy, userDataPolicy: 'untilReady' }, operator);
  return world;
}

async function install({ transitions, clock }: StoreWorld): Promise<void> {
  const ref = { workflow: 'w1', attempt: 1, task: 0 };
  await transitions.taskAccepted(ref, stored(1), agent);
  await transitions.actionFinished({ ...ref, action: 0 }, succeededAt(clock.now()), stored(2), agent);
}

describe('an installed system', () => {
  it('is ready once, by its first question for metadata, and never before it is installed', async () => {
    await using world = await startStoreWorld();
    await world.transitions.noteReady('m1', 'metadata', machine);
    const early = (await world.hardware('m1')).readyAt;
    await world.apply(plannedWorkflow('w1', ['m1'], { images: ['image2disk'] }));
    await install(world);
    const before = await world.newestEvent();

    await world.transitions.noteReady('m1', 'metadata', machine);
    await world.transitions.noteReady('m1', 'metadata', machine);

    assert.equal(early, undefined);
    assert.deepEqual(await world.eventNames(before), ['machine.ready']);
  });

  it('that phones home is not ready by a question, but by its call', async () => {
    await using world = await worldWithNode('phoneHome');
    await install(world);
    const before = await world.newestEvent();

    await world.transitions.noteReady('m1', 'metadata', machine);
    const asked = (await world.hardware('m1')).readyAt;
    await world.transitions.noteReady('m1', 'phoneHome', machine);
    await world.transitions.noteReady('m1', 'phoneHome', machine);

    assert.equal(asked, undefined);
    assert.deepEqual(await world.eventNames(before), ['machine.phonedHome', 'machine.ready']);
    const { readyAt, phonedHomeAt } = await world.hardware('m1');
    assert.deepEqual([readyAt, phonedHomeAt], [world.clock.now(), world.clock.now()]);
  });

  it('that cannot say so is ready when it is installed', async () => {
    await using world = await worldWithNode('installed');
    const before = await world.newestEvent();

    await install(world);

    const names = await world.eventNames(before);
    assert.deepEqual(
      names.filter((name) => name.startsWith('machine.')),
      ['machine.provisioning', 'machine.installed', 'machine.ready'],
    );
    assert.deepEqual((await world.hardware('m1')).readyAt, world.clock.now());
  });

  it('fetches its user data and is refused it once each; what the agent fetched before does not count', async () => {
    await using world = await worldWithNode('phoneHome');
    await world.transitions.noteUserDataFetched('m1', machine);
    await install(world);
    assert.equal((await world.hardware('m1')).userDataFetchedAt, undefined);
    const before = await world.newestEvent();

    for (const _ of [1, 2]) await world.transitions.noteUserDataFetched('m1', machine);
    for (const _ of [1, 2]) await world.transitions.noteUserDataWithheld('m1', machine);

    assert.deepEqual(await world.eventNames(before), ['userData.fetched', 'userData.withheld']);
    const { userDataFetchedAt, userDataWithheldAt, userDataPolicy } = await world.hardware('m1');
    assert.deepEqual(
      [userDataFetchedAt, userDataWithheldAt, userDataPolicy],
      [world.clock.now(), world.clock.now(), 'untilReady'],
    );
  });

  it('that complains of its first start is not ready; a call after that is the end of the complaint', async () => {
    await using world = await worldWithNode('phoneHome');
    await world.transitions.noteBootstrapFailed('m1', 'too early', machine);
    await install(world);
    const before = await world.newestEvent();

    for (const _ of [1, 2]) await world.transitions.noteBootstrapFailed('m1', 'kubeadm failed', machine);
    const failed = await world.hardware('m1');
    await world.transitions.noteReady('m1', 'phoneHome', machine);

    assert.deepEqual([failed.bootstrapFailure, failed.readyAt], ['kubeadm failed', undefined]);
    assert.equal((await world.hardware('m1')).bootstrapFailure, undefined);
    assert.deepEqual(await world.eventNames(before), [
      'machine.bootstrapFailed',
      'machine.phonedHome',
      'machine.ready',
    ]);
  });

  it('is forgotten with all that it said when the machine is installed again', async () => {
    await using world = await startStoreWorld();
    await world.apply(plannedWorkflow('w1', ['m1'], { images: ['image2disk'] }));
    await install(world);
    await world.transitions.noteReady('m1', 'phoneHome', machine);
    await world.transitions.noteUserDataFetched('m1', machine);
    await world.transitions.noteUserDataWithheld('m1', machine);
    await world.transitions.noteBootstrapFailed('m1', 'x', machine);

    await world.apply(plannedWorkflow('w2', ['m1'], { images: ['image2disk'] }));
    await world.transitions.taskAccepted({ workflow: 'w2', attempt: 1, task: 0 }, stored(9), agent);

    const { readyAt, phonedHomeAt, userDataFetchedAt, userDataWithheldAt, bootstrapFailure } =
      await world.hardware('m1');
    assert.deepEqual(
      [readyAt, phonedHomeAt, userDataFetchedAt, userDataWithheldAt, bootstrapFailure],
      [undefined, undefined, undefined, undefined, undefined],
    );
  });
});
