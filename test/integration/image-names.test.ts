/** What a name of the library stands for: added twice, taken from another image, and an import that nobody watched. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { ERROR_CODES } from '#proto/errors.ts';
import { type ApiWorld, startApiWorld } from '#test/support/api-world.ts';
import { runCliProcess } from '#test/support/cli-process.ts';
import { diskImage } from '#test/support/disk-image.ts';
import { applyInstall } from '#test/support/install-of-image.ts';

let folder: string;

function sumOf(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex');
}

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tinsmith-image-names-'));
  await writeFile(join(folder, 'one.img'), diskImage());
  await writeFile(join(folder, 'copy.img'), diskImage());
  await writeFile(join(folder, 'two.img'), Buffer.concat([diskImage(), Buffer.alloc(1 << 20)]));
  await writeFile(join(folder, 'bad.img.gz'), Buffer.from('1f8b0800', 'hex'));
});

after(() => rm(folder, { recursive: true, force: true }));

async function cli(world: ApiWorld, ...argv: string[]) {
  return runCliProcess(world, ['image', ...argv], { cwd: folder });
}

async function digestOf(world: ApiWorld, name: string): Promise<string> {
  return JSON.parse((await cli(world, 'show', name, '-o', 'json')).stdout).digest;
}

describe('a name in the library', () => {
  it('gets another image, and says so; the same one again changes nothing', async () => {
    await using world = await startApiWorld();
    await cli(world, 'add', 'os', 'one.img');
    const old = await digestOf(world, 'os');

    const again = await cli(world, 'add', 'os', 'copy.img');
    assert.doesNotMatch(again.stdout, /replaces/);
    assert.equal(await digestOf(world, 'os'), old);

    const other = await cli(world, 'add', 'os', 'two.img');
    assert.equal(other.code, 0, other.stderr);
    assert.match(other.stdout, new RegExp(`^it replaces sha256-${old.slice(0, 12)}…$`, 'm'));
    assert.notEqual(await digestOf(world, 'os'), old);
  });

  it('keeps what vouched for it when the same content is added again, and takes over what says more', async () => {
    await using world = await startApiWorld();
    const known = async () => JSON.parse((await cli(world, 'show', 'os', '-o', 'json')).stdout);
    const first = JSON.parse((await cli(world, 'add', 'os', 'one.img', '-o', 'json')).stdout);
    assert.deepEqual([first.outcome, first.vouchedBy], ['created', []]);

    const summed = await cli(world, 'add', 'os', 'copy.img', '--sha256', sumOf(diskImage()));
    assert.match(summed.stdout, /^image\/os configured: the same content, .*tinsmith image show os/);
    const better = await known();
    assert.deepEqual(better.vouchedBy, [{ kind: 'sum', of: 'source' }]);
    assert.equal(better.source, join(folder, 'copy.img'));

    const again = await cli(world, 'add', 'os', 'one.img');
    assert.match(again.stdout, /^image\/os unchanged: .*; templates name it library:os$/m);
    assert.deepEqual(await known(), better);
    const json = JSON.parse((await cli(world, 'add', 'os', 'one.img', '-o', 'json')).stdout);
    assert.deepEqual(json, { ...better, outcome: 'unchanged' });
  });

  it('is not taken from an image that an unfinished workflow needs, unless that is wanted', async () => {
    await using world = await startApiWorld();
    await cli(world, 'add', 'os', 'one.img');
    const old = await digestOf(world, 'os');
    await applyInstall(world, 'library:os');

    const refused = await cli(world, 'add', 'os', 'two.img');
    assert.equal(refused.code, ERROR_CODES.conflict.exit);
    assert.match(refused.stderr, /unfinished workflows need it: m1: .*--replace/);
    assert.equal(await digestOf(world, 'os'), old);

    const repaired = await cli(world, 'add', 'os', 'one.img');
    assert.equal(repaired.code, 0, repaired.stderr);

    const replaced = await cli(world, 'add', 'os', 'two.img', '--replace');
    assert.equal(replaced.code, 0, replaced.stderr);
    assert.match(replaced.stdout, /^it replaces sha256-.*; these workflows get the new one: m1$/m);
    assert.notEqual(await digestOf(world, 'os'), old);
  });

  it('is not taken when the same source holds something else by now', async () => {
    await using world = await startApiWorld();
    await writeFile(join(folder, 'changing.img'), diskImage());
    await cli(world, 'add', 'os', 'changing.img');
    const old = await digestOf(world, 'os');
    await applyInstall(world, 'library:os');
    await writeFile(join(folder, 'changing.img'), Buffer.concat([diskImage(), Buffer.alloc(1 << 20)]));

    const refused = await cli(world, 'add', 'os', 'changing.img');

    assert.match(refused.stderr, /unfinished workflows need it: m1/);
    assert.equal(await digestOf(world, 'os'), old);
  });
});

describe('a name that the library has not', () => {
  it('is told with the nearest one that it has', async () => {
    await using world = await startApiWorld();
    await cli(world, 'add', 'debian-12', 'one.img');
    await cli(world, 'add', 'ubuntu-24.04-server', 'one.img');

    for (const [asked, meant] of [
      ['debain-12', 'debian-12'],
      ['ubuntu-24.04', 'ubuntu-24.04-server'],
    ] as const) {
      for (const command of ['show', 'verify', 'remove', 'mirror']) {
        const { code, stderr } = await cli(world, command, asked);
        assert.equal(code, ERROR_CODES.not_found.exit, command);
        assert.ok(
          stderr.includes(`there is no image "${asked}" in the library (did you mean ${meant}?): it has ${meant}, `),
          stderr,
        );
      }
    }
    const { stderr } = await cli(world, 'show', 'fedora');
    assert.doesNotMatch(stderr, /did you mean/);
  });
});

describe('an import that fails while nobody watches', () => {
  it('is listed with its reason until its name is added again, and is an event', async () => {
    await using world = await startApiWorld();
    await cli(world, 'add', 'os', 'bad.img.gz', '--no-wait');
    await untilFailed(world);

    assert.match((await cli(world, 'list')).stdout, /^FAILED .*\nos .*cut short/m);
    const events = await runCliProcess(world, ['get', 'events'], { cwd: folder });
    assert.match(events.stdout, /image os not imported: .*cut short/);

    await cli(world, 'add', 'os', 'one.img');
    assert.doesNotMatch((await cli(world, 'list')).stdout, /FAILED/);
  });
});

async function untilFailed(world: ApiWorld): Promise<void> {
  for (let tries = 0; tries < 100; tries++) {
    if (JSON.parse((await cli(world, 'list', '-o', 'json')).stdout).failed.length === 1) return;
    await delay(50);
  }
  assert.fail('the import did not fail');
}
