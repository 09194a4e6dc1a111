import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { plannedWorkflow, succeededAt } from '#test/support/records.ts';
import { operator, type StoreWorld, startStoreWorld } from '#test/support/store-world.ts';
import type { Workflow } from './store.ts';

const agent = { actor: 'agent' } as const;
const server = { actor: 'server' } as const;
const ref = { workflow: 'w', attempt: 1, task: 0 };
const fault = { code: 'internal', message: 'because' } as const;

async function accepted(world: StoreWorld): Promise<void> {
  await world.apply(plannedWorkflow('w', ['m1']));
  await world.transitions.taskAccepted(ref, { session: 's1', sequence: 1, hardware: 'm1' }, agent);
  await world.transitions.actionStarted(
    { ...ref, action: 0 },
    world.clock.now(),
    { session: 's1', sequence: 2, hardware: 'm1' },
    agent,
  );
}

async function lost(world: StoreWorld): Promise<void> {
  await accepted(world);
  await world.transitions.attemptLost(ref, 'silence', server);
}

async function failed(world: StoreWorld): Promise<void> {
  await accepted(world);
  await world.transitions.failWorkflow('w', fault, server);
}

async function succeeded(world: StoreWorld): Promise<void> {
  await accepted(world);
  for (const action of [0, 1]) {
    const stored = { session: 's1', sequence: 3 + action, hardware: 'm1' };
    await world.transitions.actionFinished({ ...ref, action }, succeededAt(world.clock.now()), stored, agent);
  }
}

/** Verb, how to come to where it works, the verb, and the state after it. */
const VERBS: readonly (readonly [
  string,
  (world: StoreWorld) => Promise<void>,
  (world: StoreWorld) => Promise<unknown>,
  string,
])[] = [
  ['cancelWorkflow', accepted, (world) => world.transitions.cancelWorkflow('w', 'enough', operator), 'cancelled'],
  ['failWorkflow', accepted, (world) => world.transitions.failWorkflow('w', fault, server), 'failed'],
  ['timeOutWorkflow', accepted, (world) => world.transitions.timeOutWorkflow('w', 'late', server), 'timedOut'],
  ['attemptLost', accepted, (world) => world.transitions.attemptLost(ref, 'silence', server), 'waiting'],
  ['nextAttempt', lost, (world) => world.transitions.nextAttempt(ref, server), 'waiting'],
  [
    'retryWorkflow',
    failed,
    (world) =>
      world.transitions.retryWorkflow('w', operator).catch((thrown: unknown) => assertCode(thrown, 'conflict')),
    'pending',
  ],
];

function assertCode(thrown: unknown, code: string): void {
  assert.equal((thrown as { code?: string }).code, code);
}

describe('verbs of a workflow', () => {
  for (const [name, prepare, verb, state] of VERBS) {
    it(`${name} has the same effect twice as once`, async () => {
      await using world = await startStoreWorld();
      await prepare(world);

      await verb(world);
      const once = {
        workflow: await world.workflow('w'),
        hardware: await world.hardware('m1'),
        event: await world.newestEvent(),
      };
      await verb(world);
      const twice = {
        workflow: await world.workflow('w'),
        hardware: await world.hardware('m1'),
        event: await world.newestEvent(),
      };

      assert.equal(once.workflow.state, state);
      assert.deepEqual(twice, once);
    });
  }

  it('never rewrite the final state of a run', async () => {
    for (const [end, prepare] of [
      ['succeeded', succeeded],
      ['failed', failed],
    ] as const) {
      await using world = await startStoreWorld();
      await prepare(world);
      const before = { workflow: await world.workflow('w'), hardware: await world.hardware('m1') };

      await assert.rejects(world.transitions.cancelWorkflow('w', 'no', operator), { code: 'conflict' });
      await world.transitions.failWorkflow('w', fault, server);
      await world.transitions.timeOutWorkflow('w', 'late', server);
      await world.transitions.attemptLost(ref, 'silence', server);
      await world.transitions.nextAttempt(ref, server);
      if (end === 'succeeded')
        await assert.rejects(world.transitions.retryWorkflow('w', operator), { code: 'conflict' });

      assert.deepEqual({ workflow: await world.workflow('w'), hardware: await world.hardware('m1') }, before);
    }
  });

  it('refuse what does not exist', async () => {
    await using world = await startStoreWorld();
    await assert.rejects(world.transitions.cancelWorkflow('x', 'no', operator), { code: 'not_found' });
    await assert.rejects(world.transitions.retryWorkflow('x', operator), { code: 'not_found' });
    await assert.rejects(world.transitions.failWorkflow('x', fault, server), { code: 'not_found' });
    await assert.rejects(world.transitions.nextAttempt({ ...ref, workflow: 'x' }, server), { code: 'not_found' });
    await world.transitions.attemptLost({ ...ref, workflow: 'x' }, 'deleted meanwhile', server);
  });
});

describe('a lost attempt', () => {
  it('leaves its rows as history; the next one has rows of its own', async () => {
    await using world = await startStoreWorld();
    await lost(world);

    const next = await world.transitions.nextAttempt(ref, server);

    assert.equal(next.attempt, 2);
    assert.equal(next.attemptsOfRun, 2);
    assert.deepEqual(
      next.actions.map(({ state }) => state),
      ['pending', 'pending'],
    );
    assert.deepEqual(
      (await world.store.actionHistory('w')).map(({ attempt, action, state }) => `${attempt}.${action} ${state}`),
      ['1.0 lost', '1.1 skipped', '2.0 pending', '2.1 pending'],
    );
  });

  it('cannot be lost as an older number', async () => {
    await using world = await startStoreWorld();
    await lost(world);
    await world.transitions.nextAttempt(ref, server);
    await world.transitions.taskAccepted({ ...ref, attempt: 2 }, { session: 's1', sequence: 9, hardware: 'm1' }, agent);

    await world.transitions.attemptLost(ref, 'late news', server);

    assert.equal((await world.workflow('w')).state, 'running');
  });

  it('is not accepted again', async () => {
    await using world = await startStoreWorld();
    await lost(world);

    await world.transitions.taskAccepted(ref, { session: 's1', sequence: 9, hardware: 'm1' }, agent);

    assert.equal((await world.workflow('w')).state, 'waiting');
  });
});

describe('a run that ends without success', () => {
  it('keeps netboot on for the machine that had begun, so that a retry works after a power cycle', async () => {
    await using world = await startStoreWorld();
    await failed(world);

    const hardware = await world.hardware('m1');

    assert.equal(hardware.stage, 'failed');
    assert.equal(hardware.failure, 'Workflow w: because');
    assert.equal(hardware.netboot, true);
  });

  it('sends an installed machine that had not begun back to its disk', async () => {
    await using world = await startStoreWorld();
    await succeeded(world);
    await world.apply(plannedWorkflow('again', ['m1']), plannedWorkflow('later', ['m1']));

    await world.transitions.cancelWorkflow('again', 'no', operator);
    const whileAnotherWaits = (await world.hardware('m1')).netboot;
    await world.transitions.cancelWorkflow('later', 'no', operator);

    assert.equal(whileAnotherWaits, true);
    assert.equal((await world.hardware('m1')).netboot, false);
    assert.equal((await world.hardware('m1')).stage, 'installed');
  });

  it('has begun from its first acceptance on: the disk of an installed machine then counts as lost', async () => {
    await using world = await startStoreWorld();
    await succeeded(world);
    await world.apply(plannedWorkflow('again', ['m1']));
    await world.transitions.taskAccepted(
      { ...ref, workflow: 'again' },
      { session: 's1', sequence: 9, hardware: 'm1' },
      agent,
    );
    await world.transitions.attemptLost({ ...ref, workflow: 'again' }, 'silence', server);

    await world.transitions.cancelWorkflow('again', 'no', operator);

    assert.equal((await world.hardware('m1')).stage, 'failed');
    assert.equal((await world.hardware('m1')).netboot, true);
  });

  it('is retried as a new run: its clock, attempts and error begin anew, its history stays', async () => {
    await using world = await startStoreWorld();
    await lost(world);
    await world.transitions.nextAttempt(ref, server);
    await world.transitions.failWorkflow('w', fault, server);
    await world.transitions.setNetboot('m1', false, operator);

    await world.transitions.retryWorkflow('w', operator);

    const workflow: Workflow = await world.workflow('w');
    assert.equal(workflow.state, 'pending');
    assert.equal(workflow.attempt, 3);
    assert.equal(workflow.attemptsOfRun, 1);
    assert.equal(workflow.startedAt, undefined);
    assert.equal(workflow.finishedAt, undefined);
    assert.equal(workflow.error, undefined);
    assert.equal(workflow.accepted, undefined);
    assert.equal((await world.store.actionHistory('w')).length, 6);
    assert.equal((await world.hardware('m1')).netboot, true);
  });
});
