import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { fetchDebianPackages, parsePackageStanzas, resolveKernelPackage } from './debian-packages.ts';
import { runProgram } from './run-program.ts';

let directory = '';
const path = process.env['PATH'];
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'tinsmith-debs-'));
  await mkdir(join(directory, 'bin'));
  await mkdir(join(directory, 'pool'));
  await writeFile(join(directory, 'index'), '');
  await writeFile(join(directory, 'calls'), '');
  await program('dpkg', 'echo amd64');
  await program('apt-cache', `for name; do :; done; cat ${directory}/index; [ -s ${directory}/index ]`);
  // The last argument is NAME=VERSION; the pool holds NAME.deb.
  await program(
    'apt-get',
    `for last; do :; done; [ "$last" != update ] || exit 0; echo "$last" >>${directory}/calls
    cp "${directory}/pool/\${last%%=*}.deb" .`,
  );
  process.env['PATH'] = `${join(directory, 'bin')}:${path ?? ''}`;
});
afterEach(async () => {
  process.env['PATH'] = path;
  await rm(directory, { recursive: true, force: true });
});

/** A stand-in for one of apt's programs: the tests need no package index and no network. */
async function program(name: string, script: string): Promise<void> {
  await writeFile(join(directory, 'bin', name), `#!/bin/sh\n${script}\n`);
  await chmod(join(directory, 'bin', name), 0o755);
}

/** Makes a real .deb with one file and lists it in the index. */
async function offer(name: string, fields: { depends?: string; sha256?: string } = {}): Promise<void> {
  const tree = join(directory, 'trees', name);
  await mkdir(join(tree, 'DEBIAN'), { recursive: true });
  await mkdir(join(tree, 'usr'));
  await writeFile(join(tree, 'usr', name), `content of ${name}`);
  await writeFile(
    join(tree, 'DEBIAN/control'),
    `Package: ${name}\nVersion: 1:2-3\nArchitecture: amd64\nMaintainer: a <a@b>\nDescription: x\n`,
  );
  const deb = join(directory, 'pool', `${name}.deb`);
  await runProgram(['dpkg-deb', '--root-owner-group', '-b', tree, deb]);
  const found = createHash('sha256')
    .update(await readFile(deb))
    .digest('hex');
  const stanza = `Package: ${name}\nVersion: 1:2-3\nArchitecture: amd64\nDepends: ${fields.depends ?? ''}\nSHA256: ${fields.sha256 ?? found}\n\n`;
  await writeFile(join(directory, 'index'), stanza, { flag: 'a' });
}

const fetch = (...names: string[]): ReturnType<typeof fetchDebianPackages> =>
  fetchDebianPackages({ names, withLibraries: true, architecture: 'amd64', cacheDirectory: join(directory, 'cache') });

describe('fetchDebianPackages', () => {
  it('unpacks a package and the libraries that it needs, also of libraries, and nothing else', async () => {
    await offer('tool', { depends: 'liba1 (>= 1.0) | libx, perl' });
    await offer('liba1', { depends: 'libb2' });
    await offer('libb2', { depends: 'liba1' });
    await offer('perl');

    const packages = await fetch('tool');

    assert.deepEqual(
      packages.map(({ name, version }) => [name, version]),
      [
        ['tool', '1:2-3'],
        ['liba1', '1:2-3'],
        ['libb2', '1:2-3'],
      ],
    );
    assert.equal(await readFile(join(packages[1]?.root ?? '', 'usr/liba1'), 'utf8'), 'content of liba1');
  });

  it('downloads a package once, and leaves nothing half-done beside it', async () => {
    await offer('tool');

    const [first, second] = [await fetch('tool'), await fetch('tool')];

    assert.equal(await readFile(join(directory, 'calls'), 'utf8'), 'tool=1:2-3\n');
    assert.deepEqual(first, second);
    assert.equal((await readdir(join(directory, 'cache/unpacked'))).length, 1);
  });

  it('lets two builds at the same time both end well', async () => {
    await offer('tool');

    const both = await Promise.all([fetch('tool'), runElsewhere()]);

    assert.equal(await readFile(join(both[0][0]?.root ?? '', 'usr/tool'), 'utf8'), 'content of tool');
  });

  it('refuses a package whose bytes are not those of the index, and does not keep it', async () => {
    await offer('tool', { sha256: '0'.repeat(64) });

    await assert.rejects(fetch('tool'), { code: 'checksum_mismatch' });
    assert.deepEqual(await readdir(join(directory, 'cache/unpacked')), []);
  });

  it('names a package that the index does not know', async () => {
    await offer('tool');

    await assert.rejects(fetch('tool', 'gone'), /cannot fetch package gone: the package index does not know it/);
  });
});

/** The same build in another process. */
async function runElsewhere(): Promise<string> {
  const options = { names: ['tool'], architecture: 'amd64', cacheDirectory: join(directory, 'cache') };
  const script = `import { fetchDebianPackages } from ${JSON.stringify(join(import.meta.dirname, 'debian-packages.ts'))};
    await fetchDebianPackages(${JSON.stringify(options)});`;
  return runProgram([process.execPath, '--input-type=module', '-e', script]);
}

describe('resolveKernelPackage', () => {
  it('follows a metapackage to the kernel that it stands for, and takes a kernel for itself', async () => {
    await offer('linux-image-amd64', { depends: 'linux-image-6.1.0-9-amd64 (= 6.1.2-1), linux-base' });
    await offer('linux-image-6.1.0-9-amd64', { depends: 'kmod, linux-base' });
    const options = { architecture: 'amd64', cacheDirectory: join(directory, 'cache') } as const;

    assert.equal(await resolveKernelPackage('linux-image-amd64', options), 'linux-image-6.1.0-9-amd64');
    assert.equal(await resolveKernelPackage('linux-image-6.1.0-9-amd64', options), 'linux-image-6.1.0-9-amd64');
  });
});

describe('parsePackageStanzas', () => {
  it('passes over stanzas without a checksum and over continued lines', () => {
    const text =
      'Package: a\nStatus: install ok installed\nVersion: 1\n\nPackage: a\nVersion: 2\nDescription: x\n SHA256: no\nSHA256: abc\nPre-Depends: libc6\nDepends: b [amd64], c:any | d\n';

    assert.deepEqual(parsePackageStanzas(text), [
      { name: 'a', version: '2', architecture: '', sha256: 'abc', depends: ['libc6', 'b', 'c'] },
    ]);
  });
});
