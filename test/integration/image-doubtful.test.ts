/** Images that look like no disk are imported, and everybody who looks is warned. */
import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import type { EventView } from '#server/api/types.ts';
import { diskImage } from '#test/support/disk-image.ts';
import { Site } from '#test/support/site.ts';

const WARNING = /it looks like no disk: .* it begins with the text "Sorry, this image has mo"/;

describe('an image that looks like no disk', () => {
  it('is imported with a warning in every place where somebody may look', { timeout: 60_000 }, async () => {
    await using site = await Site.start({});
    await writeFile(join(site.folder, 'page.raw'), 'Sorry, this image has moved.\n'.repeat(1024).slice(0, 20 * 512));
    await writeFile(join(site.folder, 'disk.raw'), diskImage());

    const added = await site.cli('image', 'add', 'page', 'page.raw');
    const again = await site.cli('image', 'add', 'page', 'page.raw', '-o', 'json');

    assert.equal(added.code, 0, added.stderr);
    assert.match(added.stdout, /^image\/page added: /);
    assert.match(added.stderr, new RegExp(`^warning: image/page: ${WARNING.source}`, 'm'));
    assert.match(JSON.parse(again.stdout).warning, WARNING);
    assert.match((await site.cli('image', 'show', 'page')).stdout, new RegExp(`^warning +${WARNING.source}`, 'm'));
    const { items } = await site.call<{ items: EventView[] }>('GET', '/events?name=image.added');
    assert.match(JSON.stringify(items[0]?.data), /"warning":"it looks like no disk: /);
    assert.match((await site.cli('get', 'events')).stdout, /image page added to the library; warning: it looks like/);
    assert.match(site.said, /image\.doubtful/);

    const whole = await site.cli('image', 'add', 'disk', 'disk.raw', '-o', 'json');
    assert.equal(JSON.parse(whole.stdout).warning, undefined);
    assert.equal(whole.stderr, '');
  });
});
