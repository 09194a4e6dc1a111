/** Whose turn it is when more images are to be imported on first use than are imported at once. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { gzipSync } from 'node:zlib';
import { CountedUpstream } from '#test/support/counted-upstream.ts';
import { diskImage } from '#test/support/disk-image.ts';
import { Site } from '#test/support/site.ts';

const LIMIT = { timeout: 110_000 };
const GZ = gzipSync(diskImage(), { level: 1 });
const ON = { 'library-import': 'on' };

describe('imports on first use', () => {
  it('do not wait for imports that nobody waits for any more', LIMIT, async () => {
    await using dead = await CountedUpstream.start(GZ);
    await using upstream = await CountedUpstream.start(GZ);
    await using site = await Site.start(ON);
    const release = dead.hold();
    for (const number of [1, 2, 3, 4]) await site.install(number, { IMG_URL: `${dead.url}?n=${number}` });
    await site.until(
      async () => dead.requests.length,
      (requests) => requests === 4,
    );
    await site.install(5, { IMG_URL: upstream.url });
    await site.until(
      async () => (await site.cli('image', 'list')).stdout,
      (text) => / m5 +4 imports for workflows run, .*; it is next$/m.test(text),
    );

    assert.equal((await site.cli('workflow', 'cancel', 'm1')).code, 0);

    await site.until(
      () => site.events('m5', 'workflow.imageReady'),
      (events) => events.length === 1,
    );
    assert.equal(dead.requests.length, 4);
    const list = (await site.cli('image', 'list')).stdout;
    assert.equal(list.match(/^url-\S+ .* no workflow waits for it any more$/gm)?.length, 1, list);
    release();
    await site.until(
      async () => JSON.parse((await site.cli('image', 'list', '-o', 'json')).stdout).items.length,
      (items) => items === 5,
    );
  });

  it('wait for their turn when eight are imported, whoever wants those', LIMIT, async () => {
    await using upstream = await CountedUpstream.start(GZ);
    await using site = await Site.start(ON);
    const release = upstream.hold();
    const install = (number: number) => site.install(number, { IMG_URL: `${upstream.url}?n=${number}` });
    const requested = (count: number) =>
      site.until(
        async () => upstream.requests.length,
        (requests) => requests === count,
      );
    for (const number of [1, 2, 3, 4]) await install(number);
    await requested(4);
    for (const number of [1, 2, 3, 4]) await site.cli('workflow', 'cancel', `m${number}`);
    for (const number of [5, 6, 7, 8]) await install(number);
    await requested(8);
    await install(9);
    await site.cli('workflow', 'cancel', 'm5');

    const list = await site.until(
      async () => (await site.cli('image', 'list')).stdout,
      (text) =>
        / m9 +8 imports run, as many as do at once, 5 of them for no workflow any more .*; it is next$/m.test(text),
    );

    assert.equal(list.match(/no workflow waits for it any more$/gm)?.length, 5, list);
    assert.equal(upstream.requests.length, 8);
    release();
    await site.until(
      () => site.events('m9', 'workflow.imageReady'),
      (events) => events.length === 1,
    );
  });
});
