import assert from 'node:assert/strict';
import { Writable } from 'node:stream';
import { describe, it } from 'node:test';
import type { ServerMessage } from '#proto/gen/tinsmith/agent/v1/agent_pb.ts';
import { AgentSender } from './agent-sender.ts';
import { serverMessageOf } from './agent-wire.ts';

describe('what the server sends to an agent', () => {
  it('is one acknowledgement, however many reports were stored while the agent did not read', async () => {
    const slow = slowReader();
    const sender = new AgentSender(slow.stream);

    for (let sequence = 1; sequence <= 100_000; sequence++) sender.acknowledge(sequence);
    await slow.readAll();

    assert.deepEqual(slow.received.map(textOf), ['ack 1', 'ack 100000']);
  });

  it('is commands before acknowledgements, and both when there is room again', async () => {
    const slow = slowReader();
    const sender = new AgentSender(slow.stream);

    sender.acknowledge(1);
    sender.acknowledge(2);
    sender.send(serverMessageOf({ kind: 'reboot' }));
    await slow.readAll();

    assert.deepEqual(slow.received.map(textOf), ['ack 1', 'reboot', 'ack 2']);
  });

  it('never goes back in what it acknowledges', async () => {
    const slow = slowReader();
    const sender = new AgentSender(slow.stream);

    for (const sequence of [5, 3, 5, 4]) sender.acknowledge(sequence);
    await slow.readAll();

    assert.deepEqual(slow.received.map(textOf), ['ack 5']);
  });

  it('is nothing after the call has ended', () => {
    const slow = slowReader();
    const sender = new AgentSender(slow.stream);
    slow.stream.end();

    sender.acknowledge(1);
    sender.send(serverMessageOf({ kind: 'powerOff' }));

    assert.equal(slow.received.length, 0);
  });
});

/** Takes one message and lets the next wait until it is told to read on. */
function slowReader(): { stream: Writable; received: ServerMessage[]; readAll(): Promise<void> } {
  const received: ServerMessage[] = [];
  const taken: (() => void)[] = [];
  const stream = new Writable({
    objectMode: true,
    highWaterMark: 1,
    write(message: ServerMessage, _, done) {
      received.push(message);
      taken.push(done);
    },
  });
  return {
    stream,
    received,
    async readAll() {
      for (let done = taken.pop(); done !== undefined; done = taken.pop()) {
        done();
        await new Promise((resolve) => setImmediate(resolve));
      }
    },
  };
}

function textOf({ body }: ServerMessage): string {
  return body.case === 'ack' ? `ack ${body.value.sequence}` : String(body.case);
}
