/** What agents offer to one another goes through the server, over their authenticated connections. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import type { PeerAnnouncement, PeerGroup } from '#agent/write/library/peers/peer-directory.ts';
import { startAgentWorld, succeeded } from '#test/support/agent-world.ts';
import { openRawAgent } from '#test/support/raw-agent.ts';
import { runTaskCommand } from '#test/support/recording-engine.ts';

const digest = 'ab'.repeat(32);

describe('offers of frames', () => {
  it('are told to the others with the address of the connection, and forgotten with it', async () => {
    await using world = await startAgentWorld({ peers: true });
    using one = await openRawAgent(world, 1);
    one.hello('s1');
    const offered = { case: 'peerOffer', value: { digest, port: 5000, frames: 0 } } as const;
    one.send(0, offered);
    {
      using two = await openRawAgent(world, 2);
      two.hello('s2');
      two.send(0, { ...offered, value: { digest, port: 6000, frames: 3 } });

      await two.until(() => two.received.some(({ body }) => body.case === 'peers'));
      const told = two.received.find(({ body }) => body.case === 'peers')?.body.value;
      assert.partialDeepStrictEqual(told, { digest, rank: 1, of: 2, peers: [{ address: '127.0.0.1', port: 5000 }] });
      await one.until(() => groupSizes(one).includes(2));
    }
    await one.until(() => groupSizes(one).at(-1) === 1);
  });

  it('are not told where peers are off', async () => {
    await using world = await startAgentWorld();
    using one = await openRawAgent(world, 1);
    one.hello();
    one.send(0, { case: 'peerOffer', value: { digest, port: 5000, frames: 0 } });
    one.send(1, { case: 'taskAccepted', value: { task: { workflow: 'w', attempt: 1, task: 0 } } });

    await one.until(() => one.acknowledged() === 1);
    // Where peers are on they are told every 200 ms.
    await delay(500);

    assert.deepEqual(groupSizes(one), []);
  });

  it('that make no sense end the connection', async () => {
    await using world = await startAgentWorld({ peers: true });
    using one = await openRawAgent(world, 1);
    one.hello();
    one.send(0, { case: 'peerOffer', value: { digest: '../../etc', port: 5000, frames: 0 } });

    assert.equal((await one.ended).code, 'invalid_input');
  });

  it('are made again by agents whose connections were cut', async () => {
    await using world = await startAgentWorld({ peers: true });
    const { promise: isCut, resolve: cut } = Promise.withResolvers<void>();
    const met = new Set<number>();
    const ports = new Set<number | undefined>();
    for (const number of [1, 2]) {
      world.engine.command(`m${number}`, runTaskCommand(`w${number}`, [{}]));
      world.startAgent(await world.settings(number), {
        runAction: async (_call, { peers, signal }) => {
          if (peers === undefined) throw new Error('the action has no peers');
          using announcement = peers.announce({ digest, port: 5000 + number });
          const before = await groupOfTwo(announcement, undefined, signal);
          met.add(number);
          await isCut;
          ports.add((await groupOfTwo(announcement, before, signal)).peers[0]?.port);
          // Its offer stands until the other one has heard of it.
          await until(() => ports.size === 2);
          return succeeded;
        },
      });
    }
    await until(() => met.size === 2);

    await world.stopService();
    await world.startService();
    cut();
    await until(() => ports.size === 2);

    assert.deepEqual(ports, new Set([5001, 5002]));
  });
});

/** Another one than `before`. */
async function groupOfTwo(
  announcement: PeerAnnouncement,
  before: PeerGroup | undefined,
  signal: AbortSignal,
): Promise<PeerGroup> {
  for (;;) {
    const { group } = announcement;
    if (group !== undefined && group !== before && group.of === 2) return group;
    await delay(10, undefined, { signal });
  }
}

async function until(isTrue: () => boolean): Promise<void> {
  const signal = AbortSignal.timeout(60_000);
  while (!isTrue()) await delay(10, undefined, { signal });
}

function groupSizes({ received }: Awaited<ReturnType<typeof openRawAgent>>): number[] {
  return received.flatMap(({ body }) => (body.case === 'peers' ? [body.value.of] : []));
}
