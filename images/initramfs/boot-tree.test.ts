import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { chmod, mkdir, mkdtemp, rm, symlink, utimes, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import type { UnpackedPackage } from '../packages/debian-packages.ts';
import { runProgram } from '../packages/run-program.ts';
import { bootTools } from './boot-tools.ts';
import { type BootTree, type BootTreeOptions, bootTree } from './boot-tree.ts';
import { writeCpio } from './cpio.ts';
import { elfFixture } from './elf-fixture.ts';

let directory = '';
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'tinsmith-tree-'));
});
afterEach(async () => {
  await rm(directory, { recursive: true, force: true });
});

async function put(path: string, content: Buffer | string): Promise<string> {
  const file = join(directory, path);
  await mkdir(dirname(file), { recursive: true });
  await writeFile(file, content);
  return file;
}

/** Packages with every tool in them; the agent needs libstdc++, and that needs libc. */
async function options(change: Partial<BootTreeOptions> = {}): Promise<BootTreeOptions> {
  const packages: UnpackedPackage[] = [];
  for (const tool of bootTools([])) {
    for (const path of Object.keys(tool.files)) await put(`${tool.package}/${path}`, 'tool');
    packages.push({ name: tool.package, version: '1', sha256: '', root: join(directory, tool.package) });
  }
  const triplet = 'x86_64-linux-gnu';
  await put(
    `libs/usr/lib/${triplet}/libstdc++.so.6.0.30`,
    elfFixture({ needed: ['libc.so.6', 'ld-linux-x86-64.so.2'] }),
  );
  await symlink('libstdc++.so.6.0.30', join(directory, `libs/usr/lib/${triplet}/libstdc++.so.6`)).catch(() => {});
  await put(`libs/lib/${triplet}/libc.so.6`, elfFixture({}));
  await put(`libs/lib/${triplet}/ld-linux-x86-64.so.2`, elfFixture({}));
  packages.push({ name: 'libs', version: '1', sha256: '', root: join(directory, 'libs') });
  packages.push({ name: 'unused', version: '1', sha256: '', root: join(directory, 'unused') });
  const agent = elfFixture({ needed: ['libstdc++.so.6'], interpreter: '/lib64/ld-linux-x86-64.so.2' });
  return {
    packages,
    tools: bootTools([]),
    triplet,
    agentFile: await put('agent', agent),
    kernelRelease: '6.1.0',
    modules: { modules: [], builtIn: ['ext4'], absent: [] },
    addDirectories: [],
    ...change,
  };
}

async function digest({ entries }: BootTree): Promise<string> {
  const hash = createHash('sha256');
  for await (const bytes of writeCpio(entries)) hash.update(bytes);
  return hash.digest('hex');
}

const paths = ({ entries }: BootTree): readonly string[] => entries.map(({ path }) => path);

describe('bootTree', () => {
  it('goes without optional tools when told to, and without no others', async () => {
    const tree = await bootTree(await options({ tools: bootTools(['lvm2', 'nvme-cli']) }));

    assert.equal(paths(tree).includes('usr/sbin/nvme') || paths(tree).includes('usr/sbin/vgcreate'), false);
    assert.equal(paths(tree).includes('usr/sbin/mkfs.xfs'), true);
    assert.throws(() => bootTools(['e2fsprogs']), {
      code: 'invalid_input',
      message: 'cannot leave out e2fsprogs: use one of xfsprogs, btrfs-progs, lvm2, nvme-cli, hdparm, isal, xz-utils',
    });
  });

  it('holds the agent, its libraries and their libraries, and the loader where the agent looks for it', async () => {
    const tree = await bootTree(await options());

    for (const path of [
      'usr/bin/tinsmith-agent',
      'lib/x86_64-linux-gnu/libstdc++.so.6',
      'lib/x86_64-linux-gnu/libc.so.6',
      'lib64/ld-linux-x86-64.so.2',
    ]) {
      assert.ok(paths(tree).includes(path), path);
    }
    assert.ok(!paths(tree).includes('lib/x86_64-linux-gnu/ld-linux-x86-64.so.2'));
    assert.ok(!tree.usedPackages.some(({ name }) => name === 'unused'));
  });

  it('gives the same bytes again, whatever the times of the files', async () => {
    const first = await digest(await bootTree(await options()));
    await utimes(join(directory, 'agent'), 1, 1);
    await utimes(join(directory, 'busybox-static/bin/busybox'), 2_000_000_000, 2_000_000_000);

    assert.equal(await digest(await bootTree(await options())), first);
  });

  it('lays added folders over everything, the last one on top, and makes their parents', async () => {
    const [one, two] = [join(directory, 'one'), join(directory, 'two')];
    await put('one/etc/hosts', 'one');
    await put('one/lib/firmware/bnx2/fw.bin', 'firmware');
    await put('two/etc/hosts', 'second');
    await chmod(join(two, 'etc/hosts'), 0o600);
    await symlink('/etc/hosts', join(two, 'link'));

    const tree = await bootTree(await options({ addDirectories: [one, two] }));

    const hosts = tree.entries.find(({ path }) => path === 'etc/hosts');
    assert.equal(hosts?.kind === 'file' ? hosts.content.sizeBytes : 0, 'second'.length);
    assert.equal(hosts?.mode, 0o600);
    assert.ok(paths(tree).includes('lib/firmware/bnx2/fw.bin'));
    assert.deepEqual(
      tree.entries.find(({ path }) => path === 'link'),
      { kind: 'symlink', path: 'link', mode: 0o777, target: '/etc/hosts' },
    );
    await digest(tree);
  });

  it('names what is missing: a library, a tool, an added folder', async () => {
    const given = await options();
    const agentFile = await put('other', elfFixture({ needed: ['libgone.so.1'] }));
    await assert.rejects(
      bootTree({ ...given, agentFile }),
      /other into the boot environment: no package holds its \S*libgone\.so\.1/,
    );
    await assert.rejects(
      bootTree({ ...given, addDirectories: [join(directory, 'gone')] }),
      /cannot add \S*gone: no such folder/,
    );
    await rm(join(directory, 'kexec-tools'), { recursive: true });
    await assert.rejects(bootTree(given), /kexec-tools holds no sbin\/kexec/);
  });

  it('refuses an added socket, which no archive can hold', async () => {
    await mkdir(join(directory, 'added'));
    const server = createServer().listen(join(directory, 'added/socket'));
    try {
      await assert.rejects(
        bootTree(await options({ addDirectories: [join(directory, 'added')] })),
        /socket: it is neither file, folder nor link/,
      );
    } finally {
      server.close();
    }
  });

  it('ships scripts that a POSIX shell can read', async () => {
    for (const name of ['init', 'init-functions', 'udhcpc-script', 'disk-links']) {
      await runProgram(['sh', '-n', join(import.meta.dirname, name)]);
    }
  });
});
