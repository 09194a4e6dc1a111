import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { type AddressInfo, createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { pino } from 'pino';
import { startServer } from '#server/app.ts';
import { readConfig } from '#server/config.ts';
import { quietPort } from '#test/support/quiet-port.ts';

const LIMIT = { timeout: 60_000 };

async function occupiedPort(): Promise<{ readonly server: Server; readonly port: number }> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return { server, port: (server.address() as AddressInfo).port };
}

async function withServer(
  flags: Record<string, string>,
  use: (port: number, logged: readonly string[]) => Promise<void>,
): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'tinsmith-ports-'));
  const logged: string[] = [];
  const log = pino({ level: 'warn' }, { write: (line: string) => logged.push(line) });
  const ports = ['tftp', 'http', 'metadata', 'grpc', 'admin'].map((name) => [`${name}-port`, '0'] as const);
  const base = { 'data-dir': folder, address: '127.0.0.1', 'dhcp-mode': 'off', ...Object.fromEntries(ports) };
  try {
    await using server = await startServer({ config: readConfig({ ...base, ...flags }, {}), log, version: '0' });
    await use(server.ports.metadata, logged);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

describe('the metadata ports', () => {
  it('are two, the second as older templates name it', LIMIT, async () => {
    const port = await quietPort();

    await withServer({ 'metadata-legacy-port': String(port) }, async (own) => {
      for (const each of [own, port]) {
        const response = await fetch(`http://127.0.0.1:${each}/`);
        assert.equal(await response.text(), '2009-04-04\nlatest');
      }
    });
  });

  it('are one with a warning where the second is taken', LIMIT, async () => {
    const { server, port } = await occupiedPort();

    await withServer({ 'metadata-legacy-port': String(port) }, async (own, logged) => {
      assert.equal((await fetch(`http://127.0.0.1:${own}/`)).status, 200);
      assert.ok(logged.some((line) => line.includes('metadata.legacyPortTaken') && line.includes(String(port))));
    });
    await new Promise((resolve) => server.close(resolve));
  });
});
