import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { plannedWorkflow } from '#test/support/records.ts';
import { operator, type StoreWorld, startStoreWorld } from '#test/support/store-world.ts';
import type { ActionResult } from '../provision/engine.ts';

const agent = { actor: 'agent', from: '10.9.0.1' } as const;
const ref = { workflow: 'w', attempt: 1, task: 0 };

/** Reports of machine m1's agent, counted. */
function reporter(world: StoreWorld) {
  let sequence = 0;
  const stored = () => {
    sequence += 1;
    return { session: 's1', sequence, hardware: 'm1' };
  };
  return {
    accept: async (attempt = 1) => world.transitions.taskAccepted({ ...ref, attempt }, stored(), agent),
    start: async (action: number, at = world.clock.now()) =>
      world.transitions.actionStarted({ ...ref, action }, at, stored(), agent),
    finish: async (action: number, change: Partial<ActionResult> = {}) => {
      const result = { outcome: 'succeeded', at: world.clock.now(), exitCode: 0, tries: 1, ...change } as const;
      await world.transitions.actionFinished({ ...ref, action }, result, stored(), agent);
    },
    log: async (action: number, texts: readonly string[]) => {
      const lines = texts.map((text) => ({ at: world.clock.now(), stream: 'stdout' as const, text }));
      await world.transitions.actionLog({ ...ref, action }, lines, stored(), agent);
    },
  };
}

describe('the reports of an agent', () => {
  it('tell the whole story of a machine in events', async () => {
    await using world = await startStoreWorld();
    await world.apply(plannedWorkflow('w', ['m1'], { images: ['image2disk', 'reboot'] }));
    const before = await world.newestEvent();
    const report = reporter(world);

    await report.accept();
    await report.start(0);
    world.clock.advance(90_000);
    await report.finish(0);
    await report.finish(1);

    assert.deepEqual(await world.eventNames(before), [
      'workflow.started',
      'machine.provisioning',
      'action.started',
      'action.finished',
      'action.finished',
      'workflow.succeeded',
      'machine.installed',
      'hardware.netboot',
    ]);
    const finished = (await world.store.events({ names: ['action.finished'] }))[0];
    assert.equal(finished?.data['durationMs'], 90_000);
    assert.equal(finished.from, '10.9.0.1');
    assert.equal((await world.store.agentSession('s1'))?.isLeaving, true);
  });

  it('are believed in their times only as far as these fit what the server saw', async () => {
    await using world = await startStoreWorld();
    await world.apply(plannedWorkflow('w', ['m1']));
    const report = reporter(world);
    const acceptedAt = world.clock.now();
    await report.accept();
    world.clock.advance(10_000);

    await report.start(0, new Date(0));
    world.clock.advance(10_000);
    await report.finish(0, { at: new Date('2099-01-01') });
    await report.start(1, new Date(acceptedAt.getTime() + 20_001));

    const [first, second] = (await world.workflow('w')).actions;
    assert.deepEqual(first?.startedAt, acceptedAt);
    assert.deepEqual(first.finishedAt, world.clock.now());
    assert.deepEqual(second?.startedAt, world.clock.now());
  });

  it('end the run when they leave an action out', async () => {
    await using world = await startStoreWorld();
    await world.apply(plannedWorkflow('w', ['m1']));
    const report = reporter(world);
    await report.accept();

    await report.finish(1);

    const workflow = await world.workflow('w');
    assert.equal(workflow.state, 'failed');
    assert.match(workflow.error?.message ?? '', /reported action 2 before action 1 \(image2disk-0\) had succeeded/);
    assert.equal((await world.hardware('m1')).netboot, true);
  });

  it('are refused for an action that the task does not have, without using the sequence up', async () => {
    await using world = await startStoreWorld();
    await world.apply(plannedWorkflow('w', ['m1']));
    const report = reporter(world);
    await report.accept();

    await assert.rejects(report.start(2), { code: 'invalid_input' });

    assert.equal((await world.store.agentSession('s1'))?.acknowledged, 1);
  });

  it('count nothing before the task is accepted', async () => {
    await using world = await startStoreWorld();
    await world.apply(plannedWorkflow('w', ['m1']));
    const report = reporter(world);

    await report.start(0);
    await report.finish(0);

    assert.equal((await world.workflow('w')).state, 'pending');
    assert.deepEqual(
      (await world.workflow('w')).actions.map(({ state }) => state),
      ['pending', 'pending'],
    );
  });

  it('begin no second workflow on a machine that runs one', async () => {
    await using world = await startStoreWorld();
    await world.apply(plannedWorkflow('w', ['m1']), plannedWorkflow('x', ['m1']));
    await reporter(world).accept();

    const stored = { session: 's1', sequence: 2, hardware: 'm1' };
    await world.transitions.taskAccepted({ workflow: 'x', attempt: 1, task: 0 }, stored, agent);

    assert.equal((await world.workflow('x')).state, 'pending');
  });

  for (const [outcome, state, code] of [
    ['failed', 'failed', 'command_failed'],
    ['timedOut', 'timedOut', 'timed_out'],
    ['cancelled', 'cancelled', 'cancelled'],
  ] as const) {
    it(`of an action that ${outcome} fail the run and its machine, with the action in the reason`, async () => {
      await using world = await startStoreWorld();
      await world.apply(plannedWorkflow('w', ['m1']));
      const report = reporter(world);
      await report.accept();
      await report.start(0);

      await report.finish(0, { outcome, exitCode: 7, tries: 2 });

      const workflow = await world.workflow('w');
      assert.equal(workflow.state, 'failed');
      assert.deepEqual(workflow.error, {
        code,
        message: 'action image2disk-0 (1 of 2) on m1: it ended with exit code 7',
      });
      assert.deepEqual(
        workflow.actions.map((action) => action.state),
        [state, 'skipped'],
      );
      assert.equal((await world.hardware('m1')).stage, 'failed');
    });
  }

  it('put a machine back to provisioning whose boot script somebody else fetched', async () => {
    await using world = await startStoreWorld();
    await world.apply(plannedWorkflow('w', ['m1']));
    const report = reporter(world);
    await report.accept();
    const token = { hash: 'h', mac: '02:00:00:00:00:01', expiresAt: new Date(world.clock.now().getTime() + 1_000) };
    await world.transitions.startBoot({ hardware: 'm1', token }, { actor: 'machine' });
    const meanwhile = (await world.hardware('m1')).stage;

    await report.start(0);

    assert.equal(meanwhile, 'booting');
    assert.equal((await world.hardware('m1')).stage, 'provisioning');
  });
});

describe('the log of an action', () => {
  it('ends with one notice after its limit of lines', async () => {
    await using world = await startStoreWorld();
    await world.apply(plannedWorkflow('w', ['m1']));
    const report = reporter(world);
    await report.accept();
    const batch = Array.from({ length: 6_000 }, (_, index) => `line ${index}`);

    await report.log(0, batch);
    await report.log(0, batch);
    await report.log(0, batch);
    await report.log(1, ['another action']);

    const lines = await world.store.logLines('w');
    assert.equal(lines.length, 10_002);
    assert.equal(lines.at(9_999)?.text, 'line 3999');
    assert.match(lines.at(10_000)?.text ?? '', /^truncated/);
    assert.equal(lines.at(-1)?.text, 'another action');
  });

  it('ends with one notice after its limit of bytes', async () => {
    await using world = await startStoreWorld();
    await world.apply(plannedWorkflow('w', ['m1']));
    const report = reporter(world);
    await report.accept();
    const mebibyte = 'ä'.repeat(524_288 - 1);

    for (let turn = 0; turn < 8; turn += 1) await report.log(0, [mebibyte]);

    const lines = await world.store.logLines('w');
    assert.equal(lines.length, 5);
    assert.match(lines.at(-1)?.text ?? '', /^truncated/);
  });

  it('keeps what was printed while the run was ended, and nothing of older attempts or other machines', async () => {
    await using world = await startStoreWorld();
    await world.apply(plannedWorkflow('w', ['m1']));
    const report = reporter(world);
    await report.accept();
    await world.transitions.cancelWorkflow('w', 'enough', operator);

    await report.log(0, ['dying words']);
    const line = { at: world.clock.now(), stream: 'stdout' as const, text: 'of m2' };
    const stranger = { session: 's2', sequence: 1, hardware: 'm2' };
    await world.transitions.actionLog({ ...ref, action: 0 }, [line], stranger, agent);
    await world.transitions.retryWorkflow('w', operator);
    await report.log(0, ['too late']);

    assert.deepEqual(
      (await world.store.logLines('w')).map(({ text }) => text),
      ['dying words'],
    );
  });

  it('is read by attempt, after a line and up to a limit', async () => {
    await using world = await startStoreWorld();
    await world.apply(plannedWorkflow('w', ['m1']));
    const report = reporter(world);
    await report.accept();
    await report.log(0, ['a', 'b', 'c']);

    const [first] = await world.store.logLines('w', { limit: 1 });
    const rest = await world.store.logLines('w', { after: first?.id ?? 0, attempt: 1 });

    assert.equal(first?.text, 'a');
    assert.deepEqual(
      rest.map(({ text }) => text),
      ['b', 'c'],
    );
    assert.deepEqual(await world.store.logLines('w', { attempt: 2 }), []);
  });
});

describe('progress', () => {
  const progress = { done: 1, total: 2, perSecond: 3, unit: 'bytes' };

  it('is kept while its action runs, and is no event', async () => {
    await using world = await startStoreWorld();
    await world.apply(plannedWorkflow('w', ['m1']));
    const report = reporter(world);
    await world.transitions.actionProgress({ ...ref, action: 0 }, 'm1', progress);
    await report.accept();
    await report.start(0);
    const before = await world.newestEvent();

    await world.transitions.actionProgress({ ...ref, action: 0 }, 'm1', progress);
    await world.transitions.actionProgress({ ...ref, action: 0 }, 'm2', { ...progress, done: 9 });
    await world.transitions.actionProgress({ ...ref, action: 1 }, 'm1', progress);
    await report.finish(0);
    await world.transitions.actionProgress({ ...ref, action: 0 }, 'm1', { ...progress, done: 9 });

    const [first, second] = (await world.workflow('w')).actions;
    const { toldAt, ...told } = first?.progress ?? {};
    assert.deepEqual(told, progress);
    assert.equal(typeof toldAt, 'number');
    assert.equal(second?.progress, undefined);
    assert.deepEqual(await world.eventNames(before), ['action.finished']);
  });
});
