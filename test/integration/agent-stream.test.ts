import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { create } from '@bufbuild/protobuf';
import { TinsmithError } from '#proto/errors.ts';
import { type ActionOutcome, type AgentMessage, AgentMessageSchema } from '#proto/gen/tinsmith/agent/v1/agent_pb.ts';
import { startAgentWorld } from '#test/support/agent-world.ts';
import { openRawAgent } from '#test/support/raw-agent.ts';
import { runTaskCommand } from '#test/support/recording-engine.ts';

const task = { workflow: 'w', attempt: 1, task: 0 };
const accepted = { case: 'taskAccepted', value: { task } } as const;

describe('the stream of an agent', () => {
  it('is ended when its agent never says hello', async () => {
    await using world = await startAgentWorld({ heartbeatMs: 20 });
    using agent = await openRawAgent(world);

    assert.equal((await agent.ended).code, 'timed_out');
  });

  it('is ended when its agent falls silent, and lives as long as it beats', async () => {
    // Silence is 2.4 s: less would be what a busy computer may do between two beats.
    await using world = await startAgentWorld({ heartbeatMs: 400 });
    using agent = await openRawAgent(world);
    agent.hello();
    for (let beat = 0; beat < 25; beat++) {
      await delay(120);
      agent.send(0, { case: 'heartbeat', value: {} });
    }
    await world.engine.until(() => world.engine.heartbeats === 25, 'every beat of three seconds');
    const disconnectsWhileBeating = world.engine.disconnects;

    const { code } = await agent.ended;
    await world.engine.until(() => world.engine.disconnects === 1, 'its end');

    assert.equal(disconnectsWhileBeating, 0);
    assert.equal(code, 'timed_out');
  });

  it('begins with hello, once, and with a session', async () => {
    await using world = await startAgentWorld();
    using tooEarly = await openRawAgent(world, 1);
    tooEarly.send(1, accepted);
    using twice = await openRawAgent(world, 2);
    twice.hello();
    twice.hello();
    using nameless = await openRawAgent(world, 3);
    nameless.hello('');

    for (const { ended } of [tooEarly, twice, nameless]) assert.equal((await ended).code, 'invalid_input');

    assert.equal(world.engine.stored.length, 0);
  });

  it('carries reports of kinds that only a newer server knows: they are acknowledged and skipped', async () => {
    await using world = await startAgentWorld();
    using agent = await openRawAgent(world);
    agent.hello();
    agent.send(1, accepted);
    agent.send(2);
    agent.send(3, accepted);

    await agent.until(() => agent.acknowledged() === 3);

    assert.deepEqual(
      world.engine.stored.map(({ sequence }) => sequence),
      [1, 3],
    );
  });

  it('never turns an outcome that the server does not know into a success', async () => {
    await using world = await startAgentWorld();
    using agent = await openRawAgent(world);
    agent.hello();
    for (const [index, outcome] of ([0, 7, 99] as ActionOutcome[]).entries()) {
      agent.send(index + 1, { case: 'actionFinished', value: { task, action: 0, outcome } });
    }

    await agent.until(() => agent.acknowledged() === 3);

    assert.deepEqual(world.engine.story(), ['finished 0 failed', 'finished 0 failed', 'finished 0 failed']);
  });

  it('tells where an agent is that has ended an action', async () => {
    const ended: string[] = [];
    await using world = await startAgentWorld({ onActionEnd: (address) => ended.push(address) });
    using agent = await openRawAgent(world);
    agent.hello();
    agent.send(1, { case: 'actionStarted', value: { task, action: 0 } });
    agent.send(2, { case: 'actionFinished', value: { task, action: 0, outcome: 1 } });

    await agent.until(() => agent.acknowledged() === 2);

    assert.deepEqual(ended, ['127.0.0.1']);
  });

  it('bounds what an agent says: lines, error sentences, times and unknown codes', async () => {
    await using world = await startAgentWorld();
    using agent = await openRawAgent(world);
    const never = { seconds: 253_402_300_800n * 100n, nanos: 0 };
    agent.hello();
    agent.send(1, {
      case: 'actionLog',
      value: { task, action: 0, lines: [{ at: never, stream: 'root', text: 'x'.repeat(500_000) }] },
    });
    agent.send(2, {
      case: 'actionFinished',
      value: { task, action: 0, outcome: 2, errorCode: 'made_up', errorMessage: 'y'.repeat(100_000) },
    });

    await agent.until(() => agent.acknowledged() === 2);

    const [log, end] = world.engine.stored.map(({ report }) => report);
    assert.ok(log?.kind === 'actionLog' && end?.kind === 'actionFinished');
    assert.equal(log.lines[0]?.text.length, 16_384);
    assert.equal(log.lines[0].stream, 'agent');
    assert.ok(Math.abs(log.lines[0].at.getTime() - Date.now()) < 60_000, log.lines[0].at.toISOString());
    assert.equal(end.result.error?.code, 'internal');
    assert.equal(end.result.error.message.length, 4096);
    assert.equal(end.result.tries, 1);
  });

  it('is ended by a report that names no task, or counts beyond what can be counted', async () => {
    await using world = await startAgentWorld();
    using nameless = await openRawAgent(world, 1);
    nameless.hello();
    nameless.send(1, { case: 'taskAccepted', value: {} });
    using endless = await openRawAgent(world, 2);
    endless.hello();
    endless.send(0, { case: 'actionProgress', value: { task, done: 2n ** 63n } });

    assert.equal((await nameless.ended).code, 'invalid_input');
    assert.equal((await endless.ended).code, 'invalid_input');
  });

  it('acknowledges a report only after it is stored', async () => {
    await using world = await startAgentWorld();
    const store = Promise.withResolvers<void>();
    world.engine.beforeReport = () => store.promise;
    using agent = await openRawAgent(world);
    agent.hello();
    agent.send(1, accepted);
    await agent.until(() => agent.received.length === 1);
    await delay(100);
    const early = agent.acknowledged();

    store.resolve();
    await agent.until(() => agent.acknowledged() === 1);

    assert.equal(early, 0);
  });

  it('is ended without an acknowledgement when the store fails, so that the report comes again', async () => {
    await using world = await startAgentWorld();
    world.engine.beforeReport = async () => {
      throw new TinsmithError('unavailable', 'the disk is full');
    };
    using agent = await openRawAgent(world);
    agent.hello();
    agent.send(1, accepted);

    const error = await agent.ended;

    assert.equal(error.code, 'unavailable');
    assert.equal(agent.acknowledged(), 0);
    assert.equal(await world.engine.acknowledged('raw'), 0);
  });

  it('goes on after a report about something that is gone', async () => {
    await using world = await startAgentWorld();
    world.engine.beforeReport = async (report) => {
      if (report.kind === 'taskAccepted') throw new TinsmithError('not_found', 'there is no workflow w');
    };
    using agent = await openRawAgent(world);
    agent.hello();
    agent.send(1, accepted);
    agent.send(2, { case: 'actionStarted', value: { task, action: 0 } });

    await agent.until(() => agent.acknowledged() === 2);

    assert.deepEqual(world.engine.story(), ['started 0']);
  });

  it('tells nothing of a bug in the server but that there is one', async () => {
    await using world = await startAgentWorld();
    world.engine.beforeReport = async () => {
      throw new Error('SQLITE_CORRUPT in /var/lib/tinsmith/secret.db');
    };
    using agent = await openRawAgent(world);
    agent.hello();
    agent.send(1, accepted);

    const error = await agent.ended;

    assert.equal(error.code, 'internal');
    assert.doesNotMatch(error.message, /secret/);
  });

  it('tells what is stored when it is opened again', async () => {
    await using world = await startAgentWorld();
    {
      using first = await openRawAgent(world);
      first.hello('same');
      first.send(1, accepted);
      first.send(2, accepted);
      await first.until(() => first.acknowledged() === 2);
    }
    using second = await openRawAgent(world);
    second.hello('same');
    await second.until(() => second.received.length > 0);

    const [welcome] = second.received;
    assert.ok(welcome?.body.case === 'welcome');
    assert.equal(welcome.body.value.acknowledged, 2n);
  });

  it('carries each task once, whatever changes, and a task again on the next stream', async () => {
    await using world = await startAgentWorld();
    const command = runTaskCommand('w', [{ environment: { CONTENTS: 'x'.repeat(1_500_000) } }]);
    world.engine.command('m1', command, { kind: 'collectInventory' });
    using first = await openRawAgent(world);
    first.hello();
    for (let change = 0; change < 5; change++) {
      const before = count(first, 'collectInventory');
      world.engine.command('m1', command, { kind: 'collectInventory' });
      await first.until(() => count(first, 'collectInventory') > before);
    }
    using second = await openRawAgent(world);
    second.hello();
    await second.until(() => count(second, 'runTask') === 1);

    assert.equal(count(first, 'runTask'), 1);
    assert.equal((await first.ended).code, 'conflict');
  });

  it('makes a fast agent wait while the store is slow, instead of holding its reports in memory', async () => {
    await using world = await startAgentWorld();
    const store = Promise.withResolvers<void>();
    world.engine.beforeReport = () => store.promise;
    using agent = await openRawAgent(world);
    agent.hello();
    let written = 0;
    for (let sequence = 1; sequence <= 200; sequence++) {
      agent.call.write(logMessage(sequence), () => {
        written += 1;
      });
    }
    await delay(700);
    const taken = written;

    store.resolve();
    await agent.until(() => agent.acknowledged() === 200);

    assert.ok(taken < 60, `${taken} reports of 128 KiB went out while none was stored`);
    assert.equal(world.engine.stored.length, 200);
  });
});

function count(agent: Awaited<ReturnType<typeof openRawAgent>>, kind: string): number {
  return agent.received.filter(({ body }) => body.case === kind).length;
}

function logMessage(sequence: number): AgentMessage {
  const lines = Array.from({ length: 8 }, () => ({ stream: 'stdout', text: 'x'.repeat(16_000) }));
  return create(AgentMessageSchema, {
    sequence: BigInt(sequence),
    body: { case: 'actionLog', value: { task, action: 0, lines } },
  });
}
