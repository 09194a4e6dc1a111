import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtempDisposable, open, readdir, readFile, rm, symlink, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { promisify } from 'node:util';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import { TinsmithError } from '#proto/errors.ts';
import { imageFixture, type RangeServerOptions, rangeServer } from '#test/support/disk-image-fixtures.ts';
import { type OciRegistry, ociRegistry, REGISTRY_USER } from '#test/support/oci-registry.ts';
import { tarFile } from '#test/support/tar-file.ts';
import type { SourceFacts } from './image-library.ts';
import { openImageSource, type SourceOptions } from './image-source.ts';
import { packImage } from './pack-image.ts';

const RAW = imageFixture('raw.img');
const FORMATS = [
  'v2.qcow2',
  'v3.qcow2',
  'zlib.qcow2',
  'zstd.qcow2',
  'c512.qcow2',
  'c4k.qcow2',
  'c2m.qcow2',
  'sparse.vmdk',
  'stream.vmdk',
  'dynamic.vhdx',
  'fixed.vhdx',
  'dynamic.vhd',
  'fixed.vhd',
  'dynamic.vdi',
  'static.vdi',
];
const run = promisify(execFile);

interface Imported {
  /** What `zstd -d` makes of the packed file. */
  readonly image: Buffer;
  readonly zeroFrames: number;
  readonly vouchedBy: SourceFacts['vouchedBy'];
}

/** Packs a source as the library does, and unpacks it by the zstd program. */
async function imported(source: string, options: Partial<SourceOptions> = {}): Promise<Imported> {
  await using folder = await mkdtempDisposable(join(tmpdir(), 'tinsmith-source-'));
  const signal = AbortSignal.timeout(30_000);
  const path = join(folder.path, 'image.zst');
  {
    await using file = await open(path, 'w');
    await using opened = await openImageSource(source, { signal, scratch: folder.path, ...options });
    const index = await packImage(opened.image, async (bytes) => void (await file.write(bytes)), {
      level: 1,
      signal,
      progress: () => undefined,
    });
    assert.equal(opened.bytes, opened.totalBytes ?? opened.bytes);
    assert.deepEqual(await readdir(folder.path), ['image.zst']);
    await run('zstd', ['-dq', path, '-o', join(folder.path, 'image')]);
    const image = await readFile(join(folder.path, 'image'));
    assert.equal(createHash('sha256').update(image).digest('hex'), index.imageSha256);
    const zeroFrames = index.frames.filter(({ sums }) => sums === undefined).length;
    return { image, zeroFrames, vouchedBy: opened.facts().vouchedBy };
  }
}

async function importedFile(files: Readonly<Record<string, Buffer>>, options?: Partial<SourceOptions>) {
  await using folder = await mkdtempDisposable(join(tmpdir(), 'tinsmith-source-'));
  for (const [name, bytes] of Object.entries(files)) await writeFile(join(folder.path, name), bytes);
  return await imported(join(folder.path, Object.keys(files)[0] ?? ''), options);
}

async function importedUrl(
  file: Buffer,
  { options, ...server }: RangeServerOptions & { readonly options?: Partial<SourceOptions> } = {},
) {
  await using serving = await rangeServer({ image: file }, server);
  return { ...(await imported(`${serving.url}/image`, options)), requests: serving.requests };
}

/** 64 KiB of nothing, in clusters of 512 bytes. */
function shortQcow2(): Buffer {
  const file = Buffer.alloc(1024);
  file.write('QFI\xfb', 0, 'latin1');
  const [version, clusterBits, virtualBytes, l1Entries, l1Offset, headerBytes] = [3, 9, 64 << 10, 2, 512, 104];
  file.writeUInt32BE(version, 4);
  file.writeUInt32BE(clusterBits, 20);
  file.writeBigUInt64BE(BigInt(virtualBytes), 24);
  file.writeUInt32BE(l1Entries, 36);
  file.writeBigUInt64BE(BigInt(l1Offset), 40);
  file.writeUInt32BE(4, 96);
  file.writeUInt32BE(headerBytes, 100);
  return file;
}

/** VHD rounds the disk up to whole cylinders. */
function isRaw(image: Buffer): boolean {
  return (
    image.subarray(0, RAW.length).equals(RAW) &&
    image.subarray(RAW.length).equals(Buffer.alloc(image.length - RAW.length))
  );
}

function sumOf(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex');
}

describe('an image of zeros', () => {
  it('is told of by its place in the image, step by step', async () => {
    await using folder = await mkdtempDisposable(join(tmpdir(), 'tinsmith-source-'));
    const path = join(folder.path, 'empty.qcow2');
    await writeFile(path, emptyQcow2(1 << 30));
    const signal = AbortSignal.timeout(30_000);
    const told: number[] = [];
    await using source = await openImageSource(path, {
      signal,
      progress: (bytes, totalBytes) => void told.push(bytes / (totalBytes ?? 0)),
    });

    for await (const _ of source.image);

    assert.equal(told.at(-1), 1);
    const steps = told.filter((far) => far > 0 && far < 1);
    assert.ok(steps.length >= 10, `told ${told.length} times`);
    assert.deepEqual(
      steps,
      steps.toSorted((a, b) => a - b),
    );
  });
});

/** Version 2, with a first table of which nothing is in use. */
function emptyQcow2(virtualBytes: number): Buffer {
  const file = Buffer.alloc(2 << 16);
  file.write('QFI\xfb', 0, 'latin1');
  file.writeUInt32BE(2, 4);
  file.writeUInt32BE(16, 20);
  file.writeBigUInt64BE(BigInt(virtualBytes), 24);
  file.writeUInt32BE(Math.ceil(virtualBytes / (8192 * 65_536)), 36);
  file.writeBigUInt64BE(1n << 16n, 40);
  return file;
}

describe('the source of an image', () => {
  for (const name of FORMATS) {
    it(`may be ${name}: a file, behind a URL with ranges or without, checked or not, compressed or not`, async () => {
      const file = imageFixture(name);
      const sha256 = sumOf(file);

      const results = await Promise.all([
        importedFile({ [name]: file }),
        importedFile({ [name]: file }, { sha256 }),
        importedUrl(file),
        importedUrl(file, { options: { sha256 } }),
        importedUrl(file, { ranges: false }),
        importedFile({ [`${name}.gz`]: gzipSync(file, { level: 1 }) }, {}),
        importedUrl(zstdCompressSync(gzipSync(file, { level: 1 }))),
      ]);

      for (const [i, { image }] of results.entries()) assert.ok(isRaw(image), `way ${i}`);
    });
  }

  it('may be a raw image, as it is or compressed', async () => {
    for (const file of [RAW, gzipSync(RAW, { level: 1 }), zstdCompressSync(RAW)]) {
      assert.ok((await importedFile({ image: file }, { sha256: sumOf(file) })).image.equals(RAW));
      assert.ok((await importedUrl(file)).image.equals(RAW));
    }
  });

  it('may be a VMDK descriptor with its data beside it, but not under a sum', async () => {
    const files = { 'flat.vmdk': imageFixture('flat.vmdk'), 'flat-flat.vmdk': RAW };

    assert.ok((await importedFile(files)).image.equals(RAW));
    const sha256 = sumOf(files['flat.vmdk']);
    await assert.rejects(importedFile(files, { sha256 }), { code: 'unsupported', message: /no sum .* covers/ });
    await assert.rejects(importedFile({ 'flat.vmdk': files['flat.vmdk'] }), {
      code: 'not_found',
      message: /flat-flat/,
    });
  });

  it('may name only a regular file that lies beside the VMDK descriptor itself', async () => {
    await using folder = await mkdtempDisposable(join(tmpdir(), 'tinsmith-beside-'));
    const [descriptor, data] = [join(folder.path, 'flat.vmdk'), join(folder.path, 'flat-flat.vmdk')];
    await writeFile(descriptor, imageFixture('flat.vmdk'));

    await writeFile(join(folder.path, 'elsewhere'), RAW);
    await symlink('elsewhere', data);
    await assert.rejects(imported(descriptor), {
      code: 'invalid_input',
      message: `cannot read ${data}, which the image in ${descriptor} names: it is a symbolic link: put a copy of the file there`,
    });
    await rm(data);
    await symlink('nowhere', data);
    await assert.rejects(imported(descriptor), { code: 'invalid_input', message: /it is a symbolic link/ });
    await rm(data);
    await run('mkfifo', [data]);
    await assert.rejects(imported(descriptor), { code: 'invalid_input', message: /flat-flat.* it is no regular file/ });
  });

  it('gives back clusters of zeros as zeros, whatever lies at their place', async () => {
    assert.ok((await importedFile({ image: imageFixture('zeroed.qcow2') })).image.equals(imageFixture('zeroed.raw')));
  });

  it('is read in a few requests, and only where it holds something', async () => {
    const { requests } = await importedUrl(imageFixture('v3.qcow2'));

    assert.ok(requests.length <= 8, requests.join(' '));
  });

  it('is refused when it needs another image', async () => {
    for (const name of ['backing.qcow2', 'external.qcow2', 'extended-l2.qcow2', 'two.vmdk']) {
      await assert.rejects(importedFile({ [name]: imageFixture(name) }), { code: 'unsupported' }, name);
    }
  });

  it('is refused with another sum, in every way that it is read', async () => {
    const file = imageFixture('zlib.qcow2');
    const options = { sha256: sumOf(RAW) };

    for (const attempt of [
      () => importedFile({ image: file }, options),
      () => importedUrl(file, { options }),
      () => importedFile({ image: gzipSync(file) }, options),
      () => importedFile({ image: gzipSync(RAW) }, options),
    ]) {
      await assert.rejects(attempt, { code: 'checksum_mismatch', message: /expected was/ });
    }
  });

  it('is read as it was checked, and not asked for again, however short it is', async () => {
    const file = shortQcow2();

    const { image, requests } = await importedUrl(file, { options: { sha256: sumOf(file) } });

    assert.ok(image.equals(Buffer.alloc(64 << 10)));
    assert.equal(requests.length, 1);
  });

  it('is refused when it is cut short', async () => {
    for (const name of ['zlib.qcow2', 'stream.vmdk', 'dynamic.vhdx', 'dynamic.vhd', 'dynamic.vdi']) {
      const file = imageFixture(name).subarray(0, -200_000);
      await assert.rejects(importedFile({ image: file }), { code: 'corrupt_image' }, name);
      await assert.rejects(importedFile({ image: gzipSync(file) }), { code: 'corrupt_image' }, name);
    }
  });

  it('is refused when somebody writes to it while it is read', async () => {
    await using folder = await mkdtempDisposable(join(tmpdir(), 'tinsmith-source-'));
    for (const bytes of [RAW, imageFixture('v3.qcow2')]) {
      const path = join(folder.path, 'image');
      await writeFile(path, bytes);

      const progress = async (): Promise<void> => utimes(path, 1, 1);

      await assert.rejects(imported(path, { progress: () => void progress() }), {
        code: 'conflict',
        message: /changed while it was read/,
      });
    }
  });

  it('is refused when it is another one from one request to the next', async () => {
    await assert.rejects(importedUrl(imageFixture('v3.qcow2'), { etag: changingTag }), { code: 'download_failed' });
  });

  it('is taken as it comes from a server that calls it encoded, which the error of a wrong sum says', async () => {
    const gz = gzipSync(RAW);
    const server = { contentEncoding: 'gzip' };

    const right = await importedUrl(gz, { ...server, options: { sha256: sumOf(gz) } });
    assert.ok(right.image.subarray(0, RAW.length).equals(RAW));
    await assert.rejects(importedUrl(gz, { ...server, options: { sha256: sumOf(RAW) } }), {
      code: 'checksum_mismatch',
      message:
        /right sum; its server calls it Content-Encoding: gzip, and it was taken as it came: if the server compr/,
    });
  });

  it('is no pipe, device or directory, and nobody waits for its writer', async () => {
    await using folder = await mkdtempDisposable(join(tmpdir(), 'tinsmith-source-'));
    const pipe = join(folder.path, 'pipe');
    await promisify(execFile)('mkfifo', [pipe]);

    for (const [path, message] of [
      [pipe, /cannot read the image .*: it is a pipe, .* to a file/],
      [folder.path, /cannot read the image .*: it is a directory: name the file in it/],
      ['/dev/zero', /cannot read the image .*: it is a character device, .*: name a file/],
    ] as const) {
      const opened = openImageSource(path, { signal: AbortSignal.timeout(30_000) });
      await assert.rejects(opened, { code: 'invalid_input', message });
    }
  });

  it('is no web page, no archive and no path below nowhere', async () => {
    await assert.rejects(importedFile({ image: Buffer.from('<!doctype html><p>404') }), { message: /a web page/ });
    await assert.rejects(importedFile({ image: gzipSync('<html>') }), { message: /a web page/ });
    await assert.rejects(imported('relative.img'), { code: 'invalid_input' });
    await assert.rejects(imported('ftp://host/x'), { code: 'invalid_input' });
    const deep = [1, 2, 3, 4, 5].reduce((file) => gzipSync(file), RAW.subarray(0, 4096));
    await assert.rejects(importedFile({ image: deep }), {
      code: 'corrupt_image',
      message: /wrapped up more than 4 times/,
    });
  });
});

describe('an OCI reference as the source of an image', () => {
  it('may hold a disk image in a tar file in a compressed layer, behind a log-in', async () => {
    await using registry = await ociRegistry({ auth: 'bearer', redirects: true });
    const folder = { name: 'disk/', type: '5' };
    const content = imageFixture('zstd.qcow2');
    putLayer(registry, gzipSync(tarFile([folder, { name: 'disk/node.qcow2', content }])));

    const { image } = await imported(`oci://${registry.host}/os/image:1`, { credentials: REGISTRY_USER });

    assert.ok(image.equals(RAW));
  });

  it('may be named without a scheme, by tag or digest, and hold the image as it is', async () => {
    await using registry = await ociRegistry();
    const digest = putLayer(registry, zstdCompressSync(RAW));

    const [byTag, byDigest] = [
      await imported(`${registry.host}/os/image:1`),
      await imported(`oci+http://${registry.host}/os/image@${digest}`),
    ];

    assert.ok(byTag.image.equals(RAW) && byDigest.image.equals(RAW));
    // A tag is what the registry likes it to be.
    assert.deepEqual(byTag.vouchedBy, []);
    assert.deepEqual(byDigest.vouchedBy, [{ kind: 'digest' }]);
  });

  it('is the image of the architecture that is asked for', async () => {
    await using registry = await ociRegistry();
    const manifests = ['amd64', 'arm64'].map((architecture) => ({
      digest: putLayer(registry, gzipSync(Buffer.alloc(4096, architecture))),
      platform: { os: 'linux', architecture },
    }));
    registry.putManifest('many', { manifests });

    const { image } = await imported(`${registry.host}/os/image:many`, { architecture: 'arm64' });

    assert.ok(image.equals(Buffer.alloc(4096, 'arm64')));
    assert.match(String((await imported(`${registry.host}/os/image:many`)).image.subarray(0, 10)), /^amd64/);
  });

  it('is refused when the layer is not the one that the manifest names', async () => {
    for (const bytes of [RAW, imageFixture('v3.qcow2')]) {
      const other = Buffer.from(bytes);
      other[70_000] = (other[70_000] ?? 0) ^ 1;
      await using registry = await ociRegistry({
        blob: (_request, response) =>
          response.writeHead(200, { 'content-length': other.length }).end(other) !== undefined,
      });
      putLayer(registry, bytes);

      await assert.rejects(imported(`${registry.host}/os/image:1`), { code: 'checksum_mismatch' });
    }
  });

  it('tells no password, wherever somebody wrote it', async () => {
    await using registry = await ociRegistry({ auth: 'basic' });
    putLayer(registry, RAW);
    const source = `oci://${registry.host}/os/image:1`;

    for (const attempt of [
      () => imported(source),
      () => imported(source, { credentials: { username: 'me', password: 'wrong-secret' } }),
      () => imported(`oci://me:wrong-secret@${registry.host}/os/image:1`),
      () => imported(`me:wrong-secret@${registry.host}/os/image:1`),
    ]) {
      const error = await attempt().catch((thrown: unknown) => thrown);
      assert.ok(error instanceof TinsmithError && ['download_failed', 'invalid_input'].includes(error.code));
      assert.doesNotMatch(error.message, /wrong-secret/);
    }
  });
});

describe('a tar file as the source of an image', () => {
  it('gives the one file in it, with its holes', async () => {
    await using folder = await mkdtempDisposable(join(tmpdir(), 'tinsmith-source-'));
    const path = join(folder.path, 'disk.raw');
    {
      await using file = await open(path, 'w');
      await file.write(RAW.subarray(0, 1 << 20), 0, 1 << 20, 3 << 20);
      await file.truncate(20 << 20);
    }
    const tar = join(folder.path, 'disk.tar.gz');
    await run('tar', ['-C', folder.path, '--format=oldgnu', '-Sczf', tar, 'disk.raw']);

    assert.ok((await imported(tar)).image.equals(await readFile(path)));
    const two = tarFile([{ name: 'a', content: RAW.subarray(0, 512) }, { name: 'b' }]);
    await assert.rejects(importedFile({ two }), { code: 'corrupt_image', message: /more than one file/ });
  });
});

function putLayer(registry: OciRegistry, bytes: Buffer): string {
  return registry.putManifest('1', {
    schemaVersion: 2,
    layers: [{ digest: registry.putBlob(bytes), size: bytes.length }],
  });
}

function changingTag(request: number): string {
  return `"v${request < 3 ? 1 : 2}"`;
}
