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

  it('that nobody could read, or without its scheme, is refused at once, and is shown nowhere', async () => {
    await using world = await startApiWorld();
    const address = '10.99.0.1:8080/disk.raw';

    for (const [source, fix] of [
      [`http://usr:S3CRET%PW@${address}`, /write the % as %25/],
      [`http://usr:S3CRET@PW/x@${address}`, /write an @ in them as %40/],
      [`usr:S3CRETPW@${address}`, /did you mean http:\/\/\(redacted\)@10\.99\.0\.1:8080\/disk\.raw\?/],
    ] as const) {
      for (const argv of [
        ['a', source],
        ['a', 'http://127.0.0.1:1/disk.raw', '--checksums', source],
        ['a', 'http://127.0.0.1:1/disk.raw', '--for-url', source],
      ]) {
        if (argv.includes('--for-url') && !source.includes('://')) continue;
        const added = await runCliProcess(world, ['image', 'add', ...argv, '--no-wait']);

        assert.match(added.stderr, fix);
        assert.doesNotMatch(JSON.stringify(added), /S3|CRET|PW/);
      }
    }
    const list = await runCliProcess(world, ['image', 'list', '-o', 'json']);
    assert.doesNotMatch(JSON.stringify([list, await world.store.events({}), world.logged]), /S3|CRET|PW|"name"/);
  });
});
