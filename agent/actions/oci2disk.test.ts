import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { createServer, get } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import { actionContext } from '#test/support/action-context.ts';
import { diskImage } from '#test/support/disk-image.ts';
import { type OciRegistry, ociRegistry, REGISTRY_USER } from '#test/support/oci-registry.ts';
import { tarFile } from '#test/support/tar-file.ts';
import { type FolderMachine, folderMachine } from '../machine/folder-machine.ts';
import { type ActionRunResult, runActionWithPolicy } from './run-action.ts';

const DISK_BYTES = 16 << 20;
const image = diskImage();
const LOGIN = { REGISTRY_USERNAME: REGISTRY_USER.username, REGISTRY_PASSWORD: REGISTRY_USER.password };

let folder: string;
let machine: FolderMachine;
let lines: string[];

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tinsmith-oci-'));
  machine = folderMachine({ folder, disks: { '/dev/sda': DISK_BYTES } });
  lines = [];
});

afterEach(() => rm(folder, { recursive: true, force: true }));

function perform(registry: OciRegistry, environment: Record<string, string> = {}): Promise<ActionRunResult> {
  return runActionWithPolicy(
    {
      builtIn: 'oci2disk',
      environment: { IMG_URL: `${registry.host}/os/image:raw.gz`, DEST_DISK: '/dev/sda', ...environment },
      command: [],
      timeoutMs: 0,
      retries: 0,
    },
    actionContext(machine, { log: (_stream, text) => lines.push(text) }),
  );
}

/** As `oras push` makes it. */
function putArtefact(registry: OciRegistry, layers: readonly { bytes: Buffer; title?: string }[]): string {
  return registry.putManifest('raw.gz', {
    schemaVersion: 2,
    mediaType: 'application/vnd.oci.image.manifest.v1+json',
    layers: layers.map(({ bytes, title }) => ({
      mediaType: 'application/vnd.oci.image.layer.v1.tar',
      digest: registry.putBlob(bytes),
      size: bytes.length,
      ...(title === undefined ? {} : { annotations: { 'org.opencontainers.image.title': title } }),
    })),
  });
}

async function assertWritten(result: ActionRunResult): Promise<void> {
  assert.equal(result.error, undefined);
  const disk = await readFile(machine.diskFile('/dev/sda'));
  // Behind the first MiB, where the table may have been stretched.
  assert.ok(disk.subarray(1 << 20, image.length - 512 * 34).equals(image.subarray(1 << 20, image.length - 512 * 34)));
  assert.match(machine.journal.at(-1) ?? '', /^reread \/dev\/sda/);
}

async function assertUnbootable(result: ActionRunResult, code: string): Promise<void> {
  assert.equal(result.error?.code, code, result.error?.message);
  const disk = await readFile(machine.diskFile('/dev/sda')).catch(() => Buffer.alloc(512));
  assert.ok(disk.subarray(0, 512).equals(Buffer.alloc(512)));
}

describe('oci2disk', () => {
  it('writes an artefact of one file, however it is compressed', async () => {
    for (const bytes of [image, gzipSync(image), zstdCompressSync(image)]) {
      await using registry = await ociRegistry();
      putArtefact(registry, [{ bytes, title: 'disk' }]);

      await assertWritten(await perform(registry));
    }
  });

  it('takes the one file out of a layer that is a tar file, decompressed twice if need be', async () => {
    for (const content of [image, gzipSync(image)]) {
      const tar = tarFile([
        { name: 'disk/', type: '5' },
        { name: 'disk/x.img', content },
      ]);
      for (const bytes of [tar, gzipSync(tar)]) {
        await using registry = await ociRegistry();
        putArtefact(registry, [{ bytes }]);

        await assertWritten(await perform(registry));
      }
    }
  });

  it('chooses the layer with the title of an image, and the platform of the machine', async () => {
    await using registry = await ociRegistry();
    const manifest = putArtefact(registry, [
      { bytes: Buffer.alloc(DISK_BYTES, 'x'), title: 'README.md' },
      { bytes: gzipSync(image), title: 'debian.raw.gz' },
    ]);
    const other = `sha256:${'0'.repeat(64)}`;
    registry.putManifest('multi', {
      manifests: [
        { digest: other, platform: { os: 'linux', architecture: 's390x' } },
        { digest: manifest, platform: { os: 'linux', architecture: process.arch === 'arm64' ? 'arm64' : 'amd64' } },
      ],
    });

    await assertWritten(await perform(registry, { IMG_URL: `${registry.host}/os/image:multi` }));
    assert.ok(lines.some((line) => line.endsWith('debian.raw.gz')));
  });

  it('logs in with user and password, and with a token that they buy', async () => {
    for (const auth of ['basic', 'bearer'] as const) {
      await using registry = await ociRegistry({ auth });
      putArtefact(registry, [{ bytes: gzipSync(image) }]);

      await assertWritten(await perform(registry, LOGIN));
      const anonymous = await perform(registry);

      assert.equal(anonymous.error?.code, 'download_failed');
      assert.doesNotMatch([anonymous.error?.message, ...lines].join('\n'), /hunter2|token-\d/);
    }
  });

  it('quotes nothing of a token that comes in no JSON or in the wrong place', async () => {
    const answers = [(token: string) => token, (token: string) => JSON.stringify([token])];
    for (const tokenAnswer of answers) {
      await using registry = await ociRegistry({ auth: 'bearer', tokenAnswer });
      putArtefact(registry, [{ bytes: image }]);

      const result = await perform(registry, LOGIN);

      assert.match(result.error?.message ?? '', /it gave no token/);
      assert.doesNotMatch([result.error?.message, ...lines].join('\n'), /token-\d|hunter2/);
    }
  });

  it('buys another token when the first one ends during the download', async () => {
    const step = image.length >> 2;
    await using registry = await ociRegistry({
      auth: 'bearer',
      tokenUses: 2,
      blob: (request, response, bytes) => {
        const start = Number(/\d+/.exec(request.headers.range ?? '')?.[0] ?? 0);
        if (start + step >= bytes.length) return false;
        const range = start === 0 ? {} : { 'content-range': `bytes ${start}-${bytes.length - 1}/${bytes.length}` };
        response.writeHead(start === 0 ? 200 : 206, { 'content-length': bytes.length - start, etag: '"b"', ...range });
        response.write(bytes.subarray(start, start + step), () => response.destroy());
        return true;
      },
    });
    putArtefact(registry, [{ bytes: image }]);

    await assertWritten(await perform(registry, LOGIN));
    assert.ok(registry.requests.filter((request) => request.includes('/token')).length >= 2);
  });

  it('shows its credentials to the registry and not to the storage that it redirects to', async () => {
    await using registry = await ociRegistry({ auth: 'bearer', redirects: true });
    putArtefact(registry, [{ bytes: gzipSync(image) }]);

    await assertWritten(await perform(registry, LOGIN));

    const toStore = registry.requests.filter((request) => request.startsWith('store'));
    assert.equal(toStore.length, 1);
    assert.match(toStore[0] ?? '', / nobody$/);
    assert.ok(registry.requests.some((request) => /^registry \/v2\/os\/image\/blobs\/\S+ Bearer$/.test(request)));
    assert.doesNotMatch(lines.join('\n'), /cafe/);
  });

  it('enforces the digests of manifest and layer', async () => {
    const other = gzipSync(Buffer.concat([image, Buffer.alloc(512)]));
    const swapped = (_: unknown, response: { end(bytes: Buffer): unknown }): boolean => {
      response.end(other);
      return true;
    };
    await using registry = await ociRegistry({ blob: swapped });
    putArtefact(registry, [{ bytes: gzipSync(image) }]);
    await assertUnbootable(await perform(registry), 'checksum_mismatch');

    const digest = `sha256:${'12'.repeat(32)}`;
    registry.putManifest(digest, { layers: [] });
    const pinned = await perform(registry, { IMG_URL: `${registry.host}/os/image@${digest}` });
    assert.equal(pinned.error?.code, 'checksum_mismatch');
    assert.match(pinned.error?.message ?? '', /the manifest .* has the digest/);
  });

  it('never takes a truncated layer for the whole', async () => {
    await using registry = await ociRegistry({
      blob: (_request, response, bytes) => {
        response.writeHead(200, { 'content-length': bytes.length - 1000 });
        response.end(bytes.subarray(0, -1000));
        return true;
      },
    });
    putArtefact(registry, [{ bytes: image }]);

    await assertUnbootable(await perform(registry), 'checksum_mismatch');
  });

  it('refuses layers that hold several files, none, or something else', async () => {
    const file = { name: 'a', content: image };
    for (const [bytes, code] of [
      [tarFile([file, { name: 'b', content: Buffer.from('b') }]), 'corrupt_image'],
      [tarFile([{ name: 'd/', type: '5' }]), 'corrupt_image'],
      [Buffer.concat([Buffer.from('QFI\xfb', 'latin1'), image]), 'corrupt_image'],
      [
        tarFile([{ name: 'x.qcow2', content: Buffer.concat([Buffer.from('QFI\xfb', 'latin1'), image]) }]),
        'corrupt_image',
      ],
    ] as const) {
      await using registry = await ociRegistry();
      putArtefact(registry, [{ bytes }]);

      await assertUnbootable(await perform(registry), code);
    }
  });

  it('says what a registry lacks', async () => {
    await using registry = await ociRegistry();
    registry.putManifest('raw.gz', { schemaVersion: 1, fsLayers: [] });
    registry.putManifest('windows', {
      manifests: ['a', 'b'].map((digit) => ({
        digest: `sha256:${digit.repeat(64)}`,
        platform: { os: 'windows', architecture: 'amd64' },
      })),
    });

    const missing = await perform(registry, { IMG_URL: `${registry.host}/os/image:none` });
    const old = await perform(registry);
    const foreign = await perform(registry, { IMG_URL: `${registry.host}/os/image:windows` });

    assert.match(
      missing.error?.message ?? '',
      /the registry [^ ]+ has no tag "none" in the repository os\/image, or hides it from who is not logged in/,
    );
    assert.deepEqual([old.error?.code, foreign.error?.code], ['unsupported', 'unsupported']);
    assert.match(foreign.error?.message ?? '', /windows\/amd64/);
    assert.deepEqual(machine.journal, []);
  });

  it('goes through the proxy that it is given', async () => {
    await using registry = await ociRegistry();
    putArtefact(registry, [{ bytes: gzipSync(image) }]);
    const asked: string[] = [];
    const proxy = createServer((request, response) => {
      asked.push(request.url ?? '');
      const url = new URL(request.url ?? '');
      get(`http://${registry.host}${url.pathname}`, (answer) => {
        response.writeHead(answer.statusCode ?? 502, answer.headers);
        answer.pipe(response);
      });
    });
    await new Promise<void>((done) => void proxy.listen(0, '127.0.0.1', done));
    try {
      const { port } = proxy.address() as AddressInfo;

      const result = await perform(registry, {
        IMG_URL: 'http://registry.example/os/image:raw.gz',
        HTTP_PROXY: `http://127.0.0.1:${port}`,
      });

      await assertWritten(result);
      assert.equal(asked.length, 2);
      assert.match(asked[0] ?? '', /^http:\/\/registry\.example\/v2\/os\/image\/manifests\/raw\.gz$/);
    } finally {
      proxy.closeAllConnections();
      proxy.close();
    }
  });
});
