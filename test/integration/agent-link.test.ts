import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import type { ActionContext } from '#agent/actions/action-context.ts';
import type { ActionCall, ActionRunResult } from '#agent/actions/run-action.ts';
import { TinsmithError } from '#proto/errors.ts';
import { startAgentWorld, succeeded } from '#test/support/agent-world.ts';
import { startCuttingProxy } from '#test/support/cutting-proxy.ts';
import { runTaskCommand } from '#test/support/recording-engine.ts';

type RunAction = (call: ActionCall, context: ActionContext) => Promise<ActionRunResult>;

describe('an agent and its server', () => {
  it('run a task of several actions and report each of them once, in order', async () => {
    await using world = await startAgentWorld();
    world.engine.command('m1', runTaskCommand('w', [{}, {}, {}]));

    const agent = world.startAgent(await world.settings(1));
    await world.engine.until(() => world.engine.story().length === 7, 'seven reports');

    assert.deepEqual(world.engine.story(), ['accepted', ...finishedStory(3)]);
    assert.ok(agent.said.includes('enrolled as m1'), agent.said.join('\n'));
  });

  it('lose and repeat nothing when the connection is cut again and again', async () => {
    const seed = Number(process.env['SEED'] ?? Date.now() % 1_000_000);
    const random = randomNumbers(seed);
    await using world = await startAgentWorld();
    await using proxy = await startCuttingProxy(() => world.port);
    const actions = 30;
    world.engine.command(
      'm1',
      runTaskCommand(
        'w',
        Array.from({ length: actions }, () => ({})),
      ),
    );
    const runAction: RunAction = async (_, { log }) => {
      for (let line = 0; line < 5; line++) {
        log('stdout', `line ${line}`);
        await delay(random() * 20);
      }
      return succeeded;
    };

    world.startAgent(await world.settings(1, { server: `127.0.0.1:${proxy.port}` }), { runAction });
    const isOver = (): boolean => world.engine.story().length === 1 + 2 * actions;
    while (!isOver()) {
      await delay(random() * 150);
      proxy.cut();
      await world.engine.until(() => isOver() || world.engine.connects.length > proxy.connections - 2, 'a connection');
    }

    const sequences = world.engine.stored.map(({ sequence }) => sequence);
    assert.deepEqual(world.engine.story(), ['accepted', ...finishedStory(actions)], `seed ${seed}`);
    assert.deepEqual(
      sequences,
      sequences.map((_, index) => index + 1),
      `seed ${seed}`,
    );
    assert.equal(world.engine.logText().length, actions * 5, `seed ${seed}`);
    assert.ok(proxy.connections > 3, `only ${proxy.connections} connections, seed ${seed}`);
  });

  it('go on after the server was away: the action runs on, its reports come later, the task is not lost', async () => {
    await using world = await startAgentWorld();
    const action = Promise.withResolvers<void>();
    world.engine.command('m1', runTaskCommand('w', [{}, {}]));
    world.startAgent(await world.settings(1), { runAction: async () => action.promise.then(() => succeeded) });
    await world.engine.until(() => world.engine.story().length === 2, 'the first action');

    await world.stopService();
    action.resolve();
    await delay(50);
    await world.startService();
    await world.engine.until(() => world.engine.story().length === 5, 'the rest of the reports');

    assert.deepEqual(world.engine.story(), ['accepted', ...finishedStory(2)]);
    assert.deepEqual(world.engine.connects.at(-1)?.running, { workflow: 'w', attempt: 1, task: 0 });
    assert.equal(world.engine.connects[0]?.session.session, world.engine.connects.at(-1)?.session.session);
  });

  it('give a restarted agent process of the same boot its identity back without a new token', async () => {
    await using world = await startAgentWorld();
    const settings = await world.settings(1);
    await world.startAgent(settings).kill();
    const first = world.startAgent(settings);
    await world.engine.until(() => world.engine.connects.length === 1, 'the first process');
    await first.kill();

    const second = world.startAgent(settings);
    await world.engine.until(() => world.engine.connects.length === 2, 'the second process');

    const [before, after] = world.engine.connects;
    assert.notEqual(after?.session.session, before?.session.session);
    assert.equal(after?.running, undefined);
    assert.ok(second.said.includes('enrolled as m1'));
    assert.equal((await world.opened.store.events({ names: ['machine.enrolled'] })).length, 1);
  });

  it('enroll although the answer to the first request was lost', async () => {
    await using world = await startAgentWorld();
    await using proxy = await startCuttingProxy(() => world.port);
    let enrollments = 0;
    world.hooks.afterEnroll = () => {
      enrollments += 1;
      if (enrollments === 1) proxy.cut();
    };

    world.startAgent(await world.settings(1, { server: `127.0.0.1:${proxy.port}` }));
    await world.engine.until(() => world.engine.connects.length === 1, 'a connection');

    assert.equal(enrollments, 2);
    assert.equal((await world.opened.store.events({ names: ['enroll.refused'] })).length, 0);
  });

  it('replace an older connection of the same machine by the newer one', async () => {
    await using world = await startAgentWorld();
    const settings = await world.settings(1);
    const older = world.startAgent(settings);
    await world.engine.until(() => world.engine.connects.length === 1, 'the older process');

    const newer = world.startAgent(settings);
    await world.engine.until(() => world.engine.disconnects === 1, 'the end of the older connection');
    await older.kill();
    world.engine.command('m1', runTaskCommand('w', [{}]));
    await world.engine.until(() => world.engine.story().length === 3, 'a task');

    assert.ok(newer.said.some((line) => line.startsWith('workflow w')));
  });
});

describe('a task', () => {
  it('is run once, however often it is asked for', async () => {
    await using world = await startAgentWorld();
    await using proxy = await startCuttingProxy(() => world.port);
    const command = runTaskCommand('w', [{}]);
    let runs = 0;
    const runAction: RunAction = async () => {
      runs += 1;
      await delay(30);
      return succeeded;
    };
    world.engine.command('m1', command, command);
    world.startAgent(await world.settings(1, { server: `127.0.0.1:${proxy.port}` }), { runAction });
    await world.engine.until(() => world.engine.story().length === 2, 'the action');

    for (let cut = 0; cut < 3; cut++) {
      const before = world.engine.connects.length;
      proxy.cut();
      await world.engine.until(() => world.engine.connects.length > before, 'another connection');
      world.engine.command('m1', command);
    }
    world.engine.command('m1', runTaskCommand('next', [{}]));
    await world.engine.until(() => world.engine.story().length === 6, 'the next task');

    assert.equal(runs, 2);
  });

  it('runs again as another attempt', async () => {
    await using world = await startAgentWorld();
    world.engine.command('m1', runTaskCommand('w', [{}], 1));
    world.startAgent(await world.settings(1));
    await world.engine.until(() => world.engine.story().length === 3, 'the first attempt');

    world.engine.command('m1', runTaskCommand('w', [{}], 2));
    await world.engine.until(() => world.engine.story().length === 6, 'the second attempt');

    const last = world.engine.stored.at(-1)?.report;
    assert.ok(last?.kind === 'actionFinished');
    assert.equal(last.task.attempt, 2);
  });

  it('ends with the action that is cancelled', async () => {
    await using world = await startAgentWorld();
    const command = runTaskCommand('w', [{}, {}]);
    world.engine.command('m1', command);
    world.startAgent(await world.settings(1), { runAction: untilAborted });
    await world.engine.until(() => world.engine.story().length === 2, 'the action');

    world.engine.command('m1', { kind: 'cancel', task: command.task, reason: 'wrong disk' });
    await world.engine.until(() => world.engine.story().length === 3, 'its end');

    const last = world.engine.stored.at(-1)?.report;
    assert.ok(last?.kind === 'actionFinished');
    assert.equal(last.result.outcome, 'cancelled');
    assert.deepEqual(last.result.error, { code: 'cancelled', message: 'wrong disk' });
  });

  it('is not ended by a cancel that means another attempt', async () => {
    await using world = await startAgentWorld();
    const command = runTaskCommand('w', [{}], 2);
    const action = Promise.withResolvers<void>();
    world.engine.command('m1', command);
    world.startAgent(await world.settings(1), {
      runAction: async (_, { signal }) => {
        await action.promise;
        return signal.aborted ? untilAborted(_, { signal }) : succeeded;
      },
    });
    await world.engine.until(() => world.engine.story().length === 2, 'the action');

    world.engine.command('m1', { kind: 'cancel', task: { ...command.task, attempt: 1 }, reason: 'old' });
    world.engine.command('m1', { kind: 'collectInventory' });
    await world.engine.until(() => world.engine.stored.length === 3, 'the inventory, which follows the cancel');
    action.resolve();
    await world.engine.until(() => world.engine.story().length === 3, 'the end');

    assert.equal(world.engine.story().at(-1), 'finished 0 succeeded');
  });

  it('ends with the first action that fails, with its error', async () => {
    await using world = await startAgentWorld();
    const error = new TinsmithError('device_unfit', 'cannot open /dev/sda: it is mounted on /');
    world.engine.command('m1', runTaskCommand('w', [{}, {}]));

    world.startAgent(await world.settings(1), {
      runAction: async () => ({ outcome: 'failed', exitCode: 74, error, tries: 2 }),
    });
    await world.engine.until(() => world.engine.story().length === 3, 'the end');

    const last = world.engine.stored.at(-1)?.report;
    assert.ok(last?.kind === 'actionFinished');
    const { at, ...result } = last.result;
    assert.deepEqual(result, {
      outcome: 'failed',
      exitCode: 74,
      tries: 2,
      error: { code: 'device_unfit', message: error.message },
    });
    assert.ok(at instanceof Date);
  });

  it('with an action that this agent does not know fails before anything runs', async () => {
    await using world = await startAgentWorld();
    let runs = 0;
    const runAction: RunAction = async () => {
      runs += 1;
      return succeeded;
    };
    const unknown = { builtIn: 'flash-bios' } as unknown as Parameters<typeof runTaskCommand>[1][number];
    world.engine.command('m1', runTaskCommand('w', [{}, unknown]));

    world.startAgent(await world.settings(1), { runAction });
    await world.engine.until(() => world.engine.story().length === 3, 'the end');

    assert.equal(runs, 0);
    assert.deepEqual(world.engine.story(), ['accepted', 'started 1', 'finished 1 failed']);
  });

  it('sends its log lines whole and in order, and only the latest progress', async () => {
    await using world = await startAgentWorld();
    const lines = Array.from({ length: 3000 }, (_, index) => `line ${index} ${'x'.repeat(50)}`);
    world.engine.command('m1', runTaskCommand('w', [{}]));

    world.startAgent(await world.settings(1), {
      runAction: async (_, { log, progress }) => {
        for (const [index, line] of lines.entries()) {
          log('stdout', line);
          progress({ done: index, total: lines.length });
        }
        log('stderr', 'y'.repeat(100_000));
        return succeeded;
      },
    });
    await world.engine.until(() => world.engine.story().length === 3, 'the end');

    const text = world.engine.logText();
    assert.deepEqual(text.slice(0, -1), lines);
    assert.ok((text.at(-1)?.length ?? 0) <= 16_384);
    assert.ok(world.engine.progress.length <= 2, `${world.engine.progress.length} progress reports`);
    assert.ok(world.engine.stored.length < 20, `${world.engine.stored.length} reports`);
  });

  it('follows the next without waiting for the server', async () => {
    await using world = await startAgentWorld();
    const count = 50;
    const allStarted = Promise.withResolvers<void>();
    let starts = 0;
    let storedBeforeLast = 0;
    const runAction: RunAction = async () => {
      starts += 1;
      if (starts === count) {
        storedBeforeLast = world.engine.stored.length;
        allStarted.resolve();
      }
      return succeeded;
    };
    // A server that stores no report before the last action began must not slow the machine down.
    world.engine.beforeReport = () => allStarted.promise;
    world.engine.command(
      'm1',
      runTaskCommand(
        'w',
        Array.from({ length: count }, () => ({})),
      ),
    );

    world.startAgent(await world.settings(1), { runAction });
    await world.engine.until(() => world.engine.story().length === 1 + 2 * count, 'the end');

    assert.equal(starts, count);
    assert.equal(storedBeforeLast, 0);
  });
});

const untilAborted: (call: ActionCall, context: Pick<ActionContext, 'signal'>) => Promise<ActionRunResult> = async (
  _,
  { signal },
) => {
  if (!signal.aborted) await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }));
  return { outcome: 'cancelled', exitCode: 130, error: TinsmithError.from(signal.reason), tries: 1 };
};

function finishedStory(actions: number): readonly string[] {
  return Array.from({ length: actions }, (_, index) => [`started ${index}`, `finished ${index} succeeded`]).flat();
}

/** mulberry32: the same numbers for the same seed. */
function randomNumbers(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
  };
}
