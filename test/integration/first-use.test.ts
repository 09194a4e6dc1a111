/** Images that workflows name by their URL: imported once, by a server process, for machines that really write them. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { gzipSync } from 'node:zlib';
import { CountedUpstream } from '#test/support/counted-upstream.ts';
import { diskImage } from '#test/support/disk-image.ts';
import { Site, type SiteMachine } from '#test/support/site.ts';

const LIMIT = { timeout: 60_000 };
const IMAGE = diskImage();
const GZ = gzipSync(IMAGE, { level: 1 });
const MIB = 1 << 20;
const ON = { 'library-import': 'on' };

async function assertHolds({ disk }: SiteMachine, image = IMAGE): Promise<void> {
  const content = await disk();
  // The GPT is stretched to the disk's end, so its own blocks differ.
  assert.ok(content.subarray(MIB, image.length - MIB).equals(image.subarray(MIB, image.length - MIB)));
}

describe('images on first use', () => {
  it('are imported once, however many machines want them', LIMIT, async () => {
    await using upstream = await CountedUpstream.start(GZ);
    await using site = await Site.start(ON);
    const release = upstream.hold();
    const numbers = [1, 2, 3, 4, 5, 6, 7, 8];
    for (const number of numbers) await site.install(number, { IMG_URL: `${upstream.url}?token=hunter2` });
    const machines = await Promise.all(numbers.map((number) => site.boot(number)));
    await site.until(
      () => site.events('m8', 'agent.connected'),
      (events) => events.length === 0,
    );
    release();

    for (const machine of machines) assert.equal(await machine.end, 'reboot');

    assert.equal(upstream.requests.length, 1);
    for (const machine of machines) {
      await assertHolds(machine);
      assert.match(machine.environments[0]?.['IMG_URL'] ?? '', /^library:sha256-[0-9a-f]{64}$/);
    }
    const [ready] = await site.events('m1', 'workflow.imageReady');
    assert.equal(ready?.data['from'], 'library');
    const list = (await site.cli('image', 'list')).stdout;
    assert.match(list, /^url-[0-9a-f]{32} .*http:\/\/127\.0\.0\.1:\d+\/images\/debian\.raw\.gz/m);
    assert.doesNotMatch(JSON.stringify(await site.workflow('m1')) + list, /hunter2/);
  });

  it('begin again when the server was killed in the middle', LIMIT, async () => {
    await using upstream = await CountedUpstream.start(GZ);
    await using site = await Site.start(ON);
    const release = upstream.hold();
    await site.install(1, { IMG_URL: upstream.url });
    const machine = await site.boot(1);
    await site.until(
      () => site.events('m1', 'workflow.waitsForImage'),
      (events) => events.length === 1,
    );

    await site.killServer();
    release();
    await site.startServer(ON);
    await machine.end;

    await assertHolds(machine);
    assert.equal(upstream.downloads, 2);
    const workflow = await site.workflow('m1');
    assert.deepEqual([workflow.state, workflow.attempt], ['succeeded', 1]);
  });

  it('are fetched by the machine when they cannot be imported, and that is told', LIMIT, async () => {
    await using upstream = await CountedUpstream.start(GZ);
    await using site = await Site.start(ON);
    upstream.status = 403;
    await site.install(1, { IMG_URL: upstream.url });
    const [ready] = await site.until(
      () => site.events('m1', 'workflow.imageReady'),
      (events) => events.length === 1,
    );
    upstream.status = undefined;

    const machine = await site.boot(1);
    await machine.end;

    assert.equal(machine.environments[0]?.['IMG_URL'], upstream.url);
    await assertHolds(machine);
    assert.equal(ready?.data['from'], 'machine');
    assert.match(JSON.stringify(ready), /debian\.raw\.gz: the server answered 403/);
  });
});
