/** A server that is killed in the middle of an import: nothing of it is served, and the same import works afterwards. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { type CliProcess, runCliProcess, startCliProcess } from '#test/support/cli-process.ts';
import { diskImage } from '#test/support/disk-image.ts';
import { imageFixture } from '#test/support/disk-image-fixtures.ts';

const IMAGE = Buffer.concat([diskImage(), Buffer.alloc(6 << 20), randomBytes(10 << 20)]);
const QCOW2 = imageFixture('c2m.qcow2');

interface SlowServer extends AsyncDisposable {
  readonly url: string;
  /** Resolves when so many bytes of a file have been sent. */
  sent(bytes: number): Promise<void>;
  /** From now on it sends as fast as it can. */
  hurry(): void;
}

/** Sends a file without ranges in sixty pieces, 10 ms apart. */
async function slowServer(file: Buffer): Promise<SlowServer> {
  const state = { isSlow: true, sentBytes: 0 };
  const server = createServer((_request, response) => void send(file, response, state));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}/image`,
    async sent(bytes) {
      state.sentBytes = 0;
      while (state.sentBytes < bytes) await delay(2);
    },
    hurry() {
      state.isSlow = false;
    },
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}

async function send(
  file: Buffer,
  response: ServerResponse,
  state: { readonly isSlow: boolean; sentBytes: number },
): Promise<void> {
  response.on('error', () => undefined);
  response.writeHead(200, { 'content-length': file.length });
  const pieceBytes = Math.ceil(file.length / 60);
  for (let at = 0; at < file.length && !response.destroyed; at += pieceBytes) {
    response.write(file.subarray(at, at + pieceBytes));
    state.sentBytes = at + pieceBytes;
    if (state.isSlow) await delay(10);
  }
  response.end();
}

interface Site {
  readonly process: CliProcess;
  readonly environment: Readonly<Record<string, string>>;
}

async function serve(folder: string): Promise<Site> {
  const ports = ['http', 'metadata', 'grpc', 'admin', 'tftp'].flatMap((name) => [`--${name}-port`, '0']);
  const argv = ['serve', '--data-dir', folder, '--address', '127.0.0.1', '--dhcp-mode', 'off', ...ports];
  const process = startCliProcess(undefined, argv);
  for await (const line of createInterface({ input: process.child.stdout })) {
    const { admin } = JSON.parse(line);
    if (typeof admin !== 'string') continue;
    process.child.stdout.resume();
    return { process, environment: { TINSMITH_SERVER: admin, TINSMITH_TOKEN_FILE: join(folder, 'admin.token') } };
  }
  throw new Error(`the server did not start: ${(await process.result).stderr}`);
}

async function entries(folder: string): Promise<Record<string, number>> {
  const parts = ['blobs', 'names', 'incoming'];
  const counts = await Promise.all(
    parts.map(async (part) => [part, (await readdir(join(folder, 'library', part))).length] as const),
  );
  return Object.fromEntries(counts);
}

describe('a server that is killed while it imports', () => {
  for (const [kind, file] of [
    ['a raw image', IMAGE],
    ['a disk image that is kept meanwhile', QCOW2],
  ] as const) {
    it(`${kind} serves nothing of it, and imports it when it is asked again`, { timeout: 120_000 }, async () => {
      const folder = await mkdtemp(join(tmpdir(), 'tinsmith-crash-'));
      await using source = await slowServer(file);
      try {
        for (const share of [0.1, 0.6, 0.95]) {
          const { process, environment } = await serve(folder);
          await using server = process;
          const options = { environment };
          await using adding = startCliProcess(undefined, ['image', 'add', 'node', source.url], options);
          await source.sent(file.length * share);
          server.child.kill('SIGKILL');
          await Promise.all([server.result, adding.result]);
          const { blobs, names } = await entries(folder);
          assert.deepEqual({ blobs, names }, { blobs: 0, names: 0 }, `killed at ${share}`);
        }

        source.hurry();
        const { process, environment } = await serve(folder);
        await using server = process;
        assert.deepEqual(await entries(folder), { blobs: 0, names: 0, incoming: 0 });
        const listed = await runCliProcess(undefined, ['image', 'list', '-o', 'json'], { environment });
        assert.deepEqual(JSON.parse(listed.stdout), { items: [], imports: [], failed: [], damaged: [], waiting: [] });
        for (const _ of ['first', 'again']) {
          const added = await runCliProcess(undefined, ['image', 'add', 'node', source.url], { environment });
          assert.equal(added.code, 0, added.stderr);
        }
        assert.deepEqual(await entries(folder), { blobs: 1, names: 1, incoming: 0 });
        const verified = await runCliProcess(undefined, ['image', 'verify', 'node'], { environment });
        assert.match(verified.stdout, /node is whole/);
        server.child.kill('SIGTERM');
        await server.result;
      } finally {
        await rm(folder, { recursive: true, force: true });
      }
    });
  }
});
