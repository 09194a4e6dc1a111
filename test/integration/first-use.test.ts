/** Images that workflows name by their URL: imported once, by a server process, for machines that really write them. */
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { gzipSync } from 'node:zlib';
import { ERROR_CODES } from '#proto/errors.ts';
import type { ImageJobView } from '#server/api/image-types.ts';
import { CountedUpstream } from '#test/support/counted-upstream.ts';
import { diskImage } from '#test/support/disk-image.ts';
import { imageFixture } from '#test/support/disk-image-fixtures.ts';
import { Site, type SiteMachine } from '#test/support/site.ts';

const LIMIT = { timeout: 110_000 };
const IMAGE = diskImage();
const GZ = gzipSync(IMAGE, { level: 1 });
const MIB = 1 << 20;
const ONLY = { 'library-import': 'only' };
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

  for (const signal of ['SIGKILL', 'SIGTERM'] as const) {
    it(`begin again when the server was ended by ${signal} in the middle`, LIMIT, async () => {
      await using upstream = await CountedUpstream.start(GZ);
      await using site = await Site.start(ON);
      const release = upstream.hold();
      await site.install(1, { IMG_URL: upstream.url });
      const machine = await site.boot(1);
      await site.until(
        () => site.events('m1', 'workflow.waitsForImage'),
        (events) => events.length === 1,
      );
      // It is told before anything is fetched.
      await site.until(
        async () => upstream.downloads,
        (downloads) => downloads === 1,
      );

      await site.killServer(signal);
      release();
      await site.startServer(ON);
      await machine.end;

      await assertHolds(machine);
      assert.equal(upstream.downloads, 2);
      const workflow = await site.workflow('m1');
      assert.deepEqual([workflow.state, workflow.attempt], ['succeeded', 1]);
    });
  }

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

  it('are told while they are imported, and a cancelled workflow keeps nobody else waiting', LIMIT, async () => {
    const image = Buffer.concat([IMAGE, randomBytes(8 * MIB)]);
    const gz = gzipSync(image, { level: 1 });
    await using upstream = await CountedUpstream.start(gz);
    await using site = await Site.start(ON);
    const release = upstream.hold();
    await site.install(1, { IMG_URL: upstream.url });
    await site.install(2, { IMG_URL: upstream.url });
    const machine = await site.boot(1);
    const { imports } = await site.until(
      () => site.workflow('m1'),
      (workflow) => (workflow.imports?.[0]?.done ?? 0) > 0,
    );

    assert.deepEqual([imports?.[0]?.image, imports?.[0]?.total], ['debian.raw.gz', gz.length]);
    assert.match(
      (await site.cli('describe', 'workflow', 'm1')).stdout,
      /^Waits +for the import of debian\.raw\.gz \(\d+ %/m,
    );
    assert.match((await site.cli('get', 'workflows')).stdout, /m1 +pending +m1 +waits for the import of debian/);
    assert.equal((await site.cli('workflow', 'cancel', 'm2')).code, 0);
    release();
    await machine.end;

    await assertHolds(machine, image);
    assert.equal(upstream.requests.length, 1);
    assert.equal((await site.workflow('m1')).imports, undefined);
  });

  it('are imported four at a time', LIMIT, async () => {
    await using upstream = await CountedUpstream.start(GZ);
    await using site = await Site.start(ON);
    const release = upstream.hold();
    for (const number of [1, 2, 3, 4, 5]) await site.install(number, { IMG_URL: `${upstream.url}?n=${number}` });
    await site.until(
      () => site.events('m5', 'workflow.waitsForImage'),
      (events) => events.length === 1,
    );
    await site.until(
      async () => upstream.requests.length,
      (requests) => requests >= 4,
    );
    const before = (await site.cli('get', 'workflows')).stdout;

    assert.equal(upstream.requests.length, 4);
    assert.equal(before.match(/waits for the import of debian/g)?.length, 5);
    assert.match(before, /^m5 .*waits for the import of debian\.raw\.gz \(it is next\)/m);
    await site.install(6, { IMG_URL: `${upstream.url}?n=6` });
    const list = await site.until(
      async () => (await site.cli('image', 'list')).stdout,
      (text) => /^url-\S+ .* m6 /m.test(text),
    );
    assert.match(list, /^IMPORTING [^]*\n\nWAITING +AGE +FOR URL +WORKFLOWS +WHY$/m);
    assert.match(list, /^url-\S+ .*http:\S+debian\.raw\.gz +m5 +4 imports for workflows run, .*; it is next$/m);
    assert.match(list, / m6 +4 imports .*; 1 more wait before it$/m);
    const { waiting } = JSON.parse((await site.cli('image', 'list', '-o', 'json')).stdout);
    assert.deepEqual(waiting[1].workflows, ['m6']);
    release();
    await site.until(
      () => site.events('m5', 'workflow.imageReady'),
      (events) => events.length === 1,
    );
    await site.until(
      async () => upstream.requests.length,
      (requests) => requests === 6,
    );
  });

  for (const settings of [ON, ONLY]) {
    const mode = settings['library-import'];
    it(`can be cancelled while they wait for their turn, and are not fetched (${mode})`, LIMIT, async () => {
      await using upstream = await CountedUpstream.start(GZ);
      await using site = await Site.start(settings);
      const release = upstream.hold();
      for (const number of [1, 2, 3, 4, 5, 6]) await site.install(number, { IMG_URL: `${upstream.url}?n=${number}` });
      const { waiting } = await site.until(
        async () => JSON.parse((await site.cli('image', 'list', '-o', 'json')).stdout),
        (list) => list.imports.length === 4 && list.waiting.length === 2,
      );
      const [{ id, name, workflows }, next] = waiting;
      assert.deepEqual(workflows, ['m5']);

      const cancelled = await site.cli('image', 'cancel', name);
      const again = await site.cli('image', 'cancel', name);

      assert.equal(cancelled.stdout, `image/${name} import cancelled\n`, cancelled.stderr);
      assert.equal(again.code, ERROR_CODES.not_found.exit);
      const job = await site.call<ImageJobView>('GET', `/image-jobs/${id}`);
      assert.deepEqual([job.name, job.state, job.error?.code], [name, 'cancelled', 'cancelled']);
      const [ready] = await site.until(
        () => site.events('m5', 'workflow.imageReady'),
        (events) => events.length === 1 || mode === 'only',
      );
      if (mode === 'on') assert.match(JSON.stringify(ready?.data), /"from":"machine".*it was cancelled on request/);
      else {
        const failed = await site.until(
          () => site.workflow('m5'),
          ({ state }) => state === 'failed',
        );
        assert.match(
          failed.error?.message ?? '',
          /cannot be imported: it was cancelled on request; if you have its file, add it with/,
        );
      }
      release();
      await site.until(
        () => site.events('m6', 'workflow.imageReady'),
        (events) => events.length === 1,
      );
      assert.equal((await site.call<ImageJobView>('GET', `/image-jobs/${next.id}`)).state, 'succeeded');
      assert.equal(upstream.requests.length, 5);
    });
  }

  it('are imported for qemuimg2disk, too, and written as what they hold', LIMIT, async () => {
    const raw = imageFixture('raw.img');
    await using upstream = await CountedUpstream.start(imageFixture('v3.qcow2'));
    await using site = await Site.start(ONLY);
    await site.install(1, { IMG_URL: upstream.url, FORMAT: 'raw', EXTRA_ARGS: '-p' }, 'qemuimg2disk');
    await site.until(
      () => site.events('m1', 'workflow.imageReady'),
      (events) => events.length === 1,
    );
    await upstream.close();

    const machine = await site.boot(1);
    assert.equal(await machine.end, 'reboot');

    await assertHolds(machine, raw);
    assert.deepEqual(Object.keys(machine.environments[0] ?? {}).toSorted(), ['DEST_DISK', 'IMG_URL']);
    assert.match(machine.environments[0]?.['IMG_URL'] ?? '', /^library:sha256-/);
  });

  it('say why nothing comes while their server is away', LIMIT, async () => {
    await using upstream = await CountedUpstream.start(GZ);
    await using site = await Site.start(ON);
    await upstream.close();
    await site.install(1, { IMG_URL: upstream.url });

    const workflow = await site.until(
      () => site.workflow('m1'),
      ({ imports }) => imports?.[0]?.trouble !== undefined,
    );

    assert.match(workflow.imports?.[0]?.trouble ?? '', /ECONNREFUSED.*again in/);
    assert.match((await site.cli('image', 'list')).stdout, /^url-\S+ .*ECONNREFUSED/m);
    assert.match(
      (await site.cli('get', 'workflows')).stdout,
      /waits for the import of debian\.raw\.gz \(.*ECONNREFUSED/,
    );
    await upstream.listen();
    const [ready] = await site.until(
      () => site.events('m1', 'workflow.imageReady'),
      (events) => events.length === 1,
    );
    assert.equal(ready?.data['from'], 'library');
  });

  it('stay for the workflow that was promised one, also without a name, until it has ended', LIMIT, async () => {
    await using upstream = await CountedUpstream.start(GZ);
    await using site = await Site.start(ONLY);
    await site.install(1, { IMG_URL: upstream.url });
    await site.until(
      () => site.events('m1', 'workflow.imageReady'),
      (events) => events.length === 1,
    );
    await upstream.close();
    const name = (await site.cli('image', 'list', '-o', 'name')).stdout.trim().replace('image/', '');
    assert.equal((await site.cli('image', 'remove', name)).code, ERROR_CODES.conflict.exit);
    assert.equal((await site.cli('image', 'remove', name, '--force')).code, 0);

    assert.match((await site.cli('image', 'gc')).stdout, /^0 images deleted/);
    const machine = await site.boot(1);
    await machine.end;

    await assertHolds(machine);
    await site.until(
      async () => (await site.cli('image', 'gc')).stdout,
      (text) => text.startsWith('1 image deleted'),
    );
  });

  it('are no archives: machines that may fetch nothing outside are told so before they boot', LIMIT, async () => {
    await using upstream = await CountedUpstream.start(GZ);
    await using site = await Site.start(ONLY);
    const archive = { ARCHIVE_URL: upstream.url, DEST_PATH: '/', FS_TYPE: 'ext4', DEST_DISK: '/dev/vda1' };
    const unchecked = { INSECURE_NO_TARFILE_CHECKSUM_VERIFICATION: 'true' };

    const { warnings } = await site.install(1, { ...archive, ...unchecked }, 'archive2disk');

    const sentence =
      /archive2disk\) fetches http:\S+ and with --library-import only machines fetch nothing outside: put the archive/;
    assert.match(warnings[0]?.message ?? '', sentence);
    const failed = await site.until(
      () => site.workflow('m1'),
      ({ state }) => state === 'failed',
    );
    assert.equal(failed.error?.code, 'forbidden');
    assert.match(failed.error?.message ?? '', sentence);
    assert.equal(upstream.requests.length, 0);
  });

  it('are used again until the upstream has others, and while it is away', LIMIT, async () => {
    await using upstream = await CountedUpstream.start(GZ);
    await using site = await Site.start(ON);
    const install = async (number: number): Promise<SiteMachine> => {
      await site.install(number, { IMG_URL: upstream.url });
      const machine = await site.boot(number);
      await machine.end;
      return machine;
    };
    await install(1);
    const again = await install(2);
    assert.deepEqual([upstream.requests.length, upstream.downloads], [2, 1]);
    await assertHolds(again);

    const other = Buffer.from(IMAGE);
    other.write('a newer system', 3 * MIB);
    Object.assign(upstream, { body: gzipSync(other), etag: '"v2"' });
    await assertHolds(await install(3), other);
    assert.equal((await site.cli('image', 'list', '-o', 'name')).stdout.trim().split('\n').length, 1);

    await upstream.close();
    await assertHolds(await install(4), other);
    const [ready] = await site.events('m4', 'workflow.imageReady');
    assert.match(JSON.stringify(ready), /cannot ask .*the image that was imported .* is used/);
  });

  it('have the sums that the action names, or are not used', LIMIT, async () => {
    await using upstream = await CountedUpstream.start(GZ);
    await using site = await Site.start(ONLY);
    const sum = createHash('sha256').update(GZ).digest('hex');
    await site.install(1, { IMG_URL: upstream.url, IMG_SHA256: 'ab'.repeat(32) });
    const refused = await site.until(
      () => site.workflow('m1'),
      ({ state }) => state === 'failed',
    );
    assert.match(refused.error?.message ?? '', /debian\.raw\.gz is not in the library.*expected was abab/);
    assert.match((await site.cli('image', 'list')).stderr, /the library is empty/);

    await site.install(2, { IMG_URL: upstream.url, IMG_SHA256: sum, HTTP_PROXY: 'http://127.0.0.1:9' });
    const machine = await site.boot(2);
    await machine.end;

    await assertHolds(machine);
    assert.deepEqual(Object.keys(machine.environments[0] ?? {}).toSorted(), ['DEST_DISK', 'IMG_URL']);
  });

  it('come from a file that an operator added for the URL, where nothing outside can be reached', LIMIT, async () => {
    await using upstream = await CountedUpstream.start(GZ);
    await using site = await Site.start(ONLY);
    upstream.status = 404;
    await site.install(1, { IMG_URL: `${upstream.url}?X-Amz-Signature=hunter2` });
    const failed = await site.until(
      () => site.workflow('m1'),
      ({ state }) => state === 'failed',
    );
    assert.match(
      failed.error?.message ?? '',
      /answered 404: correct the URL; if you have its file, add it with tinsmith image add NAME FILE --for-url URL/,
    );
    assert.doesNotMatch(JSON.stringify(failed), /hunter2/);
    const asked = upstream.requests.length;

    await writeFile(join(site.folder, 'usb.raw.gz'), GZ);
    const added = await site.cli('image', 'add', 'debian', 'usb.raw.gz', '--for-url', upstream.url);
    assert.equal(added.code, 0, added.stderr);
    assert.match((await site.cli('image', 'show', 'debian')).stdout, /^for URL +http:.*debian\.raw\.gz$/m);
    assert.equal((await site.cli('workflow', 'retry', 'm1')).code, 0);
    const machine = await site.boot(1);
    await machine.end;

    await assertHolds(machine);
    assert.equal(upstream.requests.length, asked);
  });
});
