/** The library from the command line: import, list, verify, remove, on the real API and a real folder. */
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { mkdtemp, open, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { gzipSync } from 'node:zlib';
import { ERROR_CODES, TinsmithError } from '#proto/errors.ts';
import { type ApiWorld, startApiWorld } from '#test/support/api-world.ts';
import { runCliProcess } from '#test/support/cli-process.ts';
import { diskImage } from '#test/support/disk-image.ts';
import { cutAfter, hostileServer, stallAfter, wholeFile } from '#test/support/hostile-server.ts';
import { applyInstall } from '#test/support/install-of-image.ts';
import { ociRegistry, REGISTRY_USER } from '#test/support/oci-registry.ts';

const IMAGE = Buffer.concat([diskImage(), Buffer.alloc(9 << 20), randomBytes(1 << 20)]);
const GZ = gzipSync(IMAGE, { level: 1 });
const SUM = createHash('sha256').update(GZ).digest('hex');
let folder: string;
let source: string;

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tinsmith-images-'));
  source = join(folder, 'disk.img.gz');
  await writeFile(source, GZ);
});

after(() => rm(folder, { recursive: true, force: true }));

async function cli(world: ApiWorld, ...argv: string[]) {
  return runCliProcess(world, ['image', ...argv], { cwd: folder });
}

async function failOnFullDisk(): Promise<never> {
  throw new TinsmithError('unavailable', 'the disk is full');
}

describe('tinsmith image', () => {
  it('imports a compressed file and says how templates name it', async () => {
    await using world = await startApiWorld();
    await writeFile(join(folder, 'SHA256SUMS'), `${'0'.repeat(64)}  other.img\n${SUM} *disk.img.gz\n`);

    const added = await cli(world, 'add', 'debian-12', 'disk.img.gz', '--checksums', 'SHA256SUMS');

    assert.equal(added.code, 0, added.stderr);
    assert.match(added.stdout, /image\/debian-12 added: 15\.0 MiB, .*library:debian-12/);
    const shown = JSON.parse((await cli(world, 'show', 'debian-12', '-o', 'json')).stdout);
    assert.equal(shown.imageBytes, IMAGE.length);
    assert.equal(shown.imageSha256, createHash('sha256').update(IMAGE).digest('hex'));
    assert.match((await cli(world, 'list')).stdout, /^NAME .*\ndebian-12 +15\.0 MiB/);
    assert.match((await cli(world, 'verify', 'debian-12')).stdout, /debian-12 is whole/);
    const verified = JSON.parse((await cli(world, 'verify', 'debian-12', '-o', 'json')).stdout);
    assert.deepEqual([verified.name, verified.state], ['debian-12', 'succeeded']);
    const [event] = await world.store.events({ names: ['image.added'] });
    assert.equal(event?.data['image'], 'debian-12');
  });

  it('lists what is whole beside a damaged name, and lets that be removed', async () => {
    await using world = await startApiWorld();
    const names = join(dirname(world.tokenFile), 'library/names');
    assert.equal((await cli(world, 'add', 'debian-12', source)).code, 0);
    await writeFile(join(names, 'broken.json'), '{');
    await writeFile(join(names, 'empty.json'), '');

    const list = await cli(world, 'list');
    assert.equal(list.code, 0, list.stderr);
    assert.match(list.stdout, /\ndebian-12 /);
    const row =
      /^broken +the library's image broken is damaged: .*names\/broken\.json: .*tinsmith image remove broken/m;
    assert.match(list.stdout, row);
    assert.match(list.stdout, /^DAMAGED +WHY$/m);
    const shown = await cli(world, 'show', 'broken');
    assert.equal(shown.code, 65);
    assert.match(shown.stderr, /names\/broken\.json/);
    assert.equal((await cli(world, 'remove', 'broken')).code, 0);
    const refused = await cli(world, 'gc');
    assert.match(refused.stderr, /nothing is deleted: .*names\/empty\.json: .*tinsmith image remove empty/);
    assert.equal((await cli(world, 'remove', 'empty')).code, 0);
    assert.match((await cli(world, 'gc')).stdout, /^0 images deleted/);
    assert.deepEqual(await readdir(names), ['debian-12.json']);
  });

  it('removes an image also when nothing can be written about it', async () => {
    await using world = await startApiWorld({ transitions: { noteImage: failOnFullDisk } });
    assert.equal((await cli(world, 'add', 'debian-12', source)).code, 0);

    const removed = await cli(world, 'remove', 'debian-12');

    assert.equal(removed.code, 0, removed.stderr);
    assert.match(world.logged.join(''), /image\.eventLost/);
    assert.match((await cli(world, 'list')).stderr, /the library is empty/);
  });

  it('imports from a server that breaks off, by asking for the rest', async () => {
    await using world = await startApiWorld();
    await using server = await hostileServer(GZ, [cutAfter(100_000), wholeFile]);

    const added = await cli(world, 'add', 'far', server.url, '--sha256', SUM);

    assert.equal(added.code, 0, added.stderr);
    assert.match(server.requests[1] ?? '', /GET bytes=\d+-/);
  });

  it('keeps nothing of a source that is cut, damaged, missing or another one', async () => {
    await using world = await startApiWorld();
    await writeFile(join(folder, 'cut.gz'), GZ.subarray(0, -20));
    const damaged = Buffer.from(GZ);
    damaged[5000] = ((damaged[5000] ?? 0) + 1) & 0xff;
    await writeFile(join(folder, 'damaged.gz'), damaged);
    await writeFile(join(folder, 'partition.raw'), IMAGE.subarray(0, 4 << 20));
    await writeFile(join(folder, 'partition.gz'), gzipSync(IMAGE.subarray(0, 4 << 20), { level: 1 }));

    for (const [argv, code, sentence] of [
      [['cut.gz'], 65, /cannot import \S+\/cut\.gz: .*cut short/],
      [['damaged.gz'], 65, /cannot import \S+\/damaged\.gz: .*damaged/],
      [['partition.raw'], 65, /cut short: its partition 2 ends at byte 4718592 and it has only 4194304/],
      [['partition.gz'], 65, /cut short: its partition 2 ends/],
      [['nothing.gz'], 66, /nothing\.gz/],
      [['disk.img.gz', '--sha256', 'ab'.repeat(32)], 65, /expected was abab/],
      [['disk.img.gz', '--image-sha256', 'ab'.repeat(32)], 65, /expected was abab/],
      [['disk.img.gz', '--level', '20'], 64, /1 to 19/],
      [['http://127.0.0.1:1/x', '--sha256', 'nonsense'], 64, /64 hexadecimal/],
    ] as const) {
      const result = await cli(world, 'add', 'bad', ...argv);
      assert.equal(result.code, code, result.stderr);
      assert.match(result.stderr, sentence);
    }

    assert.match((await cli(world, 'list')).stderr, /the library is empty/);
    const library = join(dirname(world.tokenFile), 'library');
    assert.deepEqual(await readdir(join(library, 'blobs')), []);
    assert.deepEqual(await readdir(join(library, 'incoming')), []);
  });

  it('finds a bad block under an image, and frees the space of one that was removed', async () => {
    await using world = await startApiWorld();
    await cli(world, 'add', 'a', source);
    const blobs = join(dirname(world.tokenFile), 'library', 'blobs');
    const [blob = ''] = await readdir(blobs);
    const file = await open(join(blobs, blob, 'image.zst'), 'r+');
    await file.write(Buffer.from('?'), 0, 1, 5000);
    await file.close();

    const verified = await cli(world, 'verify', 'a');
    assert.equal(verified.code, 65);
    assert.match(verified.stderr, /a is damaged/);
    const { items, damaged } = JSON.parse((await cli(world, 'list', '-o', 'json')).stdout);
    const reason =
      /^the library's image a is damaged: bytes of its file have changed, its file .*image\.zst: import it again/;
    assert.match(damaged[0].reason, reason);
    assert.equal(items[0].damage, damaged[0].reason);
    assert.match((await cli(world, 'show', 'a')).stdout, /^damaged +the library's image a is damaged/m);
    assert.equal((await cli(world, 'remove', 'a')).code, 0);
    assert.equal((await cli(world, 'remove', 'a')).code, 66);
    assert.match((await cli(world, 'gc')).stdout, /1 image deleted, .* freed/);
    assert.deepEqual(await readdir(blobs), []);
  });

  it('removes no image that an unfinished workflow names, unless it is forced to', async () => {
    await using world = await startApiWorld();
    await cli(world, 'add', 'a', source);
    await applyInstall(world, 'library:a');

    const refused = await cli(world, 'remove', 'a');

    assert.equal(refused.code, ERROR_CODES.conflict.exit);
    assert.match(refused.stderr, /need it: m1: .*tinsmith workflow cancel m1.*--force/);
    const removed = await cli(world, 'remove', 'a', 'a', '--force');
    assert.deepEqual([removed.code, removed.stdout], [0, 'image/a removed\n']);
  });

  it('lets only one image be for a URL', async () => {
    await using world = await startApiWorld();
    const url = ['--for-url', 'https://cloud.example/d.xz'];
    await cli(world, 'add', 'a', source, ...url);

    const refused = await cli(world, 'add', 'b', source, ...url);

    assert.equal(refused.code, ERROR_CODES.conflict.exit);
    assert.match(refused.stderr, /the image a is for that URL: .*tinsmith image remove a/);
    assert.equal((await cli(world, 'add', 'a', source, ...url)).code, 0);
  });

  it('lets only one import at a time be for a URL', async () => {
    await using world = await startApiWorld();
    await using server = await hostileServer(GZ, [stallAfter(100_000)]);
    const url = ['--for-url', 'https://cloud.example/d.xz', '--no-wait'];
    assert.equal((await cli(world, 'add', 'a', server.url, ...url)).code, 0);

    const refused = await cli(world, 'add', 'b', source, ...url);

    assert.equal(refused.code, ERROR_CODES.conflict.exit);
    assert.match(refused.stderr, /the image a for that URL is under way: .*tinsmith image cancel a/);
    assert.equal((await cli(world, 'cancel', 'a')).code, 0);
    assert.equal((await cli(world, 'add', 'b', source, ...url.slice(0, 2))).code, 0);
  });

  it('says at once that nobody listens there, or that no host has that name', async () => {
    await using world = await startApiWorld();
    const began = performance.now();

    for (const [place, fact] of [
      ['http://127.0.0.1:9/d.raw', /cannot fetch http:.*ECONNREFUSED.*: correct the address, or start its server/],
      ['oci+http://127.0.0.1:9/os/node:1', /ECONNREFUSED/],
      ['http://no-such-host.invalid/d.raw', /ENOTFOUND|EAI_AGAIN/],
    ] as const) {
      const failed = await cli(world, 'add', 'a', place);

      assert.equal(failed.code, ERROR_CODES.download_failed.exit);
      assert.match(failed.stderr, fact);
      // Whether a name is unknown is for the resolver to say, and it may be away.
      if (/EAI_AGAIN/.test(failed.stderr)) return;
    }
    assert.ok(performance.now() - began < 60_000);
  });

  it('keeps the names of images on first use for them', async () => {
    await using world = await startApiWorld();

    const refused = await cli(world, 'add', `url-${'0'.repeat(32)}`, source);

    assert.equal(refused.code, ERROR_CODES.invalid_input.exit);
    assert.match(refused.stderr, /names that begin with url- .*use another name.*--for-url/);
  });

  it('shows an import that runs, and cancels it', async () => {
    await using world = await startApiWorld();
    await using server = await hostileServer(GZ, [stallAfter(100_000)]);

    const started = await cli(world, 'add', 'slow', server.url, '--no-wait');

    assert.match(started.stdout, /tinsmith image cancel slow/);
    assert.match((await cli(world, 'list')).stdout, /^IMPORTING .*\nslow +\d/m);
    const { items, imports } = JSON.parse((await cli(world, 'list', '-o', 'json')).stdout);
    assert.deepEqual([items, imports[0].name], [[], 'slow']);
    const other = await cli(world, 'add', 'slow', source);
    assert.match(other.stderr, /tinsmith image cancel slow/);
    assert.equal((await cli(world, 'cancel', 'slow')).stdout, 'image/slow import cancelled\n');
    const again = await cli(world, 'cancel', 'slow');
    assert.match(again.stderr, /no import of "slow": none runs/);
    assert.deepEqual(JSON.parse((await cli(world, 'list', '-o', 'json')).stdout), {
      items: [],
      imports: [],
      failed: [],
      damaged: [],
      waiting: [],
    });
  });

  it('logs in to a registry with a password that is in no argument, no record and no message', async () => {
    await using world = await startApiWorld();
    await using registry = await ociRegistry({ auth: 'bearer' });
    const layer = { digest: registry.putBlob(GZ), size: GZ.length };
    registry.putManifest('1', { schemaVersion: 2, layers: [layer] });
    const reference = `${registry.host}/os/image:1`;
    const { username, password } = REGISTRY_USER;
    const auth = Buffer.from(`${username}:${password}`).toString('base64');
    await writeFile(join(folder, 'config.json'), JSON.stringify({ auths: { [registry.host]: { auth } } }));
    await writeFile(join(folder, 'other.json'), JSON.stringify({ auths: { 'ghcr.io': { auth } } }));

    const results = [
      await runCliProcess(world, ['image', 'add', 'a', reference, '--username', username, '--password-stdin'], {
        input: `${password}\n`,
      }),
      await runCliProcess(world, ['image', 'add', 'b', `oci://${reference}`], {
        environment: { REGISTRY_USERNAME: username, REGISTRY_PASSWORD: password },
      }),
      await cli(world, 'add', 'c', reference, '--auth-file', 'config.json'),
    ];

    for (const { code, stderr } of results) assert.equal(code, 0, stderr);
    const list = await cli(world, 'list', '-o', 'json');
    assert.match(list.stdout, /"source": "oci:\/\/127\.0\.0\.1:\d+\/os\/image:1"/);
    const told = JSON.stringify([results, list, await world.store.events({})]);
    assert.doesNotMatch(told, new RegExp(password));
    for (const [argv, code, sentence] of [
      [[reference], 69, /REGISTRY_USERNAME/],
      [[reference, '--auth-file', 'none.json'], 66, /cannot read the logins in none\.json: ENOENT/],
      [[reference, '--auth-file', 'other.json'], 65, /no login for 127.*has ghcr\.io/],
      [[reference, '--username', 'me'], 64, /--password-stdin/],
      [['disk.img.gz', '--username', 'me'], 64, /for OCI references/],
    ] as const) {
      const result = await cli(world, 'add', 'bad', ...argv);
      assert.equal(result.code, code, result.stderr);
      assert.match(result.stderr, sentence);
    }
  });

  it('keeps a list of mirrors for each image, and refuses what cannot be one', async () => {
    await using world = await startApiWorld();
    await cli(world, 'add', 'a', source);
    const [one, two] = ['http://rack1/library', 'https://store.example.org/a/'];

    assert.match((await cli(world, 'mirror', 'a')).stderr, /no mirrors/);
    assert.equal((await cli(world, 'mirror', 'a', '--add', one, '--add', two)).stdout, `${one}/\n${two}\n`);
    assert.equal((await cli(world, 'mirror', 'a', '--add', one)).stdout, `${one}/\n${two}\n`);
    await cli(world, 'add', 'a', source, '--level', '1');
    assert.equal((await cli(world, 'mirror', 'a', '--remove', one)).stdout, `${two}\n`);
    assert.deepEqual(JSON.parse((await cli(world, 'mirror', 'a', '-o', 'json')).stdout), { items: [two] });
    const refused = await cli(world, 'mirror', 'a', '--add', 'http://me:hunter2@rack1/');
    assert.equal(refused.code, 65);
    assert.match(refused.stderr, /rack1.*user or password/);
    assert.ok(!refused.stderr.includes('hunter2'));
    assert.equal((await cli(world, 'mirror', 'b')).code, 66);
  });

  it('shows who is served images, and who waits', async () => {
    const machine = {
      since: new Date(),
      requests: 5,
      sentBytes: 3 << 20,
      rate: 1 << 20,
      isSlow: false,
      waitedSeconds: 2,
    };
    const machines = [
      { ...machine, address: '10.9.0.1', state: 'served' as const },
      { ...machine, address: '10.9.0.2', state: 'waiting' as const, placeInLine: 1 },
    ];
    const sharing = [{ hardware: 'node-2', digest: 'ab'.repeat(32), frames: 12 }];
    await using world = await startApiWorld({ serving: { machines, sharing } });

    const { stdout, stderr } = await cli(world, 'serving');

    assert.match(stdout, /^10\.9\.0\.1 .*served .*3\.0 MiB .*1\.0 MiB\/s\n10\.9\.0\.2 .*waiting, place 1/m);
    assert.match(stderr, /8 machines at once/);
    assert.match(stderr, /node-2 gives 12 frames of sha256-abababababab/);
    const shown = JSON.parse((await cli(world, 'serving', '-o', 'json')).stdout);
    assert.deepEqual(shown.sharing, sharing);
    assert.deepEqual([shown.streams, shown.machines[1].placeInLine], [8, 1]);
    await using idle = await startApiWorld();
    assert.match((await cli(idle, 'serving')).stderr, /no machine fetches an image/);
  });
});
