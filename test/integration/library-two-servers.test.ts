/** Two servers are given one library: the second is refused, and takes nothing from the first. */
import assert from 'node:assert/strict';
import { mkdir, mkdtempDisposable, readdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { it } from 'node:test';
import { pino } from 'pino';
import { startServer } from '#server/app.ts';
import { readConfig } from '#server/config.ts';

const LIMIT = { timeout: 60_000 };
const PORTS = ['tftp', 'http', 'metadata', 'metadata-legacy', 'grpc', 'admin'].map((name) => [`${name}-port`, '0']);

function start(data: string, library: string): ReturnType<typeof startServer> {
  const flags = { 'data-dir': data, 'library-dir': library, address: '127.0.0.1', 'dhcp-mode': 'off' };
  const config = readConfig({ ...flags, ...Object.fromEntries(PORTS) }, {});
  return startServer({ config, log: pino({ level: 'silent' }), version: '0' });
}

it(
  'a server whose library another server has does not start, and leaves the other’s imports alone',
  LIMIT,
  async () => {
    await using folder = await mkdtempDisposable(join(tmpdir(), 'tinsmith-two-'));
    const library = join(folder.path, 'library');
    {
      await using stack = new AsyncDisposableStack();
      stack.use(await start(join(folder.path, 'a'), library));
      await mkdir(join(library, 'incoming', 'debian-12-running'));

      const second = async (): Promise<void> => {
        stack.use(await start(join(folder.path, 'b'), library));
      };
      await assert.rejects(second, {
        code: 'conflict',
        message: `cannot use the image library in ${library}: another tinsmith serve (process ${process.pid}) has it: stop that one, or give this one a folder of its own with --library-dir`,
      });

      assert.deepEqual(await readdir(join(library, 'incoming')), ['debian-12-running']);
    }
    await using later = await start(join(folder.path, 'b'), library);
    assert.equal(later.address, '127.0.0.1');
    assert.deepEqual(await readdir(join(library, 'incoming')), []);
  },
);
