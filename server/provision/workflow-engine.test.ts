import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { FakeAgent, kindsOf, LEASE_MS, MAX_ATTEMPTS, startEngineWorld, theTask } from '#test/support/engine-world.ts';
import { plannedWorkflow, someInventory } from '#test/support/records.ts';

describe('workflow engine and its agents', () => {
  it('gives a machine its task with the facts of its record, and nothing once it has accepted', async () => {
    await using world = await startEngineWorld();
    await world.apply(plannedWorkflow('w', ['m1']));
    const agent = new FakeAgent(world, 'm1');

    const run = await agent.helloForTask();
    await agent.accept(run.task);

    assert.deepEqual(run.task, { workflow: 'w', attempt: 1, task: 0 });
    assert.deepEqual(
      run.actions.map(({ builtIn }) => builtIn),
      ['image2disk', 'writefile'],
    );
    assert.deepEqual(run.facts, {
      hardware: 'm1',
      disks: [{ device: '/dev/vda' }],
      interfaces: [
        {
          mac: '02:00:00:00:00:01',
          hostname: 'm1',
          address: '10.9.0.1',
          netmask: '255.255.255.0',
          gateway: '10.9.0.254',
          nameServers: ['10.9.0.253'],
        },
      ],
    });
    assert.deepEqual(await agent.commands(), []);
  });

  it('sends the task again until it is accepted', async () => {
    await using world = await startEngineWorld();
    await world.apply(plannedWorkflow('w', ['m1']));
    const agent = new FakeAgent(world, 'm1');

    const first = await agent.helloForTask();
    const second = theTask(await agent.commands());

    assert.deepEqual(second, first);
  });

  it('goes on with a run whose agent only reconnects', async () => {
    await using world = await startEngineWorld();
    await world.apply(plannedWorkflow('w', ['m1']));
    const agent = new FakeAgent(world, 'm1');
    const { task } = await agent.helloForTask();
    await agent.accept(task);
    await agent.start(task, 0);
    await agent.leave();

    await world.pass(LEASE_MS - 2_000);
    const commands = await agent.hello(task);
    await agent.finish(task, 0);

    assert.deepEqual(commands, []);
    assert.equal((await world.workflow('w')).actions[0]?.state, 'succeeded');
  });

  it('changes nothing when reports arrive twice', async () => {
    await using world = await startEngineWorld();
    await world.apply(plannedWorkflow('w', ['m1']));
    const agent = new FakeAgent(world, 'm1');
    const { task } = await agent.helloForTask();
    const at = world.clock.now();
    const lines = [{ at, stream: 'stdout' as const, text: 'hello' }];
    const send = async () => {
      await world.engine().report(agent.session, 1, { kind: 'taskAccepted', task });
      await world.engine().report(agent.session, 2, { kind: 'actionStarted', task, action: 0, at });
      await world.engine().report(agent.session, 3, { kind: 'actionLog', task, action: 0, lines });
      await world.engine().report(agent.session, 4, { kind: 'inventory', inventory: someInventory });
      const result = { outcome: 'failed' as const, at, exitCode: 3, tries: 1 };
      await world.engine().report(agent.session, 5, { kind: 'actionFinished', task, action: 0, result });
    };

    await send();
    const events = await world.store.events();
    const workflow = await world.workflow('w');
    await send();

    assert.deepEqual(await world.store.events(), events);
    assert.deepEqual(await world.workflow('w'), workflow);
    assert.equal((await world.store.logLines('w')).length, 1);
    assert.equal(await world.engine().acknowledged(agent.session.session), 5);
  });

  it('ends two agents that claim one machine in a bounded number of attempts', async () => {
    await using world = await startEngineWorld();
    await world.apply(plannedWorkflow('w', ['m1']));
    const agents = [new FakeAgent(world, 'm1'), new FakeAgent(world, 'm1')];
    for (let turn = 0; turn < 10; turn += 1) {
      const agent = agents[turn % 2];
      const run = (await agent?.hello())?.find((command) => command.kind === 'runTask');
      if (run !== undefined) await agent?.accept(run.task);
    }

    const workflow = await world.workflow('w');

    assert.equal(workflow.state, 'failed');
    assert.equal(workflow.attempt, MAX_ATTEMPTS);
  });

  it('counts the reports of the process that accepted a task, and cancels it at one that only got it, too', async () => {
    await using world = await startEngineWorld();
    await world.apply(plannedWorkflow('w', ['m1']));
    const [zombie, newer] = [new FakeAgent(world, 'm1'), new FakeAgent(world, 'm1')];
    const { task } = await zombie.helloForTask();
    await newer.helloForTask();
    await newer.accept(task);

    await zombie.accept(task);
    await zombie.start(task, 0);
    await zombie.finish(task, 0);
    const states = (await world.workflow('w')).actions.map(({ state }) => state);
    const commands = await zombie.hello(task);

    assert.deepEqual(states, ['pending', 'pending']);
    assert.deepEqual(kindsOf(commands), ['cancel', 'runTask']);
    assert.equal(theTask(commands).task.attempt, 2);
  });

  it('gives no work to an agent process that a newer one replaced', async () => {
    await using world = await startEngineWorld();
    const former = new FakeAgent(world, 'm1');
    const newer = new FakeAgent(world, 'm1');
    await former.hello();
    await newer.hello();
    await world.apply(plannedWorkflow('w', ['m1']));

    assert.deepEqual(await former.commands(), []);
    assert.deepEqual(kindsOf(await newer.commands()), ['runTask']);
    await former.leave();
    assert.deepEqual(kindsOf(await newer.commands()), ['runTask']);
  });

  it('refuses the reports of a machine on a task of another machine', async () => {
    await using world = await startEngineWorld();
    await world.apply(plannedWorkflow('w', ['m1']));
    const stranger = new FakeAgent(world, 'm2');
    await stranger.hello();
    const task = { workflow: 'w', attempt: 1, task: 0 };

    await assert.rejects(stranger.accept(task), { code: 'forbidden' });
    const progress = { done: 1, perSecond: 1, unit: 'bytes' };
    await world.engine().report(stranger.session, 0, { kind: 'actionProgress', task, action: 0, progress });

    assert.equal((await world.workflow('w')).state, 'pending');
  });

  it('refuses a report that has to be stored but has no sequence', async () => {
    await using world = await startEngineWorld();
    const agent = new FakeAgent(world, 'm1');
    await agent.hello();
    const task = { workflow: 'w', attempt: 1, task: 0 };

    await assert.rejects(world.engine().report(agent.session, 0, { kind: 'taskAccepted', task }), {
      code: 'invalid_input',
    });
  });
});
