import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { gzipSync } from 'node:zlib';
import { startApiWorld } from '#test/support/api-world.ts';
import { runCliProcess } from '#test/support/cli-process.ts';
import { hostileServer, wholeFile } from '#test/support/hostile-server.ts';

describe('a URL with a secret', () => {
  it('may come from standard input, and is shown nowhere', async () => {
    await using world = await startApiWorld();
    await using server = await hostileServer(gzipSync(Buffer.alloc(1 << 20, 'image')), [wholeFile]);
    const url = `${server.url.replace('http://', 'http://me:hunter2@')}?sig=hunter3`;

    const added = await runCliProcess(world, ['image', 'add', 'a', '-'], { input: `${url}\n` });

    assert.equal(added.code, 0, added.stderr);
    const list = await runCliProcess(world, ['image', 'list', '-o', 'json']);
    assert.doesNotMatch(JSON.stringify([added, list, await world.store.events({})]), /hunter/);
    assert.match(list.stdout, /"name": "a"/);
  });
});
