/** A task whose images are not there yet, as the engine sees it. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { FakeAgent, kindsOf, startEngineWorld, theTask } from '#test/support/engine-world.ts';
import { plannedWorkflow } from '#test/support/records.ts';
import type { TaskImages } from './engine.ts';

const MINUTE = 60_000;
const DIGEST = 'd'.repeat(64);
const ready = (digests: readonly (readonly [number, string])[]): TaskImages => ({
  kind: 'ready',
  digests: new Map(digests),
});

function workflow() {
  const planned = plannedWorkflow('w', ['m1']);
  const [task] = planned.rendered.tasks;
  assert.ok(task);
  const proxies = { HTTP_PROXY: 'http://proxy:3128', https_proxy: 'http://proxy:3128', NO_PROXY: '10.0.0.0/8' };
  const sums = { IMG_SHA256: 'a'.repeat(64), IMG_RAW_SHA256: 'b'.repeat(64) };
  const environment = { DEST_DISK: '/dev/vda', IMG_URL: 'https://a.example/d.raw', ...sums, ...proxies };
  const actions = task.actions.map((action) => ({ ...action, environment }));
  return { ...planned, rendered: { ...planned.rendered, tasks: [{ ...task, actions }] } };
}

describe('a task whose image is being imported', () => {
  it('is held, however long it takes, and granted at the event of its arrival', async () => {
    let images: TaskImages = { kind: 'waiting' };
    await using world = await startEngineWorld({ forTask: () => images });
    await world.apply(workflow());
    const agent = new FakeAgent(world, 'm1');
    const stop = new AbortController();
    const changes = world.engine().changes(stop.signal)[Symbol.asyncIterator]();
    assert.deepEqual(kindsOf(await agent.hello()), []);

    await world.pass(30 * MINUTE, agent);
    assert.equal((await world.workflow('w')).state, 'pending');

    images = ready([[0, DIGEST]]);
    const note = { workflow: 'w', hardware: 'm1', data: {} };
    await world.transitions.noteWorkflowImage('workflow.imageReady', note, { actor: 'server' });
    assert.equal((await changes.next()).value, 'm1');
    const { actions } = theTask(await agent.commands());
    stop.abort();
    assert.deepEqual(actions[0]?.environment, {
      DEST_DISK: '/dev/vda',
      IMG_RAW_SHA256: 'b'.repeat(64),
      IMG_URL: `library:sha256-${DIGEST}`,
    });
    assert.equal(actions[1]?.environment['IMG_URL'], 'https://a.example/d.raw');
    const stored = (await world.workflow('w')).rendered.tasks[0]?.actions[0]?.environment;
    assert.equal(stored?.['IMG_URL'], 'https://a.example/d.raw');
  });

  it('is written by image2disk where it was to be converted', async () => {
    const planned = plannedWorkflow('w', ['m1'], { images: ['qemuimg2disk'] });
    const tasks = planned.rendered.tasks.map((task) => ({
      ...task,
      actions: task.actions.map((action) => ({
        ...action,
        environment: { DEST_DISK: '/dev/vda', IMG_URL: 'https://a.example/d.qcow2', FORMAT: 'raw', EXTRA_ARGS: '-p' },
      })),
    }));
    await using world = await startEngineWorld({ forTask: () => ready([[0, DIGEST]]) });
    await world.apply({ ...planned, rendered: { ...planned.rendered, tasks } });

    const { actions } = await new FakeAgent(world, 'm1').helloForTask();

    assert.equal(actions[0]?.builtIn, 'image2disk');
    assert.deepEqual(actions[0]?.environment, { DEST_DISK: '/dev/vda', IMG_URL: `library:sha256-${DIGEST}` });
  });

  it('fails with the reason when there will be no image, and lets the next workflow begin', async () => {
    const fault = { code: 'download_failed', message: 'd.raw is not in the library' } as const;
    await using world = await startEngineWorld({
      forTask: ({ name }) => (name === 'w' ? { kind: 'failed', fault } : ready([])),
    });
    await world.apply(workflow(), plannedWorkflow('next', ['m1']));

    const task = await new FakeAgent(world, 'm1').helloForTask();

    assert.equal(task.task.workflow, 'next');
    const failed = await world.workflow('w');
    assert.deepEqual([failed.state, failed.error], ['failed', fault]);
  });
});
