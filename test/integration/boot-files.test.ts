import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdir, mkdtemp, open, rm, symlink, utimes, writeFile } from 'node:fs/promises';
import { get, type IncomingMessage } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { type BootSite, NOW, startBootSite } from '#test/support/boot-site.ts';

const LIMIT = { timeout: 60_000 };
const MIB = 1024 * 1024;

let folder = '';
const image = Buffer.alloc(5 * MIB + 77);
for (let at = 0; at < image.length; at += 1) image[at] = (at * 31 + (at >> 8)) & 255;

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tinsmith-boot-'));
  for (const name of ['boot', 'ipxe', 'images/deep']) await mkdir(join(folder, name), { recursive: true });
  await writeFile(join(folder, 'boot/vmlinuz'), 'kernel');
  await writeFile(join(folder, 'ipxe/vmlinuz'), 'not this one');
  await writeFile(join(folder, 'ipxe/snponly.efi'), 'loader');
  await writeFile(join(folder, 'images/deep/os.raw'), image);
  await writeFile(join(folder, 'images/empty'), '');
  await writeFile(join(folder, 'secret'), 'secret');
  await mkdir(join(folder, 'images/.git'));
  await writeFile(join(folder, 'images/.git/config'), 'secret');
  await symlink('../secret', join(folder, 'images/link'));
  await symlink('deep/os.raw', join(folder, 'images/alias'));
});

after(() => rm(folder, { recursive: true, force: true }));

function startSite(): Promise<BootSite> {
  return startBootSite({
    bootFolders: [join(folder, 'boot'), join(folder, 'ipxe')],
    imagesFolder: join(folder, 'images'),
  });
}

describe('files over HTTP', () => {
  it('serves boot files from the first folder that has them, images and the CA certificate', LIMIT, async () => {
    await using site = await startSite();
    const text = async (path: string): Promise<string> => (await fetch(`${site.url}${path}`)).text();

    assert.equal(await text('/boot/vmlinuz'), 'kernel');
    assert.equal(await text('/boot/snponly.efi'), 'loader');
    assert.equal(await text('/images/empty'), '');
    assert.deepEqual(
      Buffer.from(await (await fetch(`${site.url}/ca.der`)).arrayBuffer()),
      Buffer.from([0x30, 0x82, 0]),
    );
    assert.deepEqual(Buffer.from(await (await fetch(`${site.url}/images/alias`)).arrayBuffer()), image);
  });

  it('serves ranges whose bytes and headers are right across read borders', LIMIT, async () => {
    await using site = await startSite();
    for (const [from, to] of [
      [0, 0],
      [MIB - 1, MIB],
      [MIB, 3 * MIB + 5],
      [5 * MIB, image.length - 1],
    ] as const) {
      const response = await fetch(`${site.url}/images/deep/os.raw`, { headers: { range: `bytes=${from}-${to}` } });

      assert.equal(response.status, 206);
      assert.equal(response.headers.get('content-range'), `bytes ${from}-${to}/${image.length}`);
      assert.deepEqual(Buffer.from(await response.arrayBuffer()), image.subarray(from, to + 1));
    }
  });

  it('answers HEAD with size and tag, and past the end with 416', LIMIT, async () => {
    await using site = await startSite();
    const head = await fetch(`${site.url}/images/deep/os.raw`, { method: 'HEAD' });
    const past = await fetch(`${site.url}/images/deep/os.raw`, { headers: { range: `bytes=${image.length}-` } });

    const ranged = { method: 'HEAD', headers: { range: 'bytes=5-9' } };
    const headOfRange = await fetch(`${site.url}/images/deep/os.raw`, ranged);
    for (const { status, headers } of [head, headOfRange]) {
      assert.deepEqual([status, headers.get('content-length')], [200, String(image.length)]);
    }
    assert.match(head.headers.get('etag') ?? '', /^"[^"]+"$/);
    assert.deepEqual([past.status, past.headers.get('content-range')], [416, `bytes */${image.length}`]);
  });

  it('changes the tag with every write, also one of the same length with its time set back', LIMIT, async () => {
    await using site = await startSite();
    const path = join(folder, 'images/tagged');
    const tag = async (): Promise<string | null> =>
      (await fetch(`${site.url}/images/tagged`, { method: 'HEAD' })).headers.get('etag');
    const tags = new Set<string | null>();
    for (const content of ['aaaa', 'bbbb', 'cccc', 'dddd']) {
      await writeFile(path, content);
      await utimes(path, NOW, NOW);
      tags.add(await tag());
    }

    assert.equal(tags.size, 4);
    assert.equal(await tag(), await tag());
  });

  it('joins nothing to a file that was replaced in the meantime', LIMIT, async () => {
    await using site = await startSite();
    const path = join(folder, 'images/replaced');
    await writeFile(path, 'old old');
    const etag = (await fetch(`${site.url}/images/replaced`)).headers.get('etag') ?? '';
    await writeFile(path, 'new new');

    const response = await fetch(`${site.url}/images/replaced`, { headers: { range: 'bytes=4-', 'if-range': etag } });

    assert.deepEqual([response.status, await response.text()], [200, 'new new']);
  });

  for (const path of [
    '/images/link',
    '/images/../secret',
    '/images/.git/config',
    '/images/%2egit/config',
    '/images/%2e%2e/secret',
    '/images/..%2fsecret',
    '/images/deep/..%2f..%2fsecret',
    '/images/%00',
    '/images/deep',
    '/images/',
    '/boot//etc/passwd',
    '/images/missing',
  ]) {
    it(`serves nothing for ${path}`, LIMIT, async () => {
      await using site = await startSite();
      const response = await rawGet(`${site.url}${path}`);

      assert.ok([400, 404].includes(response.statusCode ?? 0), String(response.statusCode));
    });
  }

  it('tells the log once, and no machine, which link keeps a file from being served', LIMIT, async () => {
    const images = join(folder, 'linked');
    await mkdir(join(images, 'deep'), { recursive: true });
    await symlink('deep', join(images, 'inside'));
    await symlink(folder, join(images, 'deep/out'));
    await symlink('/nowhere/os.raw', join(images, 'gone.raw'));
    await using site = await startBootSite({ imagesFolder: images });
    const told = (): Record<string, unknown>[] =>
      site.log.map((line) => JSON.parse(line)).filter(({ msg }) => msg === 'boot.linkNotServed');

    for (const path of ['inside/out/secret', 'deep/out/secret', 'inside/out/images/empty', 'gone.raw', 'gone.raw']) {
      const response = await fetch(`${site.url}/images/${path}`);
      assert.deepEqual([response.status, await response.text()], [404, `there is no file ${path} here\n`]);
    }
    for (const path of ['missing', 'inside/missing', 'deep']) await fetch(`${site.url}/images/${path}`);

    assert.deepEqual(
      told().map(({ level, link, target }) => [level, link, target]),
      [
        [40, join(images, 'inside/out'), folder],
        [40, join(images, 'deep/out'), folder],
        [40, join(images, 'gone.raw'), '/nowhere/os.raw'],
      ],
    );
    assert.match(
      String(told()[0]?.['reason']),
      /^it leads out of .*linked, and nothing outside of that is served: put/,
    );
    assert.match(String(told()[2]?.['reason']), /^it cannot be followed \(ENOENT\)/);
  });

  it('says in one form that there is nothing', LIMIT, async () => {
    await using site = await startSite();
    for (const path of [
      '/library/none/index.json',
      '/library/none',
      '/library/none/a/b?token=x',
      '/library/',
      '/nothing',
    ]) {
      const response = await fetch(`${site.url}${path}`);

      assert.deepEqual(
        [response.status, response.headers.get('content-type')],
        [404, 'text/plain; charset=utf-8'],
        path,
      );
      assert.match(
        await response.text(),
        /^(the library has no none\/index\.json|there is nothing at GET "[^?]+" here)\n$/,
      );
    }
  });

  it('says that files are only read', LIMIT, async () => {
    await using site = await startSite();

    const response = await fetch(`${site.url}/images/deep/os.raw`, { method: 'PUT', body: 'x' });

    assert.deepEqual([response.status, response.headers.get('allow')], [405, 'GET, HEAD']);
  });

  it('cuts the connection when the file is changed while it is sent', LIMIT, async () => {
    await using site = await startSite();
    const path = join(folder, 'images/changing');
    await writeFile(path, Buffer.alloc(64 * MIB, 1));
    const request = get(`${site.url}/images/changing`);
    const [response] = (await once(request, 'response')) as [IncomingMessage];
    response.pause();
    await using file = await open(path, 'r+');
    await file.write(Buffer.alloc(MIB, 2), 0, MIB, 60 * MIB);

    await assert.rejects(drain(response), /aborted|ECONNRESET/);
  });

  it('reads no further when the client has gone, and serves the next one', LIMIT, async () => {
    await using site = await startSite();
    for (let round = 0; round < 5; round += 1) {
      const request = get(`${site.url}/images/deep/os.raw`);
      const [response] = (await once(request, 'response')) as [IncomingMessage];
      response.on('error', () => undefined);
      request.destroy();
    }

    assert.deepEqual(Buffer.from(await (await fetch(`${site.url}/images/deep/os.raw`)).arrayBuffer()), image);
  });

  it('stops at once in the middle of a download', LIMIT, async () => {
    const site = await startSite();
    const path = join(folder, 'images/large');
    await writeFile(path, Buffer.alloc(64 * MIB, 1));
    const request = get(`${site.url}/images/large`);
    const [response] = (await once(request, 'response')) as [IncomingMessage];
    response.pause();

    await site[Symbol.asyncDispose]();

    await assert.rejects(drain(response), /aborted|ECONNRESET/);
  });
});

/** Without the path normalisation that fetch does. */
async function rawGet(url: string): Promise<IncomingMessage> {
  const { hostname, port, origin } = new URL(url);
  const request = get({ host: hostname, port, path: url.slice(origin.length) });
  const [response] = (await once(request, 'response')) as [IncomingMessage];
  response.resume();
  await once(response, 'end');
  return response;
}

async function drain(response: IncomingMessage): Promise<void> {
  response.resume();
  await once(response, 'end');
}
