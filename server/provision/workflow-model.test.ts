import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { startEngineWorld } from '#test/support/engine-world.ts';
import { assertInvariants } from '#test/support/invariants.ts';
import { RandomLife } from '#test/support/random-life.ts';
import { workflowLife } from '../life/workflow-life.ts';
import { SWEEP_INTERVAL_MS } from './workflow-engine.ts';

/** More by hand: TINSMITH_MODEL_SEEDS=100-400 node --test server/provision/workflow-model.test.ts */
const [firstSeed, lastSeed] = (process.env['TINSMITH_MODEL_SEEDS'] ?? '1-4').split('-').map(Number);
const STEPS = 250;

describe('whatever agents and operators do at random', () => {
  for (let seed = firstSeed ?? 1; seed <= (lastSeed ?? firstSeed ?? 1); seed += 1) {
    it(`keeps log and states in agreement, and every workflow comes to a true end (seed ${seed})`, async () => {
      await using world = await startEngineWorld();
      const life = new RandomLife(
        {
          store: world.store,
          transitions: world.transitions,
          now: world.clock.now,
          engine: () => world.engine(),
          restartServer: () => world.restartServer(),
          async pass(ms, alive) {
            for (let left = ms; left > 0; left -= SWEEP_INTERVAL_MS) {
              world.clock.advance(SWEEP_INTERVAL_MS);
              for (const session of alive) world.engine().heartbeat(session);
              await world.engine().sweep();
            }
          },
        },
        seed,
      );
      try {
        await life.begin();
        for (let step = 1; step <= STEPS; step += 1) {
          await life.step();
          if (step % 50 === 0) await assertInvariants(world.store);
        }
        await life.settle(12);
        await assertInvariants(world.store);

        for (const workflow of await world.store.listWorkflows()) {
          assert.ok(workflowLife.isFinal(workflow.state), `${workflow.name} ends, and is ${workflow.state}`);
          if (workflow.state !== 'succeeded') continue;
          const succeeded = (await world.store.actionHistory(workflow.name)).filter(
            ({ state }) => state === 'succeeded',
          );
          for (const { attempt, task, action } of succeeded) {
            assert.ok(
              life.done.has(`${workflow.name} ${attempt} ${task} ${action}`),
              `${workflow.name} ${attempt}.${task}.${action} was done`,
            );
          }
          const actions = workflow.rendered.tasks.flatMap((each, task) =>
            each.actions.map((_, action) => `${task}.${action}`),
          );
          assert.deepEqual(new Set(succeeded.map(({ task, action }) => `${task}.${action}`)), new Set(actions));
        }
      } catch (thrown) {
        process.stderr.write(`seed ${seed}:\n${life.story.slice(-60).join('\n')}\n`);
        throw thrown;
      }
    });
  }
});
