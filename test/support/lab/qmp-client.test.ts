import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { QmpClient } from './qmp-client.ts';

let directory = '';
let path = '';
let stack: AsyncDisposableStack;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'tinsmith-qmp-'));
  path = join(directory, 'qmp');
  stack = new AsyncDisposableStack();
});
afterEach(async () => {
  await stack.disposeAsync();
  await rm(directory, { recursive: true, force: true });
});

/** Speaks QEMU's side: a greeting, then one answer per command, with events in between. */
async function fakeQemu(answer: (command: string, socket: Socket) => string): Promise<void> {
  const server = createServer((socket) => {
    socket.on('error', () => {});
    socket.write('{"QMP": {"version": {}, "capabilities": []}}\n');
    createInterface({ input: socket }).on('line', (line) => {
      const command: { execute: string } = JSON.parse(line);
      socket.write('{"event": "STOP", "timestamp": {}}\n');
      socket.write(answer(command.execute, socket));
    });
  });
  stack.defer(() => void server.close());
  server.listen(path);
  await once(server, 'listening');
}

describe('QmpClient', () => {
  it('waits until QEMU has made its socket', async () => {
    const connecting = QmpClient.connect(path);
    await fakeQemu(() => '{"return": {}}\n');

    stack.use(await connecting);
  });

  it('matches answers with commands in order, and passes over events', async () => {
    await fakeQemu((command) => `{"return": "${command}"}\n`);
    const client = stack.use(await QmpClient.connect(path));

    assert.deepEqual(await Promise.all([client.execute('a'), client.execute('b')]), ['a', 'b']);
  });

  it('throws what QEMU complains about', async () => {
    await fakeQemu((command) =>
      command === 'bad' ? '{"error": {"class": "X", "desc": "no such thing"}}\n' : '{"return": {}}\n',
    );
    const client = stack.use(await QmpClient.connect(path));

    await assert.rejects(client.execute('bad'), /QEMU: no such thing/);
    assert.deepEqual(await client.execute('good'), {});
  });

  it('fails commands that QEMU never answers because it ended', async () => {
    await fakeQemu((command, socket) => {
      if (command === 'quit') socket.destroy();
      return '{"return": {}}\n';
    });
    const client = stack.use(await QmpClient.connect(path));

    await assert.rejects(client.execute('quit'), /closed its QMP socket/);
    await assert.rejects(client.execute('late'), /closed its QMP socket/);
  });

  it('gives up when no QEMU comes', async () => {
    await assert.rejects(QmpClient.connect(path, 50), /cannot reach QEMU at .* within 50 ms/);
  });
});
