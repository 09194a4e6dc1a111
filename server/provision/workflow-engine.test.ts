import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  type EngineWorld,
  FakeAgent,
  kindsOf,
  LEASE_MS,
  MAX_ATTEMPTS,
  startEngineWorld,
  theTask,
} from '#test/support/engine-world.ts';
import { plannedWorkflow, someInventory } from '#test/support/records.ts';
import type { TaskRef } from './engine.ts';

interface Restarted {
  readonly agent: FakeAgent;
  /** Task that the agent still holds. */
  readonly held?: TaskRef;
  /** Actions that were reported before the restart. */
  readonly done?: number;
}

/** Where a run is when the server restarts, and how it got there. */
const RESTARTS: readonly (readonly [state: string, prepare: (world: EngineWorld) => Promise<Restarted>])[] = [
  ['pending', async (world) => ({ agent: new FakeAgent(world, 'm1') })],
  [
    'sent but not accepted',
    async (world) => {
      const agent = new FakeAgent(world, 'm1');
      await agent.hello();
      return { agent };
    },
  ],
  ['accepted', async (world) => acceptedRun(world)],
  [
    'between actions',
    async (world) => {
      const { agent, held } = await acceptedRun(world);
      await agent.finish(held, 0);
      return { agent, held, done: 1 };
    },
  ],
  [
    'lost',
    async (world) => {
      await acceptedRun(world);
      await world.pass(LEASE_MS + 1_000);
      return { agent: new FakeAgent(world, 'm1') };
    },
  ],
  [
    'ready for its next attempt',
    async (world) => {
      await acceptedRun(world);
      await new FakeAgent(world, 'm1').helloForTask();
      return { agent: new FakeAgent(world, 'm1') };
    },
  ],
  [
    'done',
    async (world) => {
      const agent = new FakeAgent(world, 'm1');
      await agent.complete(await agent.helloForTask());
      return { agent };
    },
  ],
];

async function acceptedRun(world: EngineWorld): Promise<{ agent: FakeAgent; held: TaskRef }> {
  const agent = new FakeAgent(world, 'm1');
  const { task } = await agent.helloForTask();
  await agent.accept(task);
  return { agent, held: task };
}

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

  it('loses an attempt when its agent is silent for the lease, and begins the next one at the machine’s next boot', async () => {
    await using world = await startEngineWorld();
    await world.apply(plannedWorkflow('w', ['m1']));
    const agent = new FakeAgent(world, 'm1');
    const { task } = await agent.helloForTask();
    await agent.accept(task);
    await agent.start(task, 0);

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
    const { task } = await former.helloForTask();
    await former.accept(task);
    await former.start(task, 0);

    const next = await new FakeAgent(world, 'm1', 'same-boot').helloForTask();

    assert.equal(next.task.attempt, 2);
  });

  it('stores late reports of a lost attempt without any effect', async () => {
    await using world = await startEngineWorld();
    await world.apply(plannedWorkflow('w', ['m1']));
    const former = new FakeAgent(world, 'm1');
    const { task } = await former.helloForTask();
    await former.accept(task);
    await former.start(task, 0);
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
    await world.apply(plannedWorkflow('w', ['m1']));
    const agent = new FakeAgent(world, 'm1');
    const { task } = await agent.helloForTask();
    await agent.accept(task);
    await agent.start(task, 0);
    await agent.leave();
    await world.pass(LEASE_MS + 1_000);

    const commands = await agent.hello(task);

    assert.deepEqual(kindsOf(commands), ['cancel', 'runTask']);
    assert.equal(theTask(commands).task.attempt, 2);
  });

  it('notices an agent that gives signs of life again on the stream that it always had', async () => {
    await using world = await startEngineWorld();
    await world.apply(plannedWorkflow('w', ['m1']));
    const agent = new FakeAgent(world, 'm1');
    const { task } = await agent.helloForTask();
    await agent.accept(task);
    await agent.start(task, 0);
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
    await world.apply(plannedWorkflow('w', ['m1'], { images: ['image2disk', 'cexec'] }));
    const agent = new FakeAgent(world, 'm1');
    const { task } = await agent.helloForTask();
    await agent.accept(task);
    await agent.start(task, 0);

    const commands = await new FakeAgent(world, 'm1').hello();
    const workflow = await world.workflow('w');

    assert.deepEqual(commands, []);
    assert.equal(workflow.state, 'failed');
    assert.match(workflow.error?.message ?? '', /action cexec-1 is not repeatable/);
  });

  it('loses nothing when the server restarts while an agent works', async () => {
    await using world = await startEngineWorld();
    await world.apply(plannedWorkflow('w', ['m1']));
    const agent = new FakeAgent(world, 'm1');
    const { task } = await agent.helloForTask();
    await agent.accept(task);
    await agent.start(task, 0);
    await world.pass(LEASE_MS - 1_000);

    world.restartServer();
    await world.pass(LEASE_MS - 1_000);
    const commands = await agent.hello(task);
    await agent.finish(task, 0);

    assert.deepEqual(commands, []);
    assert.equal((await world.workflow('w')).state, 'running');
  });

  it('gives an attempt up after a restart only when a whole fresh lease has passed', async () => {
    await using world = await startEngineWorld();
    await world.apply(plannedWorkflow('w', ['m1']));
    const agent = new FakeAgent(world, 'm1');
    const { task } = await agent.helloForTask();
    await agent.accept(task);

    world.restartServer();
    await world.pass(LEASE_MS - 1_000);
    const before = (await world.workflow('w')).state;
    await world.pass(2_000);

    assert.equal(before, 'running');
    assert.equal((await world.workflow('w')).state, 'waiting');
  });

  for (const [state, prepare] of RESTARTS) {
    it(`carries a run that is ${state} over a restart of the server to its end`, async () => {
      await using world = await startEngineWorld();
      await world.apply(plannedWorkflow('w', ['m1']));
      const { agent, held, done = 0 } = await prepare(world);

      world.restartServer();
      const run = (await agent.hello(held)).find((command) => command.kind === 'runTask');
      if (run !== undefined) await agent.complete(run);
      if (held !== undefined) for (const action of [0, 1].slice(done)) await agent.finish(held, action);

      assert.equal((await world.workflow('w')).state, 'succeeded');
      assert.equal((await world.store.hardware('m1'))?.stage, 'installed');
      assert.equal((await world.store.hardware('m1'))?.netboot, false);
    });
  }

  it('does not take its own standstill for the silence of its agents', async () => {
    await using world = await startEngineWorld();
    await world.apply(plannedWorkflow('w', ['m1']));
    const agent = new FakeAgent(world, 'm1');
    const { task } = await agent.helloForTask();
    await agent.accept(task);
    await world.pass(5_000, agent);

    world.clock.advance(10 * LEASE_MS);
    await world.engine().sweep();

    assert.equal((await world.workflow('w')).state, 'running');
    await world.pass(LEASE_MS + 1_000);
    assert.equal((await world.workflow('w')).state, 'waiting');
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
