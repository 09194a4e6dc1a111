/** What a publisher says about an image, checked on import from the command line. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createHash, generateKeyPairSync, sign } from 'node:crypto';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { gzipSync } from 'node:zlib';
import { type ApiWorld, startApiWorld } from '#test/support/api-world.ts';
import { runCliProcess } from '#test/support/cli-process.ts';
import { diskImage } from '#test/support/disk-image.ts';
import { imageFixture, rangeServer } from '#test/support/disk-image-fixtures.ts';

const FIXTURES = join(import.meta.dirname, '../fixtures/signatures');
const GZ = gzipSync(diskImage(), { level: 1 });
const QCOW2 = imageFixture('zlib.qcow2');
const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const SUMS = [
  `${sum('sha512', GZ)}  disk.img.gz`,
  `${sum('sha512', QCOW2)} *old/node.qcow2`,
  `${'0'.repeat(128)}  tampered.img`,
  '',
].join('\n');
const FILES = {
  'disk.img.gz': GZ,
  'node.qcow2': QCOW2,
  'tampered.img': GZ,
  'unknown.img': GZ,
  SHA512SUMS: Buffer.from(SUMS),
  'SHA512SUMS.sig': cosign(Buffer.from(SUMS)),
  'SHA512SUMS.old.sig': cosign(Buffer.from(`${SUMS}\n`)),
  'disk.img.gz.sig': cosign(GZ),
  'node.qcow2.sig': cosign(QCOW2),
};
let folder: string;

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tinsmith-publisher-'));
  for (const [name, bytes] of Object.entries(FILES)) await writeFile(join(folder, name), bytes);
  await writeFile(join(folder, 'cosign.pub'), publicKey.export({ type: 'spki', format: 'pem' }));
});

after(() => rm(folder, { recursive: true, force: true }));

function sum(algorithm: 'sha256' | 'sha512', bytes: Buffer): string {
  return createHash(algorithm).update(bytes).digest('hex');
}

function cosign(bytes: Buffer): Buffer {
  return Buffer.from(sign('sha256', bytes, privateKey).toString('base64'));
}

async function add(world: ApiWorld, name: string, ...argv: string[]) {
  return runCliProcess(world, ['image', 'add', name, ...argv], { cwd: folder });
}

async function requireEmpty(world: ApiWorld): Promise<void> {
  const library = join(dirname(world.tokenFile), 'library');
  for (const part of ['blobs', 'names', 'incoming']) assert.deepEqual(await readdir(join(library, part)), [], part);
}

describe('an image whose publisher signs', () => {
  it('is imported with a signed list, or with a signature of its own, from files and URLs', async () => {
    await using world = await startApiWorld();
    await using server = await rangeServer(FILES);
    const key = ['--public-key', 'cosign.pub'];
    const list = ['--checksums', 'SHA512SUMS', '--signature', 'SHA512SUMS.sig', ...key];
    const far = ['--checksums', `${server.url}/SHA512SUMS`, '--signature', `${server.url}/SHA512SUMS.sig`, ...key];

    for (const argv of [
      ['disk.img.gz', ...list],
      ['node.qcow2', ...list],
      ['disk.img.gz', '--signature', 'disk.img.gz.sig', ...key],
      ['node.qcow2', '--signature', 'node.qcow2.sig', ...key],
      [`${server.url}/disk.img.gz`, ...far],
      [`${server.url}/node.qcow2`, ...far],
      [`${server.url}/node.qcow2`, '--signature', 'node.qcow2.sig', ...key],
      ['disk.img.gz', '--checksums', 'SHA512SUMS'],
    ]) {
      const added = await add(world, 'image', ...argv);
      assert.equal(added.code, 0, `${argv.join(' ')}: ${added.stderr}`);
    }
  });

  it('is shown with what vouched for it', async () => {
    await using world = await startApiWorld();
    await using server = await rangeServer(FILES);
    const key = ['--public-key', 'cosign.pub'];
    const fingerprint = createHash('sha256')
      .update(publicKey.export({ type: 'spki', format: 'der' }))
      .digest('hex');
    const signature = { kind: 'signature', format: 'cosign', key: fingerprint };
    const list = { kind: 'checksums', from: join(folder, 'SHA512SUMS'), algorithm: 'sha512' };

    for (const [argv, vouchedBy, text] of [
      [[], [], /^vouched for by +nothing$/m],
      [['--sha256', sum('sha256', GZ)], [{ kind: 'sum', of: 'source' }], /^vouched for by +a SHA-256 of the source/m],
      [['--image-sha256', sum('sha256', diskImage())], [{ kind: 'sum', of: 'image' }], /SHA-256 of the image/],
      [['--checksums', 'SHA512SUMS'], [list], /the SHA-512 in the list \S+\/SHA512SUMS$/m],
      [
        [
          '--checksums',
          'SHA512SUMS',
          '--signature',
          `${server.url.replace('//', '//me:secret@')}/SHA512SUMS.sig`,
          ...key,
        ],
        [list, { ...signature, of: 'checksums', from: `${server.url}/SHA512SUMS.sig` }],
        new RegExp(`^ +the cosign signature http\\S+ over that list, by the key ${fingerprint}$`, 'm'),
      ],
      [
        ['--signature', 'disk.img.gz.sig', ...key],
        [{ ...signature, of: 'source', from: join(folder, 'disk.img.gz.sig') }],
        /signature \S+\/disk\.img\.gz\.sig over the source/,
      ],
    ] as const) {
      // The same content again would keep what vouches for it best.
      await runCliProcess(world, ['image', 'remove', 'image']);
      const added = await add(world, 'image', 'disk.img.gz', ...argv);
      assert.equal(added.code, 0, `${argv.join(' ')}: ${added.stderr}`);
      const show = (...more: readonly string[]) =>
        runCliProcess(world, ['image', 'show', 'image', ...more], { cwd: folder });
      assert.deepEqual(JSON.parse((await show('-o', 'json')).stdout).vouchedBy, vouchedBy);
      assert.match((await show()).stdout, text);
    }
  });

  it('is shown as it was imported before that was written down', async () => {
    await using world = await startApiWorld();
    await add(world, 'image', 'disk.img.gz');
    const file = join(dirname(world.tokenFile), 'library', 'names', 'image.json');
    const { vouchedBy, ...older } = JSON.parse(await readFile(file, 'utf8'));
    assert.deepEqual(vouchedBy, []);
    await writeFile(file, JSON.stringify(older));

    const shown = await runCliProcess(world, ['image', 'show', 'image'], { cwd: folder });

    assert.equal(shown.code, 0, shown.stderr);
    assert.match(shown.stdout, /^vouched for by +not recorded/m);
    const verified = await runCliProcess(world, ['image', 'verify', 'image'], { cwd: folder });
    assert.equal(verified.code, 0, verified.stderr);
  });

  it('leaves nothing when the sum, the list or a signature is wrong', async () => {
    await using world = await startApiWorld();
    await using server = await rangeServer(FILES);
    const key = ['--public-key', 'cosign.pub'];

    for (const [argv, code, sentence] of [
      [['tampered.img', '--checksums', 'SHA512SUMS'], 65, /SHA-512 [0-9a-f]+, expected was 0000/],
      [
        ['unknown.img', '--checksums', 'SHA512SUMS'],
        65,
        /no checksum of unknown\.img: it has disk\.img\.gz, old\/node/,
      ],
      [['disk.img.gz', '--checksums', 'SHA512SUMS', '--signature', 'SHA512SUMS.old.sig', ...key], 65, /not right/],
      [['disk.img.gz', '--signature', 'node.qcow2.sig', ...key], 65, /signature is not right/],
      [['node.qcow2', '--signature', 'disk.img.gz.sig', ...key], 65, /signature is not right/],
      [[`${server.url}/node.qcow2`, '--signature', 'disk.img.gz.sig', ...key], 65, /signature is not right/],
      [['disk.img.gz', '--signature', 'disk.img.gz.sig', '--public-key', 'disk.img.gz'], 65, /no key of OpenPGP/],
      [['disk.img.gz', '--signature', 'disk.img.gz.sig'], 64, /--public-key/],
      [['disk.img.gz', ...key], 65, /nothing that is signed/],
      [['disk.img.gz', '--checksums', 'SHA512SUMS', ...key], 65, /nothing that is signed/],
      [['disk.img.gz', '--checksums', 'signed.asc', '--signature', 'signed.asc', ...key], 65, /leave out --signature/],
      [['disk.img.gz', '--checksums', 'nowhere'], 66, /cannot read the checksums \S+nowhere/],
      [['disk.img.gz', '--checksums', `${server.url}/nowhere`], 69, /404/],
      [['oci://127.0.0.1:1/os/image', '--checksums', 'SHA512SUMS'], 65, /OCI reference is no file/],
    ] as const) {
      const result = await add(world, 'bad', ...argv);
      assert.equal(result.code, code, `${argv.join(' ')}: ${result.stderr}`);
      assert.match(result.stderr, sentence);
      await requireEmpty(world);
    }
  });

  it('is not found where its file is missing, whichever file that is', async () => {
    await using world = await startApiWorld();
    const key = ['--public-key', 'cosign.pub'];

    for (const argv of [
      ['none'],
      ['disk.img.gz', '--checksums', 'none'],
      ['disk.img.gz', '--signature', 'none', ...key],
      ['disk.img.gz', '--signature', 'disk.img.gz.sig', '--public-key', 'none'],
    ]) {
      const result = await add(world, 'bad', ...argv);
      assert.equal(result.code, 66, `${argv.join(' ')}: ${result.stderr}`);
      assert.match(result.stderr, /cannot read .*none.*: ENOENT/);
    }
  });

  it('is not waited for when what should vouch for it is a pipe', { timeout: 60_000 }, async () => {
    await using world = await startApiWorld();
    execFileSync('mkfifo', [join(folder, 'pipe')]);
    const key = ['--public-key', 'cosign.pub'];

    for (const argv of [
      ['--checksums', 'pipe'],
      ['--signature', 'pipe', ...key],
      ['--signature', 'disk.img.gz.sig', '--public-key', 'pipe'],
    ]) {
      const result = await add(world, 'bad', 'disk.img.gz', ...argv);
      assert.equal(result.code, 65, `${argv.join(' ')}: ${result.stderr}`);
      assert.match(result.stderr, /pipe: it is a pipe/);
      await requireEmpty(world);
    }
  });

  it('may be named in a list that is signed as Debian, Ubuntu and Fedora do it', async () => {
    await using world = await startApiWorld();
    const list = join(FIXTURES, 'SHA256SUMS');
    const key = ['--public-key', join(FIXTURES, 'release.gpg')];
    const image = Buffer.concat([Buffer.from('an image'), Buffer.alloc(0)]);
    await writeFile(join(folder, 'disk.img'), image);
    assert.match(await readFile(list, 'utf8'), new RegExp(sum('sha256', image)));

    // Its sum is right and only then it is looked at: eight bytes are no disk.
    for (const signed of [
      ['--checksums', list, '--signature', `${list}.gpg`],
      ['--checksums', list, '--signature', `${list}.sign`],
      ['--checksums', `${list}.asc`],
    ]) {
      const added = await add(world, 'eight', 'disk.img', ...signed, ...key);
      assert.match(added.stderr, /it has 8 bytes, no multiple of 512/);
    }
    const other = ['--public-key', join(FIXTURES, 'other.asc')];
    const refused = await add(world, 'eight', 'disk.img', '--checksums', `${list}.asc`, ...other);
    assert.match(refused.stderr, /signature is not right/);
  });
});
