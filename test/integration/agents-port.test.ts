import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { connect as connectTls } from 'node:tls';
import { startAgentWorld } from '#test/support/agent-world.ts';
import { enroll, isCode } from '#test/support/enrollment.ts';
import { openRawAgent, type RawAgent } from '#test/support/raw-agent.ts';

describe('the agents’ port', () => {
  it('speaks nothing older than TLS 1.3', async () => {
    await using world = await startAgentWorld();
    const { promise, resolve } = Promise.withResolvers<string>();

    const socket = connectTls({
      port: world.port,
      host: '127.0.0.1',
      maxVersion: 'TLSv1.2',
      rejectUnauthorized: false,
    });
    socket.on('secureConnect', () => resolve('connected'));
    socket.on('error', (error) => resolve(error.message));

    assert.match(await promise, /protocol version|alert/);
    socket.destroy();
  });

  it('closes what is not HTTP/2 and goes on serving', async () => {
    await using world = await startAgentWorld();
    const { promise, resolve } = Promise.withResolvers<void>();

    const socket = connectTls({
      port: world.port,
      host: '127.0.0.1',
      rejectUnauthorized: false,
      ALPNProtocols: ['h2'],
    });
    socket.on('secureConnect', () => socket.write('GET / HTTP/1.1\r\n\r\n'.repeat(100)));
    socket.on('close', () => resolve());
    socket.on('error', () => undefined);
    socket.resume();
    await promise;

    assert.equal((await enroll(world, { token: await world.mint(1) })).response.hardware, 'm1');
  });

  it('refuses a message of over a megabyte and goes on serving', async () => {
    await using world = await startAgentWorld();
    const token = await world.mint(1);
    const fields = { inventoryJson: ' '.repeat(1_100_000) };

    await assert.rejects(enroll(world, { token, fields }), /larger|exceed|max/i);

    assert.equal((await enroll(world, { token })).response.hardware, 'm1');
  });

  it('holds no more than 64 connections without a certificate of one address', async () => {
    await using world = await startAgentWorld();
    const sockets = Array.from({ length: 64 }, () =>
      connectTls({ port: world.port, host: '127.0.0.1', rejectUnauthorized: false, ALPNProtocols: ['h2'] }),
    );
    await Promise.all(sockets.map((socket) => new Promise((resolve) => socket.once('secureConnect', resolve))));

    await assert.rejects(enroll(world, { token: await world.mint(1) }), isCode('unavailable'));

    const closed = sockets.map((socket) => new Promise((resolve) => socket.once('close', resolve)));
    for (const socket of sockets) socket.destroy();
    await Promise.all(closed);
    const { response } = await eventually(async () => enroll(world, { token: await world.mint(1) }));
    assert.equal(response.hardware, 'm1');
  });
});

describe('a rack of agents behind one address', () => {
  it('may hold as many connections as it has certificates', async () => {
    await using world = await startAgentWorld();
    const agents: RawAgent[] = [];

    for (let number = 1; number <= 70; number++) {
      const agent = await openRawAgent(world, number);
      agents.push(agent);
      agent.hello(`session-${number}`);
      await agent.until(() => agent.received.length === 1);
    }
    for (const agent of agents) agent[Symbol.dispose]();

    assert.equal(world.engine.connects.length, 70);
  });
});

async function eventually<T>(attempt: () => Promise<T>): Promise<T> {
  const deadline = AbortSignal.timeout(30_000);
  for (;;) {
    try {
      return await attempt();
    } catch (thrown) {
      if (deadline.aborted) throw thrown;
    }
  }
}
