import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import { elfFixture } from './elf-fixture.ts';
import { moduleIndexes, selectKernelModules } from './kernel-modules.ts';

/** `elfFixture({ modinfo: ['depends='] })` after `xz --check=crc32 --lzma2=dict=1MiB`, as the kernel's build packs modules. */
const XZ_MODULE =
  '/Td6WFoAAAFpIt42AgAhARAAAACocI6G4AG+AGldAD+RRYRoPYmm22pBc+y6GHf0LjUX2A1lG0H3arHBAJKjL2Kpjg2fjKQb5BkC' +
  'dCDHjvVnXN8ww1BKqNwAz3QMB6u2T2wliXsWiBmF266LCaK5DiSrm0v52Mwk9U0Z2XmbuvGuj75M7VK4AAAAAAASGMzrAAGBAb8D' +
  'AACF2o5sPjANiwIAAAAAAVla';

let directory = '';
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'tinsmith-modules-'));
});
afterEach(async () => {
  await rm(directory, { recursive: true, force: true });
});

async function put(path: string, modinfo: readonly string[], pack = (bytes: Buffer): Buffer => bytes): Promise<void> {
  await mkdir(dirname(join(directory, path)), { recursive: true });
  await writeFile(join(directory, path), pack(elfFixture({ modinfo })));
}

describe('selectKernelModules', () => {
  it('takes along what a module needs, and lists it so that modprobe loads the deepest first', async () => {
    await put('kernel/net.ko', ['depends=failover,virtio']);
    await put('kernel/failover.ko', ['depends=core']);
    await put('kernel/virtio.ko', ['depends=ring,core']);
    await put('kernel/ring.ko', ['depends=']);
    await put('kernel/core.ko', []);
    await put('kernel/other.ko', ['depends=ring']);

    const { modules } = await selectKernelModules(directory, ['net']);

    assert.deepEqual(
      modules.map(({ name }) => name),
      ['core', 'failover', 'net', 'ring', 'virtio'],
    );
    const order = modules.find(({ name }) => name === 'net')?.needs.toReversed() ?? [];
    assert.equal(order.length, 4);
    for (const [before, after] of [
      ['core', 'failover'],
      ['ring', 'virtio'],
      ['core', 'virtio'],
    ]) {
      assert.ok(order.indexOf(before ?? '') < order.indexOf(after ?? ''), order.join(' '));
    }
  });

  it('says which wanted modules are built in and which the kernel lacks', async () => {
    await put('kernel/a.ko', []);
    await writeFile(join(directory, 'modules.builtin'), 'kernel/fs/ext4/ext4.ko\nkernel/drivers/nvme/nvme-core.ko\n');

    const { builtIn, absent } = await selectKernelModules(directory, ['a', 'ext4', 'nvme_core', 'e1000']);

    assert.deepEqual(builtIn, ['ext4', 'nvme_core']);
    assert.deepEqual(absent, ['e1000']);
  });

  it('treats dashes and underscores as the same, as modprobe does', async () => {
    await put('kernel/nls_iso8859-1.ko', []);
    await put('kernel/user.ko', ['depends=nls_iso8859_1']);

    const { modules, absent } = await selectKernelModules(directory, ['nls-iso8859_1', 'user']);

    assert.deepEqual(absent, []);
    assert.deepEqual(
      modules.map(({ path }) => path),
      ['kernel/nls_iso8859-1.ko', 'kernel/user.ko'],
    );
  });

  it('unpacks compressed modules, so that busybox can load them', async () => {
    const plain = elfFixture({ modinfo: ['depends=b'] });
    await put('kernel/a.ko.gz', ['depends=b'], gzipSync);
    await put('kernel/b.ko.zst', ['depends=c'], zstdCompressSync);
    await put('kernel/c.ko.xz', ['depends='], () => Buffer.from(XZ_MODULE, 'base64'));

    const { modules } = await selectKernelModules(directory, ['a']);

    assert.deepEqual(
      modules.map(({ path }) => path),
      ['kernel/a.ko', 'kernel/b.ko', 'kernel/c.ko'],
    );
    assert.ok(modules[0]?.bytes.equals(plain));
    assert.ok(modules[2]?.bytes.equals(elfFixture({ modinfo: ['depends='] })));
  });

  it('names the module that is cut short', async () => {
    await put('kernel/a.ko.xz', [], () => Buffer.from(XZ_MODULE, 'base64').subarray(0, -40));

    await assert.rejects(
      selectKernelModules(directory, ['a']),
      /cannot unpack the kernel module \S+\/kernel\/a\.ko\.xz/,
    );
  });

  it('follows soft dependencies that are there and ignores those that are not', async () => {
    await put('kernel/fs.ko', ['softdep=pre: crc post: missing']);
    await put('kernel/crc.ko', []);

    const { modules } = await selectKernelModules(directory, ['fs']);

    assert.deepEqual(
      modules.map(({ name }) => name),
      ['crc', 'fs'],
    );
  });

  it('ends for modules that need each other', async () => {
    await put('kernel/a.ko', ['depends=b']);
    await put('kernel/b.ko', ['depends=a']);

    const { modules } = await selectKernelModules(directory, ['a']);

    assert.deepEqual(
      modules.map(({ needs }) => needs),
      [['b'], ['a']],
    );
  });

  it('prefers a module of updates/ over the one that came with the kernel', async () => {
    await put('kernel/a.ko', ['alias=old']);
    await put('updates/a.ko', ['alias=new']);

    const { modules } = await selectKernelModules(directory, ['a']);

    assert.deepEqual(
      modules.map(({ path, aliases }) => [path, aliases]),
      [['updates/a.ko', ['new']]],
    );
  });

  it('refuses a module whose needs are missing, a damaged one, and a folder without modules', async () => {
    await assert.rejects(selectKernelModules(directory, ['a']), /holds no \.ko file/);
    await assert.rejects(selectKernelModules(join(directory, 'absent'), ['a']), /no such folder/);
    await put('kernel/a.ko', ['depends=gone']);
    await assert.rejects(selectKernelModules(directory, ['a']), /kernel\/a\.ko: it needs gone, which is missing/);
    await writeFile(join(directory, 'kernel/b.ko'), 'not a module');
    await assert.rejects(selectKernelModules(directory, ['b']), /b\.ko: it is not a 64-bit/);
  });
});

describe('moduleIndexes', () => {
  it('writes what modprobe reads: paths of needs, aliases, one line each', async () => {
    await put('kernel/drivers/net.ko', ['depends=core', 'alias=pci:v1*', 'alias=pci:v2*']);
    await put('kernel/core.ko', []);
    const { modules } = await selectKernelModules(directory, ['net']);

    const indexes = moduleIndexes(modules);

    assert.equal(indexes.get('modules.dep'), 'kernel/core.ko:\nkernel/drivers/net.ko: kernel/core.ko\n');
    assert.equal(indexes.get('modules.alias'), 'alias pci:v1* net\nalias pci:v2* net\n');
  });
});
