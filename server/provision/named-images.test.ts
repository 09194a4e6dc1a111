import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { FakeAgent, OPERATOR, startEngineWorld } from '#test/support/engine-world.ts';
import { plannedWorkflow } from '#test/support/records.ts';
import type { PlannedWorkflow } from '../store/transitions-contract.ts';

const [ONE, TWO] = ['1'.repeat(64), '2'.repeat(64)];
const SUMS = { IMG_SHA256: 'a'.repeat(64), IMG_RAW_SHA256: 'b'.repeat(64) };

/** A workflow of image2disk and another action that both name the image. */
function workflow(name = 'w'): PlannedWorkflow {
  const planned = plannedWorkflow(name, ['m1'], { images: ['image2disk', 'writefile'] });
  const environment = { DEST_DISK: '/dev/vda', IMG_URL: 'library:os', ...SUMS };
  const tasks = planned.rendered.tasks.map((task) => ({
    ...task,
    actions: task.actions.map((action) => ({ ...action, environment })),
  }));
  return { ...planned, rendered: { ...planned.rendered, tasks } };
}

describe('an action that names an image of the library', () => {
  it('is given the one that the name stands for when the task begins, which is written down first', async () => {
    let digest = ONE;
    await using world = await startEngineWorld(undefined, async () => digest);
    await world.apply(workflow());
    const agent = new FakeAgent(world, 'm1');

    const { task, actions } = await agent.helloForTask();

    assert.deepEqual(actions[0]?.environment, { DEST_DISK: '/dev/vda', IMG_URL: `library:sha256-${ONE}`, ...SUMS });
    assert.equal(actions[1]?.environment['IMG_URL'], 'library:os');
    const given = [{ workflow: 'w', task: 0, digest: ONE }];
    assert.deepEqual(await world.store.givenImages(), given);
    await agent.accept(task);
    digest = TWO;
    world.restartServer();
    await agent.hello(task);
    assert.deepEqual(await world.store.givenImages(), given);
  });

  it('is given what the name stands for once that is written down, when it changes at this moment', async () => {
    const asked: string[] = [];
    await using world = await startEngineWorld(undefined, async (name) => (asked.push(name) === 1 ? ONE : TWO));
    await world.apply(workflow());

    const { actions } = await new FakeAgent(world, 'm1').helloForTask();

    assert.equal(actions[0]?.environment['IMG_URL'], `library:sha256-${TWO}`);
    assert.deepEqual(
      (await world.store.givenImages()).map(({ digest }) => digest),
      [ONE, TWO],
    );
  });

  it('asks by the name for one that the library has not', async () => {
    await using world = await startEngineWorld(undefined, async () => undefined);
    await world.apply(workflow());

    const { actions } = await new FakeAgent(world, 'm1').helloForTask();

    assert.equal(actions[0]?.environment['IMG_URL'], 'library:os');
    assert.deepEqual(await world.store.givenImages(), []);
  });

  it('has it until its workflow has ended, and a new run asks anew', async () => {
    let digest = ONE;
    await using world = await startEngineWorld(undefined, async () => digest);
    await world.apply(workflow());
    const agent = new FakeAgent(world, 'm1');
    await agent.acceptTask();

    await world.transitions.cancelWorkflow('w', 'enough', OPERATOR);

    assert.deepEqual(await world.store.givenImages(), []);
    await world.transitions.retryWorkflow('w', OPERATOR);
    assert.deepEqual(await world.store.givenImages(), []);
    digest = TWO;
    await new FakeAgent(world, 'm1').helloForTask();
    assert.deepEqual(await world.store.givenImages(), [{ workflow: 'w', task: 0, digest: TWO }]);
  });

  it('has none of an older attempt', async () => {
    await using world = await startEngineWorld(undefined, async () => ONE);
    await world.apply(workflow());
    const agent = new FakeAgent(world, 'm1');
    const { task } = await agent.helloForTask();

    await world.transitions.noteGivenImages({ ...task, attempt: 0 }, [TWO], OPERATOR);

    assert.deepEqual(await world.store.givenImages(), [{ workflow: 'w', task: 0, digest: ONE }]);
  });
});
