import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  agentAtWork,
  FakeAgent,
  kindsOf,
  LEASE_MS,
  OPERATOR,
  startEngineWorld,
  theTask,
} from '#test/support/engine-world.ts';
import { plannedWorkflow } from '#test/support/records.ts';

describe('workflow engine and its queues', () => {
  it('times a workflow out by its global timeout, waiting time included', async () => {
    await using world = await startEngineWorld();
    await world.apply(plannedWorkflow('w', ['m1'], { globalTimeoutMs: 100_000 }));
    const agent = new FakeAgent(world, 'm1');
    await world.pass(200_000, agent);
    const task = await agent.acceptTask();
    await agent.start(task, 0);
    await world.pass(LEASE_MS + 1_000);

    await world.pass(60_000);
    const before = (await world.workflow('w')).state;
    await world.pass(10_000);
    const workflow = await world.workflow('w');

    assert.equal(before, 'waiting');
    assert.equal(workflow.state, 'timedOut');
    assert.match(workflow.error?.message ?? '', /global timeout of 100 s/);
    assert.equal((await world.store.hardware('m1'))?.stage, 'failed');
  });

  it('times nothing out because the clock was set forward or the server stood still', async () => {
    await using world = await startEngineWorld();
    const { agent } = await agentAtWork(world, { globalTimeoutMs: 600_000 });
    await world.pass(LEASE_MS + 5_000, agent);

    world.clock.advance(3_600_000);
    await world.pass(5_000, agent);
    const after = (await world.workflow('w')).state;
    await world.pass(60_000, agent);

    assert.equal(after, 'running');
    // What the action took beside the jump still counts.
    assert.match((await world.workflow('w')).error?.message ?? '', /its timeout of 60 s/);
  });

  it('tells an agent that claims to hold another machine’s run nothing of it', async () => {
    await using world = await startEngineWorld();
    await world.apply(plannedWorkflow('theirs', ['m2']));
    const victim = new FakeAgent(world, 'm2');
    const task = await victim.acceptTask();
    await victim.start(task, 0);
    const error = { code: 'download_failed', message: 'http://user:secret@host/' } as const;
    await victim.finish(task, 0, { outcome: 'failed', exitCode: 1, error });

    const commands = await new FakeAgent(world, 'm1').hello(task);

    assert.deepEqual(kindsOf(commands), ['cancel']);
    assert.ok(!JSON.stringify(commands).includes('secret'));
  });

  it('hears an agent that was away before it times its run out', async () => {
    await using world = await startEngineWorld();
    await world.apply(plannedWorkflow('w', ['m1'], { globalTimeoutMs: 60_000 }));
    const agent = new FakeAgent(world, 'm1');
    const run = await agent.helloForTask();
    await agent.accept(run.task);
    await agent.leave();
    world.clock.advance(120_000);

    world.restartServer();
    await world.pass(2_000);
    await agent.hello(run.task);
    await world.pass(2_000, agent);
    for (const action of run.actions.keys()) {
      await agent.start(run.task, action);
      await agent.finish(run.task, action);
    }

    assert.equal((await world.workflow('w')).state, 'succeeded');
  });

  it('ends an action that its agent failed to end in time, and cancels it there', async () => {
    await using world = await startEngineWorld();
    const { agent } = await agentAtWork(world, { retries: 1 });

    await world.pass(179_000, agent);
    const before = (await world.workflow('w')).state;
    await world.pass(2_000, agent);
    const workflow = await world.workflow('w');

    assert.equal(before, 'running');
    assert.equal(workflow.state, 'failed');
    assert.equal(workflow.error?.code, 'timed_out');
    assert.deepEqual(
      workflow.actions.map(({ state }) => state),
      ['timedOut', 'skipped'],
    );
    assert.deepEqual(kindsOf(await agent.commands()), ['cancel']);
  });

  it('cancels at once, tells the agent, and ignores what it still reports', async () => {
    await using world = await startEngineWorld();
    const { agent, task } = await agentAtWork(world);

    await world.transitions.cancelWorkflow('w', 'wrong machine', OPERATOR);
    const cancelled = await world.workflow('w');
    const commands = await agent.commands();
    await agent.finish(task, 0);
    await agent.start(task, 1);

    assert.equal(cancelled.state, 'cancelled');
    assert.deepEqual(commands, [{ kind: 'cancel', task, reason: 'wrong machine' }]);
    assert.deepEqual(await world.workflow('w'), cancelled);
    assert.deepEqual(
      cancelled.actions.map(({ state }) => state),
      ['cancelled', 'skipped'],
    );
  });

  it('cancels a task that was accepted after its workflow was cancelled', async () => {
    await using world = await startEngineWorld();
    await world.apply(plannedWorkflow('w', ['m1']));
    const agent = new FakeAgent(world, 'm1');
    const { task } = await agent.helloForTask();
    await world.transitions.cancelWorkflow('w', 'too late', OPERATOR);
    const ended = new AbortController();
    const changes = world.engine().changes(ended.signal)[Symbol.asyncIterator]();

    await agent.accept(task);
    const changed = await changes.next();
    ended.abort();

    assert.equal(changed.value, 'm1');
    assert.deepEqual(kindsOf(await agent.commands()), ['cancel']);
    assert.equal((await world.workflow('w')).state, 'cancelled');
  });

  it('stops sending a cancel once the agent has ended the action', async () => {
    await using world = await startEngineWorld();
    const { agent, task } = await agentAtWork(world);
    await world.transitions.cancelWorkflow('w', 'enough', OPERATOR);

    await agent.finish(task, 0, { outcome: 'cancelled', exitCode: 130 });

    assert.deepEqual(await agent.commands(), []);
  });

  it('lets a cancel and the last report race to one true end', async () => {
    await using world = await startEngineWorld();
    const { agent, task } = await agentAtWork(world, { images: ['image2disk'] });

    const [reported, cancelled] = await Promise.allSettled([
      agent.finish(task, 0),
      world.transitions.cancelWorkflow('w', 'race', OPERATOR),
    ]);

    assert.equal(reported.status, 'fulfilled');
    assert.equal(cancelled.status, 'rejected');
    assert.equal((await world.workflow('w')).state, 'succeeded');
  });

  it('runs a retried workflow again as the next attempt with all its attempts', async () => {
    await using world = await startEngineWorld();
    const { agent, task } = await agentAtWork(world);
    await agent.finish(task, 0, { outcome: 'failed', exitCode: 1 });

    await world.transitions.retryWorkflow('w', OPERATOR);
    const run = theTask(await agent.commands());
    await agent.complete(run);

    assert.equal(run.task.attempt, 2);
    assert.equal((await world.workflow('w')).state, 'succeeded');
    assert.equal((await world.workflow('w')).attemptsOfRun, 1);
    assert.equal((await world.store.actionHistory('w')).length, 4);
  });

  it('runs the workflows of a machine one after the other, oldest first', async () => {
    await using world = await startEngineWorld();
    await world.apply(plannedWorkflow('z-first', ['m1']), plannedWorkflow('a-second', ['m1']));
    const agent = new FakeAgent(world, 'm1');

    const first = await agent.helloForTask();
    await agent.accept(first.task);
    const meanwhile = await agent.commands();
    for (const action of [0, 1]) await agent.finish(first.task, action);
    const netboot = (await world.store.hardware('m1'))?.netboot;
    const second = theTask(await agent.commands());
    await agent.complete(second);

    assert.equal(first.task.workflow, 'z-first');
    assert.deepEqual(meanwhile, []);
    assert.equal(netboot, true);
    assert.equal(second.task.workflow, 'a-second');
    assert.equal((await world.store.hardware('m1'))?.netboot, false);
  });

  it('leaves out a workflow that is disabled', async () => {
    await using world = await startEngineWorld();
    await world.apply(plannedWorkflow('off', ['m1'], { disabled: true }), plannedWorkflow('on', ['m1']));

    const run = await new FakeAgent(world, 'm1').helloForTask();

    assert.equal(run.task.workflow, 'on');
  });

  it('gives no more work to an agent whose machine is about to restart', async () => {
    await using world = await startEngineWorld();
    await world.apply(
      plannedWorkflow('first', ['m1'], { images: ['image2disk', 'reboot'] }),
      plannedWorkflow('second', ['m1']),
    );
    const agent = new FakeAgent(world, 'm1');
    await agent.complete(await agent.helloForTask());

    const leaving = await agent.commands();
    world.restartServer();
    const afterRestart = await agent.hello();
    const next = await new FakeAgent(world, 'm1').helloForTask();

    assert.deepEqual(leaving, []);
    assert.deepEqual(afterRestart, []);
    assert.equal(next.task.workflow, 'second');
  });

  it('hands a workflow over from machine to machine, each installed when its own part is done', async () => {
    await using world = await startEngineWorld();
    await world.apply(plannedWorkflow('w', ['m1', 'm2', 'm1']));
    const [one, two] = [new FakeAgent(world, 'm1'), new FakeAgent(world, 'm2')];
    const ended = new AbortController();
    const changes = world.engine().changes(ended.signal)[Symbol.asyncIterator]();
    const first = await one.helloForTask();
    assert.deepEqual(await two.hello(), []);

    await one.complete(first);
    let told = await changes.next();
    while (told.value !== 'm2') told = await changes.next();
    const second = theTask(await two.commands());
    const stageOfOne = (await world.store.hardware('m1'))?.stage;
    await two.complete(second);
    const stageOfTwo = (await world.store.hardware('m2'))?.stage;
    await one.complete(theTask(await one.commands()));
    ended.abort();

    assert.equal(stageOfOne, 'provisioning');
    assert.equal(stageOfTwo, 'installed');
    assert.equal((await world.workflow('w')).state, 'succeeded');
    assert.equal((await world.store.hardware('m1'))?.stage, 'installed');
  });

  it('begins a lost workflow again from the task that was lost, not from the first', async () => {
    await using world = await startEngineWorld();
    await world.apply(plannedWorkflow('w', ['m1', 'm2']));
    const one = new FakeAgent(world, 'm1');
    await one.complete(await one.helloForTask());
    const two = new FakeAgent(world, 'm2');
    await two.acceptTask();

    const again = await new FakeAgent(world, 'm2').helloForTask();

    assert.deepEqual(again.task, { workflow: 'w', attempt: 2, task: 1 });
    assert.equal((await world.store.hardware('m1'))?.stage, 'installed');
  });

  it('fails only the machines whose part was begun and not done', async () => {
    await using world = await startEngineWorld();
    await world.apply(plannedWorkflow('w', ['m1', 'm2', 'm3']));
    const one = new FakeAgent(world, 'm1');
    await one.complete(await one.helloForTask());
    const two = new FakeAgent(world, 'm2');
    const task = await two.acceptTask();
    await two.start(task, 0);
    await two.finish(task, 0, { outcome: 'failed', exitCode: 1 });

    const stages = (await world.store.listHardware()).map(({ name, stage }) => `${name} ${stage}`);

    assert.deepEqual(stages, ['m1 installed', 'm2 failed', 'm3 discovered']);
  });

  it('never lets two workflows that need the same machines in another order wait for each other', async () => {
    await using world = await startEngineWorld();
    await world.apply(plannedWorkflow('ab', ['m1', 'm2']), plannedWorkflow('ba', ['m2', 'm1']));
    const agents = { m1: new FakeAgent(world, 'm1'), m2: new FakeAgent(world, 'm2') };
    await agents.m1.hello();
    await agents.m2.hello();
    await world.transitions.cancelWorkflow('ab', 'later', OPERATOR);
    const started = theTask(await agents.m2.commands());
    await agents.m2.accept(started.task);
    await world.transitions.retryWorkflow('ab', OPERATOR);
    const whileBusy = await agents.m1.commands();
    for (const action of [0, 1]) await agents.m2.finish(started.task, action);

    for (let round = 0; round < 4; round += 1) {
      for (const agent of Object.values(agents)) {
        for (const command of await agent.commands()) if (command.kind === 'runTask') await agent.complete(command);
      }
    }

    assert.deepEqual(whileBusy, []);
    assert.deepEqual(
      (await world.store.listWorkflows()).map(({ name, state }) => `${name} ${state}`),
      ['ab succeeded', 'ba succeeded'],
    );
  });

  it('fails a workflow whose action no built-in serves any more, and goes on with the next one', async () => {
    await using world = await startEngineWorld();
    await world.apply(plannedWorkflow('old', ['m1'], { images: ['gone'] }), plannedWorkflow('new', ['m1']));

    const run = await new FakeAgent(world, 'm1').helloForTask();

    assert.equal(run.task.workflow, 'new');
    assert.equal((await world.workflow('old')).error?.code, 'unknown_action');
    assert.equal((await world.store.hardware('m1'))?.stage, 'discovered');
  });

  it('names a changed machine once however often it changed before it was read, and ends with its signal', async () => {
    await using world = await startEngineWorld();
    const ended = new AbortController();
    const names: string[] = [];
    const changes = world.engine().changes(ended.signal);
    await world.apply(plannedWorkflow('w', ['m1']), plannedWorkflow('x', ['m2']));
    await world.transitions.cancelWorkflow('w', 'no', OPERATOR);
    await world.transitions.retryWorkflow('w', OPERATOR);

    for await (const name of changes) {
      names.push(name);
      if (new Set(names).size === 2) ended.abort();
    }

    assert.deepEqual(new Set(names), new Set(['m1', 'm2']));
    assert.ok(names.length <= 4, names.join());
  });
});
