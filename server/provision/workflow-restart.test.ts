import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  agentAtWork,
  agentWithTask,
  type EngineWorld,
  FakeAgent,
  LEASE_MS,
  startEngineWorld,
} from '#test/support/engine-world.ts';
import { plannedWorkflow } from '#test/support/records.ts';
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
  return { agent, held: await agent.acceptTask() };
}

describe('workflows over a restart or a standstill of the server', () => {
  it('loses nothing when the server restarts while an agent works', async () => {
    await using world = await startEngineWorld();
    const { agent, task } = await agentAtWork(world);
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
    await agentWithTask(world);

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
    const { agent } = await agentWithTask(world);
    await world.pass(5_000, agent);

    world.clock.advance(10 * LEASE_MS);
    await world.engine().sweep();

    assert.equal((await world.workflow('w')).state, 'running');
    await world.pass(LEASE_MS + 1_000);
    assert.equal((await world.workflow('w')).state, 'waiting');
  });
});
