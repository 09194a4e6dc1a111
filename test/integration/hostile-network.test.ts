/** The whole server, in this process, and a stranger on its network who means it no good. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { get, type IncomingMessage } from 'node:http';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import pino from 'pino';
import { type RunningServer, startServer } from '#server/app.ts';
import { readConfig } from '#server/config.ts';

const LIMIT = { timeout: 90_000 };
const MIB = 1024 * 1024;

describe('a stranger on the provisioning network', () => {
  it('may hold 64 connections, and takes none from other machines', LIMIT, async () => {
    await using site = await startSite();
    for (const port of [site.server.ports.http, site.server.ports.metadata]) {
      using connections = await openConnections(port, 80);

      assert.equal(await countOpen(connections, 64), 64);
      assert.equal(await statusOf(port, '/', '127.0.0.3'), port === site.server.ports.http ? 404 : 200);
    }
  });

  it('cannot use up the memory by reading images slowly', LIMIT, async () => {
    await using site = await startSite();
    const before = process.memoryUsage().rss;
    const pieces = await Promise.all(
      [2, 3, 4, 5].map((host) => openConnections(site.server.ports.http, 64, `127.0.0.${host}`)),
    );
    for (const { sockets } of pieces) {
      for (const socket of sockets) socket.pause().write('GET /images/large HTTP/1.1\r\nHost: x\r\n\r\n');
    }
    const { status, bytes } = await download(site.server.ports.http, '/images/large');
    const grown = process.memoryUsage().rss - before;
    for (const each of pieces) each[Symbol.dispose]();

    assert.deepEqual([status, bytes], [200, 16 * MIB]);
    assert.ok(grown < 400 * MIB, `${Math.round(grown / MIB)} MiB more for 256 slow readers`);
  });
});

interface Site extends AsyncDisposable {
  readonly server: RunningServer;
}

async function startSite(): Promise<Site> {
  await using stack = new AsyncDisposableStack();
  const folder = await mkdtemp(join(tmpdir(), 'tinsmith-hostile-'));
  stack.defer(() => rm(folder, { recursive: true, force: true }));
  await mkdir(join(folder, 'images'));
  await writeFile(join(folder, 'images/large'), Buffer.alloc(16 * MIB, 1));
  const anyPort = Object.fromEntries(
    ['tftp', 'http', 'metadata', 'grpc', 'admin'].map((part) => [`${part}-port`, '0']),
  );
  const flags = { 'data-dir': folder, address: '127.0.0.1', 'dhcp-mode': 'off', ...anyPort };
  const log = pino({ level: 'silent' });
  const server = stack.use(await startServer({ config: readConfig(flags, {}), version: '0', log }));
  const running = stack.move();
  return { server, [Symbol.asyncDispose]: () => running.disposeAsync() };
}

interface Connections extends Disposable {
  readonly sockets: readonly Socket[];
}

/** Open connections that say nothing; those that the server does not want are closed when this resolves. */
async function openConnections(port: number, count: number, localAddress = '127.0.0.2'): Promise<Connections> {
  const sockets = Array.from({ length: count }, () => connect({ port, host: '127.0.0.1', localAddress }));
  for (const socket of sockets) socket.on('error', () => undefined).resume();
  await Promise.all(sockets.map((socket) => once(socket, 'connect')));
  // The server sees connections in their order: once this one is closed or served, all before it were judged.
  await statusOf(port, '/', localAddress).catch(() => undefined);
  return { sockets, [Symbol.dispose]: () => sockets.forEach((socket) => socket.destroy()) };
}

/** How many stay open: waits, for some seconds at most, until no more than `expected` do. */
async function countOpen({ sockets }: Connections, expected: number): Promise<number> {
  const count = (): number => sockets.filter((socket) => !socket.destroyed && !socket.readableEnded).length;
  for (let turn = 0; turn < 200 && count() > expected; turn += 1) await delay(20);
  return count();
}

async function statusOf(port: number, path: string, localAddress: string): Promise<number | undefined> {
  const [response] = (await once(get({ port, path, localAddress, agent: false }), 'response')) as [IncomingMessage];
  response.resume();
  return response.statusCode;
}

async function download(port: number, path: string): Promise<{ status: number | undefined; bytes: number }> {
  const [response] = (await once(get({ port, path, agent: false }), 'response')) as [IncomingMessage];
  let bytes = 0;
  for await (const chunk of response) bytes += (chunk as Buffer).length;
  return { status: response.statusCode, bytes };
}
