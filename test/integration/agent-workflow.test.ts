import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { TaskRunOptions } from '#agent/task-run.ts';
import { TinsmithError } from '#proto/errors.ts';
import type { WorkflowState } from '#server/life/workflow-life.ts';
import { type AgentWorld, startAgentWorld, succeeded } from '#test/support/agent-world.ts';
import { plannedWorkflow } from '#test/support/records.ts';

const operator = { actor: 'operator' } as const;

describe('a workflow on an agent', () => {
  it('ends with an installed machine that is told to restart', async () => {
    await using world = await startAgentWorld({ decides: true });
    await plan(world, ['image2disk', 'writefile', 'reboot']);

    const agent = world.startAgent(await world.settings(1), { runAction: rebootAtTheEnd });
    const power = await agent.end;

    const workflow = await world.opened.store.workflow('w');
    const hardware = await world.opened.store.hardware('m1');
    assert.equal(power, 'reboot');
    assert.equal(workflow?.state, 'succeeded');
    assert.deepEqual(
      workflow.actions.map(({ state }) => state),
      ['succeeded', 'succeeded', 'succeeded'],
    );
    assert.equal(hardware?.stage, 'installed');
    assert.equal(hardware.netboot, false);
  });

  it('waits for no server in its middle, and is the same attempt after the server is back', async () => {
    await using world = await startAgentWorld({ decides: true });
    await plan(world, ['image2disk', 'writefile', 'reboot']);
    const image = Promise.withResolvers<void>();
    const agent = world.startAgent(await world.settings(1), {
      runAction: async (call, context) => {
        if (call.builtIn === 'image2disk') await image.promise;
        return rebootAtTheEnd(call, context);
      },
    });
    await reach(world, 'running');

    await world.stopService();
    image.resolve();
    await world.startService();
    await agent.end;

    const workflow = await world.opened.store.workflow('w');
    assert.equal(workflow?.state, 'succeeded');
    assert.equal(workflow.attempt, 1);
  });

  it('begins its next attempt when the agent process was killed in its middle', async () => {
    await using world = await startAgentWorld({ decides: true });
    await plan(world, ['image2disk', 'reboot']);
    const settings = await world.settings(1);
    const first = world.startAgent(settings, { runAction: untilAborted });
    await reach(world, 'running');

    await first.kill();
    await world.startAgent(settings, { runAction: rebootAtTheEnd }).end;

    const workflow = await world.opened.store.workflow('w');
    const history = await world.opened.store.actionHistory('w');
    assert.equal(workflow?.state, 'succeeded');
    assert.equal(workflow.attempt, 2);
    assert.equal(history[0]?.state, 'lost');
  });

  it('stops on the machine when it is cancelled', async () => {
    await using world = await startAgentWorld({ decides: true });
    await plan(world, ['image2disk', 'writefile']);
    const aborted = Promise.withResolvers<unknown>();
    const runAction: TaskRunOptions['runAction'] = async (call, context) => {
      const result = await untilAborted(call, context);
      aborted.resolve(context.signal.reason);
      return result;
    };
    world.startAgent(await world.settings(1), { runAction });
    await reach(world, 'running');

    await world.opened.transitions.cancelWorkflow('w', 'wrong image', operator);
    const reason = await aborted.promise;

    assert.ok(reason instanceof TinsmithError);
    assert.match(reason.message, /wrong image/);
    assert.equal((await world.opened.store.workflow('w'))?.state, 'cancelled');
  });

  it('is given to an agent that was already waiting for one', async () => {
    await using world = await startAgentWorld({ decides: true });
    const agent = world.startAgent(await world.settings(1), { runAction: rebootAtTheEnd });
    await connected(world);

    await plan(world, ['reboot']);

    assert.equal(await agent.end, 'reboot');
    assert.equal((await world.opened.store.workflow('w'))?.state, 'succeeded');
  });

  it('fails with the sentence of the action that failed', async () => {
    await using world = await startAgentWorld({ decides: true });
    await plan(world, ['image2disk', 'writefile']);
    const error = new TinsmithError('corrupt_image', 'the image at http://10.0.0.1/i.zst ends after 12 of 99 bytes');

    world.startAgent(await world.settings(1), {
      runAction: async () => ({ outcome: 'failed', exitCode: 65, error, tries: 1 }),
    });
    const workflow = await reach(world, 'failed');

    assert.equal(workflow.error?.code, 'corrupt_image');
    assert.match(workflow.error.message, /ends after 12 of 99 bytes/);
  });
});

async function plan(world: AgentWorld, images: readonly string[]): Promise<void> {
  if ((await world.opened.store.hardware('m1')) === undefined) await world.mint(1);
  const workflows = [plannedWorkflow('w', ['m1'], { images })];
  await world.opened.transitions.apply({ hardware: [], templates: [], workflows }, operator);
}

/** Waits on the event log until the workflow is in a state. */
async function reach(world: AgentWorld, state: WorkflowState) {
  const { store } = world.opened;
  for await (const _ of store.followEvents({ after: 0 }, AbortSignal.timeout(60_000))) {
    const workflow = await store.workflow('w');
    if (workflow?.state === state) return workflow;
  }
  throw new Error(`the workflow was never ${state}`);
}

async function connected(world: AgentWorld): Promise<void> {
  const filter = { after: 0, names: ['agent.connected'] } as const;
  for await (const _ of world.opened.store.followEvents(filter, AbortSignal.timeout(60_000))) return;
}

const rebootAtTheEnd: TaskRunOptions['runAction'] = async ({ builtIn }, { requestPower, log }) => {
  log('stdout', `this is ${builtIn}`);
  if (builtIn === 'reboot') requestPower('reboot');
  return succeeded;
};

const untilAborted: TaskRunOptions['runAction'] = async (_, { signal }) => {
  if (!signal.aborted) await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }));
  return { outcome: 'cancelled', exitCode: 130, error: TinsmithError.from(signal.reason), tries: 1 };
};
