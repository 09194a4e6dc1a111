import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { randomBytes, verify } from 'node:crypto';
import { mkdir, mkdtemp, open, readdir, readFile, rm, stat, truncate, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { promisify } from 'node:util';
import { zstdDecompressSync } from 'node:zlib';
import { FRAME_BYTES } from '#proto/library-index.ts';
import { whyReadOnly } from './cannot-write.ts';
import { BLOB_FILES } from './image-blob.ts';
import { type ImageLibrary, openImageLibrary } from './image-library.ts';
import { NameFiles } from './name-files.ts';

const IMAGE = Buffer.concat([Buffer.alloc(FRAME_BYTES), randomBytes(100 * 512), Buffer.alloc(FRAME_BYTES)]);
const OPTIONS = { source: 'test', level: 1, signal: new AbortController().signal, progress: () => undefined };
const isRoot = process.getuid?.() === 0;
let top: string;
let names = 0;

before(async () => {
  top = await mkdtemp(join(tmpdir(), 'tinsmith-library-'));
});

after(() => rm(top, { recursive: true, force: true }));

async function library(folder = join(top, String(++names))): Promise<{ library: ImageLibrary; folder: string }> {
  const settings = new Map<string, string>();
  const store = {
    setting: async (key: string) => settings.get(key),
    putSetting: async (key: string, value: string) => void settings.set(key, value),
  };
  return { library: await openImageLibrary({ folder, store, clock: () => new Date(0) }), folder };
}

async function damageOf(images: ImageLibrary): Promise<readonly string[]> {
  return (await images.damaged()).map(({ name, fact }) => `${name}: ${fact}`);
}

async function* stream(...pieces: readonly (Buffer | Error)[]): AsyncGenerator<Buffer> {
  for (const piece of pieces) {
    if (piece instanceof Error) throw piece;
    yield await Promise.resolve(piece);
  }
}

describe('the image library', () => {
  it('keeps an image by the digest of its signed index', async () => {
    const { library: images, folder } = await library();

    const added = await images.add('debian-12', stream(IMAGE), OPTIONS);

    const blob = await images.folderOf('debian-12');
    assert.equal(blob, join(folder, 'blobs', `sha256-${added.digest}`));
    assert.equal(await images.folderOf(`sha256-${added.digest}`), blob);
    assert.ok(zstdDecompressSync(await readFile(join(blob ?? '', 'image.zst'))).equals(IMAGE));
    const signature = Buffer.from(await readFile(join(blob ?? '', 'index.sig'), 'latin1'), 'base64');
    assert.ok(verify(null, await readFile(join(blob ?? '', 'index.json')), images.publicKey, signature));
    assert.deepEqual(await images.list(), [added]);
    assert.equal(added.imageBytes, IMAGE.length);
    assert.equal(added.dataBytes, FRAME_BYTES);
  });

  it('takes no name that reads as a digest: machines would get what has that digest', async () => {
    const { library: images } = await library();
    const { digest } = await images.add('debian-12', stream(IMAGE), OPTIONS);

    await assert.rejects(images.add(`sha256-${digest}`, stream(IMAGE), OPTIONS), /cannot be named/);
  });

  it('lists what it has, whatever else lies in its folder', { timeout: 30_000 }, async () => {
    const { library: images, folder } = await library();
    const added = await images.add('debian-12', stream(IMAGE), OPTIONS);
    await writeFile(join(folder, 'names', '._debian-12.json'), 'of another system');

    assert.deepEqual(await images.list(), [added]);
    await assert.rejects(images.show('other'), /it has debian-12/);
  });

  it('names the one that may be meant, and the few of the many that are most like it', async () => {
    const { library: images, folder } = await library();
    await images.add('os-00', stream(IMAGE), OPTIONS);
    const stored = JSON.parse(await readFile(join(folder, 'names', 'os-00.json'), 'utf8'));
    for (let number = 1; number < 30; number++) {
      const name = `os-${String(number).padStart(2, '0')}`;
      await writeFile(join(folder, 'names', `${name}.json`), JSON.stringify({ ...stored, name }));
    }
    await writeFile(join(folder, 'names', 'rescue.json'), 'damaged');

    await assert.rejects(images.show('o-29'), {
      code: 'not_found',
      message: /\(did you mean os-29\?\): it has os-29, os-09, os-19 and 28 more \(tinsmith image list\)$/,
    });
    await assert.rejects(images.show('recsue'), /did you mean rescue/);
  });

  it('lists the others beside names that are damaged, and says of those which file it is and what to do', async () => {
    const { library: images, folder } = await library();
    const added = await images.add('debian-12', stream(IMAGE), OPTIONS);
    const file = (name: string): string => join(folder, 'names', `${name}.json`);
    const stored = JSON.parse(await readFile(file('debian-12'), 'utf8'));
    await writeFile(file('garbage'), 'what is this');
    await writeFile(file('empty'), '');
    await writeFile(file('null'), 'null');
    await writeFile(file('other'), JSON.stringify(stored));
    await writeFile(file('half'), JSON.stringify({ ...stored, name: 'half', digest: 'x' }));
    await mkdir(join(file('folder'), 'deep'), { recursive: true });
    await promisify(execFile)('mkfifo', [file('pipe')]);
    const names = ['empty', 'folder', 'garbage', 'half', 'null', 'other', 'pipe'];

    assert.deepEqual(await images.list(), [added]);
    assert.deepEqual(
      (await images.damaged()).map(({ name }) => name),
      names,
    );
    for (const name of names) {
      const refusal = {
        code: 'corrupt_image',
        message: new RegExp(`image ${name} is damaged.*names/${name}\\.json.*remove`),
      };
      await assert.rejects(images.show(name), refusal);
      await assert.rejects(images.verify(name, OPTIONS), refusal);
      assert.equal(await images.has(name), false);
    }
    assert.equal((await images.verify('debian-12', OPTIONS)).digest, added.digest);

    await images.remove('garbage');
    await images.add('folder', stream(IMAGE), OPTIONS);
    // What a damaged name stood for is kept until somebody says what is to become of the name.
    await assert.rejects(images.gc(), {
      code: 'corrupt_image',
      message: /nothing is deleted: .*image empty is damaged/,
    });
    for (const name of ['empty', 'half', 'null', 'other', 'pipe']) await images.remove(name);
    assert.deepEqual((await images.gc()).digests, []);
    assert.deepEqual(await images.damaged(), []);
    assert.deepEqual((await readdir(join(folder, 'names'))).toSorted(), ['debian-12.json', 'folder.json']);
    assert.equal((await images.verify('folder', OPTIONS)).digest, added.digest);
  });

  it('takes a name for damaged whose file says what cannot be, also where that may be missing', async () => {
    const { library: images, folder } = await library();
    const forUrl = { key: 'a'.repeat(64), shown: 'https://x/d.raw', isPinned: true };
    const facts = { sourceSha256: 'b'.repeat(64), sourceBytes: 5, validator: '"tag"' };
    const added = await images.add('os', stream(IMAGE), { ...OPTIONS, forUrl, sourceFacts: () => facts });
    const file = join(folder, 'names', 'os.json');
    const stored = JSON.parse(await readFile(file, 'utf8'));
    const put = (change: object): Promise<void> => writeFile(file, JSON.stringify({ ...stored, ...change }));

    await put({ ofALaterVersion: true });
    assert.deepEqual(await images.show('os'), { ...added, ofALaterVersion: true });
    for (const [change, wrong] of [
      [{ forUrl: 'https://x/d.raw' }, 'forUrl'],
      [{ forUrl: { ...forUrl, isPinned: 'yes' } }, 'forUrl'],
      [{ sourceSha256: 'b' }, 'sourceSha256'],
      [{ vouchedBy: [{ kind: 'sum', of: 'source' }, { kind: 'signature' }] }, 'vouchedBy'],
      [{ sourceBytes: -1, validator: null }, 'sourceBytes, validator'],
      [{ addedAt: 'yesterday' }, 'addedAt'],
      [{ digest: undefined, imageBytes: 1.5 }, 'digest, imageBytes'],
    ] as const) {
      await put(change);
      const message = new RegExp(`what it says of ${wrong} is missing or wrong, its file ${file}: import it again`);
      await assert.rejects(images.show('os'), { code: 'corrupt_image', message });
    }
  });

  it('says which folder cannot be written and what to do', {
    skip: isRoot ? false : 'only root can mount',
  }, async () => {
    const { library: images, folder } = await library();
    await images.add('debian-12', stream(IMAGE), OPTIONS);
    const run = promisify(execFile);
    await run('mount', ['--bind', folder, folder]);
    try {
      await run('mount', ['-o', 'remount,bind,ro', folder]);
      const refusal = {
        code: 'write_failed',
        message: new RegExp(`library in ${folder}: its file system is read-only: mount`),
      };

      await assert.rejects(images.add('other', stream(IMAGE), OPTIONS), refusal);
      await assert.rejects(images.remove('debian-12'), refusal);
      await assert.rejects(images.mirrors.change('debian-12', { add: ['http://x/'], remove: [] }), refusal);
      await images.verify('debian-12', OPTIONS);
      assert.match((await whyReadOnly((await library(folder)).library.scratch)) ?? '', /read-only: mount/);
    } finally {
      await run('umount', [folder]);
    }
    assert.equal(await whyReadOnly(images.scratch), undefined);
  });

  it('leaves nothing of an import that fails in the middle', async () => {
    const { library: images, folder } = await library();

    await assert.rejects(images.add('half', stream(IMAGE, new Error('cut')), OPTIONS), /cut/);

    assert.deepEqual(await images.list(), []);
    assert.deepEqual(await readdir(join(folder, 'blobs')), []);
    assert.deepEqual(await readdir(join(folder, 'incoming')), []);
  });

  it('removes at its start what a killed server left of an import', async () => {
    const { folder } = await library();
    await mkdir(join(folder, 'incoming', 'half-x'));
    await writeFile(join(folder, 'incoming', 'half-x', 'image.zst'), 'half');

    await library(folder);

    assert.deepEqual(await readdir(join(folder, 'incoming')), []);
  });

  it('refuses an image that is not the expected one', async () => {
    const { library: images } = await library();
    const wrong = { ...OPTIONS, imageSha256: 'ab'.repeat(32) };

    await assert.rejects(images.add('a', stream(IMAGE), wrong), { code: 'checksum_mismatch' });
    assert.deepEqual(await images.list(), []);
  });

  it('gives a name to another image, and deletes the old one only when it is told to', async () => {
    const { library: images, folder } = await library();
    const old = await images.add('a', stream(IMAGE), OPTIONS);
    const now = await images.add('a', stream(IMAGE, Buffer.alloc(512, 1)), OPTIONS);
    assert.notEqual(now.digest, old.digest);
    assert.equal((await readdir(join(folder, 'blobs'))).length, 2);

    const freed = await images.gc();

    assert.deepEqual(freed.digests, [old.digest]);
    assert.ok(freed.bytes > 0);
    assert.deepEqual(await readdir(join(folder, 'blobs')), [`sha256-${now.digest}`]);
  });

  it('adds the same image twice without a second copy', async () => {
    const { library: images, folder } = await library();
    const [one, two] = [await images.add('a', stream(IMAGE), OPTIONS), await images.add('b', stream(IMAGE), OPTIONS)];

    assert.equal(one.digest, two.digest);
    assert.deepEqual(await readdir(join(folder, 'blobs')), [`sha256-${one.digest}`]);
    await images.remove('a');
    assert.deepEqual((await images.gc()).digests, []);
    assert.deepEqual(
      (await images.list()).map(({ name }) => name),
      ['b'],
    );
  });

  it('leaves a name and its files as they are when the same content is added again with no better evidence', async () => {
    const { library: images, folder } = await library();
    const vouchedBy = [{ kind: 'sum', of: 'source' }] as const;
    const first = await images.add('a', stream(IMAGE), {
      ...OPTIONS,
      source: '/disk.raw.xz',
      sourceFacts: () => ({ vouchedBy: [...vouchedBy] }),
    });
    const [blob, record] = [(await images.folderOf('a')) ?? '', join(folder, 'names', 'a.json')];
    const before = await readFile(record, 'utf8');
    for (const file of BLOB_FILES) await utimes(join(blob, file), 1_000_000, 1_000_000);
    const outcomes: string[] = [];

    const again = await images.add('a', stream(IMAGE), {
      ...OPTIONS,
      source: '/disk.raw.zst',
      sourceFacts: () => ({ vouchedBy: [] }),
      outcome: (outcome) => outcomes.push(outcome),
    });

    assert.deepEqual([again, outcomes], [first, ['unchanged']]);
    assert.equal(await readFile(record, 'utf8'), before);
    for (const file of BLOB_FILES) assert.equal((await stat(join(blob, file))).mtimeMs, 1_000_000_000, file);
    await writeFile(join(blob, 'image.zst'), 'damaged');
    await images.add('a', stream(IMAGE), OPTIONS);
    await images.verify('a', OPTIONS);
  });

  it('finds one changed byte', async () => {
    const { library: images } = await library();
    await images.add('a', stream(IMAGE), OPTIONS);
    await images.verify('a', OPTIONS);
    const file = await open(join((await images.folderOf('a')) ?? '', 'image.zst'), 'r+');
    await file.write(Buffer.from([0x55]), 0, 1, 1000);
    await file.close();

    await assert.rejects(images.verify('a', OPTIONS), { code: 'corrupt_image', message: /a is damaged/ });
  });

  it('finds a signature that machines would refuse, also one of another key', async () => {
    const { library: images, folder } = await library();
    const { digest } = await images.add('a', stream(IMAGE), OPTIONS);
    const file = join((await images.folderOf('a')) ?? '', 'index.sig');
    const signature = await readFile(file, 'latin1');
    const flipped = Buffer.from(signature, 'base64');
    flipped[5] = (flipped[5] ?? 0) ^ 1;

    for (const wrong of ['', 'garbage', flipped.toString('base64')]) {
      await writeFile(file, wrong);
      await assert.rejects(images.verify('a', OPTIONS), {
        code: 'corrupt_image',
        message: /signature .* import it again/,
      });
    }
    await writeFile(file, signature);
    await images.verify('a', OPTIONS);
    const { library: reused } = await library(folder);
    await assert.rejects(reused.verify('a', OPTIONS), { code: 'corrupt_image', message: /none of this library’s key/ });
    await reused.add('a', stream(IMAGE), OPTIONS);
    assert.equal((await reused.verify('a', OPTIONS)).digest, digest);
  });

  it('goes on saying what is wrong with an image until it is mended, under all of its names', async () => {
    const { library: images, folder } = await library();
    for (const name of ['a', 'b']) await images.add(name, stream(IMAGE), OPTIONS);
    await images.add('whole', stream(Buffer.alloc(512, 7)), OPTIONS);
    const file = join((await images.folderOf('a')) ?? '', 'image.zst');
    const changed = ['a: bytes of its file have changed', 'b: bytes of its file have changed'];
    const bytes = await readFile(file);
    bytes[1000] = (bytes[1000] ?? 0) ^ 1;
    await writeFile(file, bytes);
    assert.deepEqual(await damageOf(images), []);

    await assert.rejects(images.verify('a', OPTIONS), { code: 'corrupt_image' });
    assert.deepEqual(await damageOf(images), changed);
    assert.equal((await images.damaged())[0]?.file, file);
    // Also the server that is started next.
    const names = new NameFiles(join(folder, 'names'));
    assert.deepEqual(
      (await names.all()).images.map(({ damage }) => damage?.fact),
      [...changed.map((each) => each.slice(3)), undefined],
    );

    bytes[1000] = (bytes[1000] ?? 0) ^ 1;
    await writeFile(file, bytes);
    await images.verify('b', OPTIONS);
    assert.deepEqual(await damageOf(images), []);
    await writeFile(file, 'cut');
    await images.verify('b', OPTIONS).catch(() => undefined);
    const outcomes: string[] = [];
    await images.add('b', stream(IMAGE), { ...OPTIONS, outcome: (outcome) => outcomes.push(outcome) });
    assert.deepEqual([await damageOf(images), outcomes], [[], ['configured']]);
  });

  it('sees by itself what machines refuse: a signature of another key, and files that are missing or cut', async () => {
    const { library: images, folder } = await library();
    await images.add('a', stream(IMAGE), OPTIONS);
    const { library: moved } = await library(folder);
    const blob = (await images.folderOf('a')) ?? '';
    assert.deepEqual(await images.damaged(), []);
    const fact = 'its signature is none of this library’s key, so that machines refuse it';
    assert.deepEqual(await moved.damaged(), [{ name: 'a', file: join(blob, 'index.sig'), fact }]);

    await moved.add('a', stream(IMAGE), OPTIONS);
    assert.deepEqual(await moved.damaged(), []);
    await truncate(join(blob, 'image.zst'), 100);
    assert.match((await moved.damaged())[0]?.fact ?? '', /^its file has 100 of \d+ bytes$/);
    await rm(join(blob, 'image.zst'));
    assert.match((await moved.damaged())[0]?.fact ?? '', /^its image\.zst is missing$/);
  });

  it('finds a name that says other things than its signed index', async () => {
    const { library: images, folder } = await library();
    await images.add('a', stream(IMAGE), OPTIONS);
    const other = await images.add('b', stream(IMAGE, Buffer.alloc(512, 1)), OPTIONS);
    const file = join(folder, 'names', 'a.json');
    const stored = JSON.parse(await readFile(file, 'utf8'));

    for (const change of [{ digest: other.digest }, { imageBytes: 512 }, { imageSha256: 'ab'.repeat(32) }]) {
      await writeFile(file, JSON.stringify({ ...stored, ...change }));
      await assert.rejects(images.verify('a', OPTIONS), {
        code: 'corrupt_image',
        message: /a is damaged: its name says/,
      });
    }
  });

  it('is whole again after an import of what was damaged', async () => {
    const { library: images } = await library();
    const { digest } = await images.add('debian', stream(IMAGE), OPTIONS);
    const blob = (await images.folderOf(`sha256-${digest}`)) ?? '';
    await writeFile(join(blob, 'image.zst'), 'short');
    await rm(join(blob, 'index.json'));
    await assert.rejects(images.verify('debian', OPTIONS), /image debian is damaged: its index.json is missing/);

    await images.add('debian', stream(IMAGE), OPTIONS);

    assert.equal((await images.verify('debian', OPTIONS)).digest, digest);
  });

  it('lets every program read its blobs, so that copies of them can be served', async () => {
    const { library: images } = await library();
    await images.add('debian', stream(IMAGE), OPTIONS);

    assert.equal((await stat((await images.folderOf('debian')) ?? '')).mode & 0o777, 0o755);
  });

  it('says which names there are, and takes none that leads elsewhere', async () => {
    const { library: images } = await library();
    await images.add('debian-12', stream(IMAGE), OPTIONS);

    await assert.rejects(images.show('debian'), { code: 'not_found', message: /it has debian-12/ });
    assert.equal(await images.folderOf('../names'), undefined);
    for (const name of ['', '../x', 'A', 'a/b', '.hidden', 'a'.repeat(129)]) {
      await assert.rejects(images.add(name, stream(IMAGE), OPTIONS), { code: 'invalid_input' });
    }
  });
});
