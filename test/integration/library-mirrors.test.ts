/** Images from mirrors: plain file servers with a copy of the library's blobs, none of which is trusted. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { renameSync, rmSync } from 'node:fs';
import { mkdtemp, readFile, rm, truncate } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { folderMachine } from '#agent/machine/folder-machine.ts';
import {
  type LibraryEvents,
  type LibraryWritten,
  writeLibraryImage,
} from '#agent/write/library/write-library-image.ts';
import { TinsmithError } from '#proto/errors.ts';
import { FRAME_BYTES } from '#proto/library-index.ts';
import { diskImage } from '#test/support/disk-image.ts';
import {
  addImage,
  type LibrarySite,
  type MirrorTrouble,
  type StaticMirror,
  startLibrarySite,
  startStaticMirror,
} from '#test/support/library-site.ts';

const LIMIT = { timeout: 90_000 };
const MIB = 1 << 20;
const FRAMES = 10;
const TIMING = { answerMs: 10_000, stallMs: 5000, firstPauseMs: 5, longestPauseMs: 50 };
const image = makeImage();
let folder: string;
let disks = 0;

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tinsmith-mirrors-'));
});

after(() => rm(folder, { recursive: true, force: true }));

/** Most of it cannot be compressed, so that the packed file is long. */
function makeImage(): Buffer {
  const whole = Buffer.concat([diskImage(), Buffer.alloc(FRAMES * FRAME_BYTES - diskImage().length)]);
  for (let frame = 2; frame < FRAMES; frame += 1) randomBytes(FRAME_BYTES / 2).copy(whole, frame * FRAME_BYTES);
  return whole;
}

async function install(
  site: LibrarySite,
  events: Partial<LibraryEvents> = {},
): Promise<{ written: LibraryWritten; disk: Buffer; log: readonly string[] }> {
  disks += 1;
  const machine = folderMachine({ folder: join(folder, String(disks)), disks: { '/dev/sda': image.length + 4 * MIB } });
  const log: string[] = [];
  const { signal } = new AbortController();
  await using disk = await machine.openDisk('/dev/sda', { signal });
  const written = await writeLibraryImage(
    disk,
    {
      image: 'os',
      mirrors: [new URL('library/', site.url)],
      publicKey: site.library.publicKey,
      proxy: {},
      retryForMs: 30_000,
      timing: TIMING,
    },
    { signal, log: (text) => log.push(text), progress: () => undefined, ...events },
  );
  return { written, disk: await readFile(machine.diskFile('/dev/sda')), log };
}

function assertHolds(disk: Buffer): void {
  assert.ok(disk.subarray(MIB, image.length).equals(image.subarray(MIB)), 'the disk holds the image');
}

async function siteWithImage(): Promise<LibrarySite & { readonly blobs: string }> {
  const site = await startLibrarySite();
  await addImage(site.library, 'os', image);
  return { ...site, blobs: join(site.folder, 'library', 'blobs') };
}

async function useMirrors(site: LibrarySite, mirrors: readonly Pick<StaticMirror, 'url'>[]): Promise<void> {
  await site.library.mirrors.change('os', { add: mirrors.map(({ url }) => url), remove: [] });
}

const flips: MirrorTrouble = (bytes, response) => {
  bytes[bytes.length >> 1] = ((bytes[bytes.length >> 1] ?? 0) + 1) & 0xff;
  response.end(bytes);
  return true;
};
/** Half of an answer, and then nothing any more: as if it lost its power. */
const dies: MirrorTrouble = (bytes, response, request, server) => {
  if (request < 2) return false;
  server.close();
  response.write(bytes.subarray(0, bytes.length >> 1), () => response.destroy());
  return true;
};
const trickles: MirrorTrouble = (bytes, response) => {
  let at = 0;
  const timer = setInterval(() => response.write(bytes.subarray(at, (at += 1000))), 20);
  response.on('close', () => clearInterval(timer));
  return true;
};

describe('library images from mirrors', () => {
  it('costs the server next to nothing, though one mirror dies and another sends flipped bits', LIMIT, async () => {
    await using site = await siteWithImage();
    await using dying = await startStaticMirror(site.blobs, dies);
    await using flipping = await startStaticMirror(site.blobs, flips);
    await using plain = await startStaticMirror(site.blobs);
    await useMirrors(site, [dying, flipping, plain]);

    const { disk, written } = await install(site);

    assertHolds(disk);
    assert.ok(dying.requests.length >= 2 && flipping.requests.length >= 1 && plain.requests.length >= 1);
    assert.ok(written.receivedBytes > 16 * MIB, String(written.receivedBytes));
    assert.ok(site.sentBytes() < 64 * 1024, `the server sent ${site.sentBytes()} bytes`);
  });

  it('asks the server itself when every mirror is cut, stale, empty or too slow', LIMIT, async () => {
    await using site = await siteWithImage();
    await using cut = await startStaticMirror(site.blobs);
    const { digest } = await site.library.show('os');
    await truncate(join(cut.folder, `sha256-${digest}`, 'image.zst'), 5000);
    await using empty = await startStaticMirror(site.blobs);
    await rm(join(empty.folder, `sha256-${digest}`), { recursive: true });
    await using slow = await startStaticMirror(site.blobs, trickles);
    await useMirrors(site, [cut, empty, slow, { url: 'http://127.0.0.1:1/nobody/' }]);

    const { disk, log } = await install(site);

    assertHolds(disk);
    assert.ok(site.sentBytes() > 16 * MIB, `the server sent ${site.sentBytes()} bytes`);
    assert.ok(log.some((line) => /answered 404.*next mirror/.test(line)));
    assert.ok(
      log.some((line) => /only \d+ KiB\/s.*next mirror/.test(line)),
      log.join('\n'),
    );
  });

  it('gives up soon when the server and all mirrors have deleted the image', LIMIT, async () => {
    await using site = await siteWithImage();
    const { digest } = await site.library.show('os');
    const blob = `sha256-${digest}`;
    // The first frame is read alone; then the image goes everywhere.
    await using mirror = await startStaticMirror(site.blobs, (_bytes, _response, request) => {
      if (request === 1)
        for (const blobs of [site.blobs, mirror.folder]) rmSync(join(blobs, blob), { recursive: true });
      return false;
    });
    await useMirrors(site, [mirror]);

    const error = await install(site).catch((thrown: unknown) => TinsmithError.from(thrown));

    assert.ok(error instanceof TinsmithError);
    const sentence = `was deleted while it was written: the server and its mirror answered 404 for ${blob} for 1 s: add it`;
    assert.ok(error.message.includes(sentence), error.message);
  });

  it('waits for a server that has the image again', LIMIT, async () => {
    await using site = await siteWithImage();
    const { digest } = await site.library.show('os');
    const blob = join(site.blobs, `sha256-${digest}`);
    const log: string[] = [];
    const says = (text: string): void => {
      // As often as it is asked within the pauses of 100 ms that are borne.
      if (log.push(text) === 2) renameSync(`${blob}-away`, blob);
    };
    let frames = 0;
    const onFrame = (): void => {
      if ((frames += 1) === 1) renameSync(blob, `${blob}-away`);
    };

    const { disk } = await install(site, { log: says, progress: onFrame });

    assertHolds(disk);
    assert.match(log[0] ?? '', /answered 404 .*asked again/);
  });

  it('keeps the list when the name gets another image, and drops it with the name', LIMIT, async () => {
    await using site = await siteWithImage();
    await useMirrors(site, [{ url: 'http://rack1/library' }]);
    await addImage(site.library, 'os', image.subarray(0, 5 * MIB));
    await site.library.gc();
    const list = async (name: string) => (await fetch(new URL(`library/${name}/mirrors.json`, site.url))).json();
    const { digest } = await site.library.show('os');

    assert.deepEqual(await list('os'), { mirrors: ['http://rack1/library/'] });
    assert.deepEqual(await list(`sha256-${digest}`), { mirrors: ['http://rack1/library/'] });
    await site.library.remove('os');
    await addImage(site.library, 'os', image.subarray(0, 5 * MIB));
    assert.deepEqual(await list('os'), { mirrors: [] });
    assert.equal((await fetch(new URL('library/other/mirrors.json', site.url))).status, 404);
  });
});

async function head(site: LibrarySite, path: string): Promise<Headers> {
  return (await fetch(new URL(`library/${path}`, site.url), { method: 'HEAD' })).headers;
}

describe('library images over HTTP', () => {
  it('names the content, not the file: two servers with one image give the same tag', LIMIT, async () => {
    await using one = await siteWithImage();
    await using other = await siteWithImage();
    const { digest } = await one.library.show('os');

    for (const site of [one, other]) {
      const byDigest = await head(site, `sha256-${digest}/image.zst`);
      assert.equal(byDigest.get('etag'), `"sha256-${digest}"`);
      assert.match(byDigest.get('cache-control') ?? '', /immutable/);
      const byName = await head(site, 'os/image.zst');
      assert.deepEqual([byName.get('etag'), byName.get('cache-control')], [`"sha256-${digest}"`, 'no-cache']);
    }
    // Their keys differ, and so do their signatures.
    assert.notEqual((await head(one, 'os/index.sig')).get('etag'), (await head(other, 'os/index.sig')).get('etag'));
  });

  it('joins ranges of one image by its tag, and of no other', LIMIT, async () => {
    await using site = await siteWithImage();
    const { digest, fileBytes } = await site.library.show('os');
    const ask = (range: string, tag: string) =>
      fetch(new URL('library/os/image.zst', site.url), { headers: { range, 'if-range': tag } });
    const file = await readFile(join(site.blobs, `sha256-${digest}`, 'image.zst'));

    const part = await ask('bytes=1048570-3145740', `"sha256-${digest}"`);
    assert.equal(part.status, 206);
    assert.deepEqual(Buffer.from(await part.arrayBuffer()), file.subarray(1048570, 3145741));
    const whole = await ask('bytes=5-', `"sha256-${'0'.repeat(64)}"`);
    assert.deepEqual([whole.status, (await whole.arrayBuffer()).byteLength], [200, fileBytes]);
    const several = await ask('bytes=0-1,5-6', `"sha256-${digest}"`);
    assert.deepEqual([several.status, (await several.arrayBuffer()).byteLength], [200, fileBytes]);
    const past = await ask(`bytes=${fileBytes}-`, `"sha256-${digest}"`);
    assert.deepEqual([past.status, past.headers.get('content-range')], [416, `bytes */${fileBytes}`]);
  });
});
