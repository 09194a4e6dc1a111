/** What `image gc` leaves: the bytes that a machine is still writing, whatever became of their name, and of the server. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { gzipSync } from 'node:zlib';
import { CountedUpstream } from '#test/support/counted-upstream.ts';
import { diskImage } from '#test/support/disk-image.ts';
import { Site, type SiteMachine } from '#test/support/site.ts';

const LIMIT = { timeout: 110_000 };
const MIB = 1 << 20;
/** So that a machine writes for some ten seconds. */
const SLOW = { 'http-egress': '1MB' };
const [OLD, NEW] = [noisyImage(10), noisyImage(5)];

/** Of noise, so that it is as long in the library. */
function noisyImage(mebibytes: number): Buffer {
  const image = diskImage({ sizeBytes: mebibytes * MIB });
  randomBytes((mebibytes - 2) * MIB).copy(image, MIB);
  return image;
}

async function assertHolds({ disk }: SiteMachine, image: Buffer): Promise<void> {
  const content = await disk();
  // The GPT is stretched to the disk's end, so its own blocks differ.
  assert.ok(content.subarray(MIB, image.length - MIB).equals(image.subarray(MIB, image.length - MIB)));
}

async function isWriting(site: Site, name: string): Promise<void> {
  await site.until(
    () => site.workflow(name),
    ({ actions }) => (actions[0]?.progress?.done ?? 0) > 0 || actions[0]?.state === 'running',
  );
}

async function collected(site: Site): Promise<readonly string[]> {
  return JSON.parse((await site.cli('image', 'gc', '-o', 'json')).stdout).digests;
}

describe('image gc', () => {
  it('keeps what a workflow runs with when its URL has other content, also after a restart', LIMIT, async () => {
    const settings = { 'library-import': 'on', ...SLOW };
    await using upstream = await CountedUpstream.start(gzipSync(OLD, { level: 1 }));
    await using site = await Site.start(settings);
    await site.install(1, { IMG_URL: upstream.url });
    const machine = await site.boot(1);
    await isWriting(site, 'm1');

    Object.assign(upstream, { body: gzipSync(NEW, { level: 1 }), etag: '"v2"' });
    await site.killServer();
    await site.startServer(settings);
    await site.install(2, { IMG_URL: upstream.url });
    await site.until(
      () => site.events('m2', 'workflow.imageReady'),
      (events) => events.length === 1,
    );
    assert.equal((await site.workflow('m1')).state, 'running');

    assert.deepEqual(await collected(site), []);

    assert.equal(await machine.end, 'reboot');
    await assertHolds(machine, OLD);
    assert.equal((await collected(site)).length, 1, 'nobody needs it any more');
  });

  it('keeps what a workflow runs with when its name was given to another image', LIMIT, async () => {
    await using site = await Site.start(SLOW);
    for (const [name, image] of Object.entries({ old: OLD, new: NEW }))
      await writeFile(join(site.folder, `${name}.raw`), image);
    const add = (file: string, ...more: string[]) => site.cli('image', 'add', 'os', join(site.folder, file), ...more);
    assert.equal((await add('old.raw')).code, 0);
    for (const number of [1, 2]) await site.install(number, { IMG_URL: 'library:os' });
    const machine = await site.boot(1);
    await isWriting(site, 'm1');

    const replaced = await add('new.raw', '--replace');

    const users = 'these workflows get the new one: m2; these run and keep the old one until they end: m1';
    assert.match(replaced.stdout, new RegExp(`^it replaces sha256-[0-9a-f]*…; ${users}$`, 'm'));
    assert.deepEqual(await collected(site), []);
    assert.equal((await site.workflow('m1')).state, 'running');
    assert.equal(await machine.end, 'reboot');
    await assertHolds(machine, OLD);
    const second = await site.boot(2);
    assert.equal(await second.end, 'reboot');
    await assertHolds(second, NEW);
    assert.equal((await collected(site)).length, 1, 'nobody needs it any more');
  });
});
