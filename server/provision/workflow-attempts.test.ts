import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  agentAtWork,
  FakeAgent,
  kindsOf,
  LEASE_MS,
  MAX_ATTEMPTS,
  startEngineWorld,
  theTask,
} from '#test/support/engine-world.ts';
import { plannedWorkflow } from '#test/support/records.ts';

describe('the attempts of a workflow', () => {
  it('loses an attempt when its agent is silent for the lease, and begins the next one at the machine’s next boot', async () => {
    await using world = await startEngineWorld();
    await agentAtWork(world);

    await world.pass(LEASE_MS + 1_000);
    const lost = await world.workflow('w');
    const next = await new FakeAgent(world, 'm1').helloForTask();

    assert.equal(lost.state, 'waiting');
    assert.deepEqual(
      lost.actions.map(({ state }) => state),
      ['lost', 'skipped'],
    );
    assert.deepEqual(next.task, { workflow: 'w', attempt: 2, task: 0 });
    const history = await world.store.actionHistory('w');
    assert.deepEqual(
      history.map(({ attempt, state }) => `${attempt} ${state}`),
      ['1 lost', '1 skipped', '2 pending', '2 pending'],
    );
  });

  it('begins the next attempt at once when the agent process was started again', async () => {
    await using world = await startEngineWorld();
    await world.apply(plannedWorkflow('w', ['m1']));
    const former = new FakeAgent(world, 'm1', 'same-boot');
    const task = await former.acceptTask();
    await former.start(task, 0);

    const next = await new FakeAgent(world, 'm1', 'same-boot').helloForTask();

    assert.equal(next.task.attempt, 2);
  });

  it('stores late reports of a lost attempt without any effect', async () => {
    await using world = await startEngineWorld();
    const { agent: former, task } = await agentAtWork(world);
    await new FakeAgent(world, 'm1').helloForTask();
    const before = await world.workflow('w');
    const history = await world.store.actionHistory('w');

    await former.finish(task, 0);
    await former.start(task, 1);
    await former.finish(task, 1);

    assert.deepEqual(await world.workflow('w'), before);
    assert.deepEqual(await world.store.actionHistory('w'), history);
    assert.equal(await world.engine().acknowledged(former.session.session), 5);
  });

  it('tells an agent that comes back too late to leave the old attempt and run the next', async () => {
    await using world = await startEngineWorld();
    const { agent, task } = await agentAtWork(world);
    await agent.leave();
    await world.pass(LEASE_MS + 1_000);

    const commands = await agent.hello(task);

    assert.deepEqual(kindsOf(commands), ['cancel', 'runTask']);
    assert.equal(theTask(commands).task.attempt, 2);
  });

  it('notices an agent that gives signs of life again on the stream that it always had', async () => {
    await using world = await startEngineWorld();
    const { agent } = await agentAtWork(world);
    await world.pass(LEASE_MS + 1_000);
    const ended = new AbortController();
    const changes = world.engine().changes(ended.signal)[Symbol.asyncIterator]();

    agent.heartbeat();
    const changed = await changes.next();
    ended.abort();

    assert.equal(changed.value, 'm1');
    assert.deepEqual(kindsOf(await agent.commands()), ['cancel', 'runTask']);
  });

  it('fails a run after its last attempt, with the action and the machine in its reason', async () => {
    await using world = await startEngineWorld();
    await world.apply(plannedWorkflow('w', ['m1']));
    for (let attempt = 1; attempt <= MAX_ATTEMPTS; attempt += 1) {
      const agent = new FakeAgent(world, 'm1');
      const { task } = await agent.helloForTask();
      assert.equal(task.attempt, attempt);
      await agent.accept(task);
      await agent.start(task, 0);
      await world.pass(LEASE_MS + 1_000);
    }

    const workflow = await world.workflow('w');
    const hardware = await world.store.hardware('m1');

    assert.equal(workflow.state, 'failed');
    assert.equal(workflow.error?.code, 'lost');
    assert.match(workflow.error.message, /m1 went away during action image2disk-0 in attempt 3 of 3/);
    assert.equal(hardware?.stage, 'failed');
    assert.match(hardware.failure ?? '', /Workflow w: the agent of m1/);
    assert.equal(hardware.netboot, true);
    assert.deepEqual(await new FakeAgent(world, 'm1').hello(), []);
  });

  it('never begins a task again by itself when one of its actions is not repeatable', async () => {
    await using world = await startEngineWorld();
    await agentAtWork(world, { images: ['image2disk', 'cexec'] });

    const commands = await new FakeAgent(world, 'm1').hello();
    const workflow = await world.workflow('w');

    assert.deepEqual(commands, []);
    assert.equal(workflow.state, 'failed');
    assert.match(workflow.error?.message ?? '', /action cexec-1 is not repeatable/);
  });
});
