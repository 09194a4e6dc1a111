import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { startAgentWorld } from '#test/support/agent-world.ts';
import { runTaskCommand } from '#test/support/recording-engine.ts';

describe('an agent and its server', () => {
  it('run a task of several actions and report each of them once, in order', async () => {
    await using world = await startAgentWorld();
    world.engine.command('m1', runTaskCommand('w', [{}, {}, {}]));

    const agent = world.startAgent(await world.settings(1));
    await world.engine.until(() => world.engine.story().length === 7, 'seven reports');

    assert.deepEqual(world.engine.story(), [
      'accepted',
      'started 0',
      'finished 0 succeeded',
      'started 1',
      'finished 1 succeeded',
      'started 2',
      'finished 2 succeeded',
    ]);
    assert.ok(agent.said.includes('enrolled as m1'), agent.said.join('\n'));
  });
});
