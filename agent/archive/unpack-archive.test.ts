import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, readdir, readFile, readlink, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { promisify } from 'node:util';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import { archive2disk } from '#proto/actions/archive2disk.ts';
import { TinsmithError } from '#proto/errors.ts';
import { type Answer, cutAfter, hostileServer, status, wholeFile } from '#test/support/hostile-server.ts';
import { paxRecord, type TarFileEntry, tarFile } from '#test/support/tar-file.ts';
import { treeListing } from '#test/support/tree-listing.ts';
import { type FolderMachine, folderMachine } from '../machine/folder-machine.ts';
import { unpackArchive } from './unpack-archive.ts';

const run = promisify(execFile);
const MIB = 1 << 20;
const isRoot = process.getuid?.() === 0;
const hasAttributes = await run('setfattr', ['--version']).then(
  () => true,
  () => false,
);
const needsRoot = { skip: !isRoot && 'owners and devices need root' };
const needsAttributes = { skip: !(isRoot && hasAttributes) && 'attributes need root and setfattr' };
const TIMING = { answerMs: 5000, stallMs: 500, firstPauseMs: 5, longestPauseMs: 20 };
const OPEN = { INSECURE_NO_TARFILE_CHECKSUM_VERIFICATION: 'true' };

let folder: string;
let machine: FolderMachine;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tinsmith-archive-'));
  machine = folderMachine({ folder, disks: {}, fileSystems: { '/dev/sda1': 'vfat' } });
});

afterEach(() => rm(folder, { recursive: true, force: true }));

function target(path = ''): string {
  return join(machine.folderOf('/dev/sda2'), path);
}

async function put(path: string, content: string): Promise<void> {
  await mkdir(dirname(target(path)), { recursive: true });
  await writeFile(target(path), content);
}

interface Run {
  readonly answers?: readonly Answer[];
  readonly environment?: Readonly<Record<string, string>>;
  readonly device?: string;
}

/** Serves `file`, and unpacks it as the action would. The error, or undefined. */
async function unpack(file: Buffer, { answers = [wholeFile], environment = OPEN, device = '/dev/sda2' }: Run = {}) {
  await using server = await hostileServer(file, answers);
  const signal = new AbortController().signal;
  const params = archive2disk.parse(
    {
      ARCHIVE_URL: server.url,
      ARCHIVE_TYPE: 'TARGZ',
      DEST_DISK: device,
      FS_TYPE: 'ext4',
      DEST_PATH: '/',
      ...environment,
    },
    [],
  );
  const root = await machine.mount(device, undefined, { signal });
  try {
    await unpackArchive(
      root,
      { ...params, timing: TIMING },
      { signal, log: () => undefined, progress: () => undefined },
    );
    return undefined;
  } catch (thrown) {
    if (thrown instanceof TinsmithError) return thrown;
    throw thrown;
  }
}

function sum(algorithm: string, bytes: Buffer): string {
  return `${algorithm}:${createHash(algorithm).update(bytes).digest('hex')}`;
}

/** A tree with one of everything, made by programs that people use. */
async function sampleTree(): Promise<string> {
  const tree = join(folder, 'tree');
  const script = `set -e; umask 022; mkdir -p tree/etc/deep/er tree/bin tree/empty tree/dev; cd tree
    printf hello >etc/plain; chmod 0640 etc/plain; : >etc/nothing; printf x >'etc/with  spaces and "quotes"'
    printf l1 >$(printf 'etc/latin-\\351'); printf u >etc/ünïcode; printf n >"$(printf 'etc/new\\nline')"
    printf tool >bin/setuid; printf tool >bin/setgid; head -c 3000000 /dev/urandom >bin/large
    ln etc/plain bin/hard; ln etc/plain etc/deep/hard-too; ln -s /etc/plain etc/absolute; ln -s ../etc/plain bin/relative
    ln -s nowhere bin/dangling; ln -s ${'l'.repeat(150)} bin/long-target
    mkdir -p ${'d'.repeat(60)}/${'e'.repeat(60)}/${'f'.repeat(60)}; printf deep >${'d'.repeat(60)}/${'e'.repeat(60)}/${'f'.repeat(60)}/${'g'.repeat(120)}
    truncate -s 5M etc/sparse; printf start | dd of=etc/sparse conv=notrunc status=none
    printf middle | dd of=etc/sparse bs=1M seek=3 conv=notrunc status=none
    truncate -s 2M etc/all-hole
    chmod 1777 empty; chmod 0500 etc/deep/er`;
  await run('bash', ['-c', script], { cwd: folder });
  if (isRoot) {
    const nodes = `set -e; cd tree; mknod dev/null c 1 3; mknod dev/loop b 7 300; mkfifo dev/pipe; chmod 0666 dev/null
      chown 1234:5678 etc/plain bin; chown -h 99:98 etc/absolute; chown 3000000:3000001 etc/nothing; chown 12:34 bin/set*`;
    await run('bash', ['-c', nodes], { cwd: folder });
  }
  // Half a microsecond: what Node can set and what tar sets are the same microsecond then.
  const last = `cd tree; find . -exec touch -h -d '2022-02-02 02:02:02.123456500 UTC' {} +; chmod 4755 bin/setuid; chmod 2755 bin/setgid; touch -d '1969-12-31 10:00 UTC' etc/nothing
    touch -d '2001-02-03 04:05:06.789012345 UTC' etc/plain; touch -h -d '2010-01-01 UTC' etc/absolute bin/dangling
    touch -d '2040-01-01 UTC' bin/large; touch -d '1999-09-09 09:09:09 UTC' etc/deep etc bin empty .`;
  const attributes = `cd tree; setfattr -n user.note -v 'a "note"' etc/plain; setfattr -n user.empty etc/plain
    setfattr -n security.capability -v 0x0100000200040000000000000000000000000000 bin/large
    setfattr -n security.selinux -v 'system_u:object_r:etc_t:s0' etc/nothing || :
    setfattr -h -n trusted.link -v x etc/absolute; setfattr -n user.on-a-directory -v y etc/deep
    setfattr -n system.posix_acl_default -v 0x0200000001000700ffffffff02000500e803000004000500ffffffff10000500ffffffff20000500ffffffff empty
    setfattr -n system.posix_acl_access -v 0x0200000001000600ffffffff02000400e803000004000400ffffffff10000400ffffffff20000000ffffffff etc/nothing`;
  if (isRoot && hasAttributes) await run('bash', ['-c', attributes], { cwd: folder });
  await run('bash', ['-c', last], { cwd: folder });
  return tree;
}

/** As everybody who installs a system from an archive unpacks it. */
async function realTar(archive: string): Promise<readonly string[]> {
  const place = await mkdtemp(join(folder, 'real-'));
  await run('tar', ['-xpf', archive, '-C', place, '--numeric-owner', '--xattrs', '--xattrs-include=*']);
  const listing = await treeListing(place);
  await rm(place, { recursive: true });
  return listing;
}

describe('an unpacked archive', () => {
  const everything = ['--numeric-owner', '--xattrs', '--xattrs-include=*'];
  for (const [name, options] of [
    ['pax', ['--format=posix', ...everything]],
    ['pax with sparse files 1.0', ['--format=posix', '--sparse', ...everything]],
    ['pax with sparse files 0.1', ['--format=posix', '--sparse', '--sparse-version=0.1', ...everything]],
    ['pax with sparse files 0.0', ['--format=posix', '--sparse', '--sparse-version=0.0', ...everything]],
    ['GNU', ['--format=gnu', '--numeric-owner']],
    ['GNU with sparse files', ['--format=gnu', '--sparse', '--numeric-owner']],
    ['old GNU', ['--format=oldgnu', '--sparse', '--numeric-owner']],
    ['ustar', ['--format=ustar', '--exclude=*long-target*', '--exclude=ddd*', '--exclude=nothing', '--numeric-owner']],
    ['v7', ['--format=v7', '--exclude=*long-target*', '--exclude=ddd*', '--exclude=./dev', '--exclude=nothing']],
  ] as const) {
    it(`of ${name} by GNU tar is what tar itself makes of it`, needsRoot, async () => {
      const tree = await sampleTree();
      await run('tar', ['-cf', join(folder, 'a.tar'), ...options, '-C', tree, '.']);
      const file = await readFile(join(folder, 'a.tar'));

      const error = await unpack(file, { environment: { TARFILE_CHECKSUM: sum('sha256', file) } });

      assert.equal(error, undefined);
      const listing = await treeListing(target());
      assert.deepEqual(listing, await realTar(join(folder, 'a.tar')));
      assert.ok(listing.length > 20);
    });
  }

  for (const [name, format] of [
    ['pax', 'PAX_FORMAT'],
    ['GNU', 'GNU_FORMAT'],
  ] as const) {
    it(`of ${name} by Python is what tar makes of it`, needsRoot, async () => {
      const tree = await sampleTree();
      const script = `import tarfile,sys\nt=tarfile.open(sys.argv[1],'w',format=tarfile.${format})\nt.add(sys.argv[2],arcname='.')\nt.close()`;
      await run('python3', ['-c', script, join(folder, 'a.tar'), tree]);
      const file = await readFile(join(folder, 'a.tar'));

      assert.equal(await unpack(file, { environment: { TARFILE_CHECKSUM: sum('sha512', file) } }), undefined);
      assert.deepEqual(await treeListing(target()), await realTar(join(folder, 'a.tar')));
    });
  }

  it('gives attributes to the file that had them, and not to what replaces it', needsAttributes, async () => {
    const note = { name: 'x', type: 'x', content: Buffer.from(paxRecord('SCHILY.xattr.user.note', 'of-the-first')) };
    const entries = [
      { name: 'other', content: Buffer.from('o') },
      ...['a', 'b', 'c'].flatMap((name) => [note, { name, content: Buffer.from(name) }]),
      { name: 'c-too', type: '1', linkName: 'c' },
      { name: 'a', type: '2', linkName: 'other' },
      { name: 'b', type: '1', linkName: 'other' },
      { name: 'c', content: Buffer.from('new') },
    ];

    assert.equal(await unpack(tarFile(entries)), undefined);

    const { stdout } = await run('getfattr', ['-Rd', '--absolute-names', '.'], { cwd: target() });
    assert.equal(stdout.trim(), '# file: ./c-too\nuser.note="of-the-first"');
    assert.equal(await readFile(target('c'), 'utf8'), 'new');
  });

  it('keeps the holes of sparse files', async () => {
    const tree = await sampleTree();
    await run('tar', ['-cf', join(folder, 'a.tar'), '--format=posix', '--sparse', '-C', tree, 'etc/sparse']);

    assert.equal(await unpack(await readFile(join(folder, 'a.tar'))), undefined);

    const about = await stat(target('etc/sparse'));
    assert.equal(about.size, 5 * MIB);
    assert.ok(about.blocks * 512 < MIB);
  });

  it('may be compressed in any way, whatever its type says', async () => {
    const file = tarFile([{ name: 'a', content: Buffer.alloc(100_000, 'x') }]);
    const packed = join(folder, 'a.tar');
    await writeFile(packed, file);
    const others = await Promise.all(
      [['xz'], ['bzip2']].map(([program = '']) => run(program, ['-kc', packed], { encoding: 'buffer' })),
    );
    for (const bytes of [file, gzipSync(file), zstdCompressSync(file), ...others.map(({ stdout }) => stdout)]) {
      await rm(target('a'), { force: true });
      const environment = { TARFILE_CHECKSUM: sum('sha384', file) };

      assert.equal(await unpack(bytes, { environment, answers: [cutAfter(Math.ceil(bytes.length / 3))] }), undefined);
      assert.equal((await stat(target('a'))).size, 100_000);
    }
  });

  it('replaces files, keeps what it does not name, and goes through links of the target that stay inside', async () => {
    await put('etc/old', 'old');
    await put('etc/kept', 'kept');
    await put('usr/lib/there', 'there');
    await symlink('usr/lib', target('lib'));
    await symlink(join(folder, 'outside'), target('etc/link'));
    await mkdir(join(folder, 'outside'));
    const entries: TarFileEntry[] = [
      { name: 'etc/', type: '5', mode: 0o711 },
      { name: 'etc/old', content: Buffer.from('new') },
      { name: 'etc/link', content: Buffer.from('a file now') },
      { name: 'lib/', type: '5', mode: 0o755 },
      { name: 'lib/module', content: Buffer.from('m') },
      { name: '/absolute', content: Buffer.from('a') },
    ];

    assert.equal(await unpack(tarFile(entries)), undefined);

    assert.equal(await readFile(target('etc/old'), 'utf8'), 'new');
    assert.equal(await readFile(target('etc/kept'), 'utf8'), 'kept');
    assert.equal(await readFile(target('etc/link'), 'utf8'), 'a file now');
    assert.equal((await stat(target('etc'))).mode & 0o7777, 0o711);
    assert.equal(await readlink(target('lib')), 'usr/lib');
    assert.deepEqual(await readdir(target('usr/lib')), ['module', 'there']);
    assert.deepEqual((await readdir(target())).toSorted(), ['absolute', 'etc', 'lib', 'usr']);
    assert.deepEqual(await readdir(join(folder, 'outside')), []);
  });

  it('goes below a directory that does not exist yet', async () => {
    const file = tarFile([{ name: 'x', content: Buffer.from('1') }]);

    assert.equal(await unpack(file, { environment: { ...OPEN, DEST_PATH: '/opt/a/b' } }), undefined);

    assert.equal(await readFile(target('opt/a/b/x'), 'utf8'), '1');
    assert.deepEqual(await readdir(target()), ['opt']);
  });

  it('leaves owners, modes and attributes out where the file system has none', async () => {
    const file = tarFile([{ name: 'EFI/x', content: Buffer.from('1'), mode: 0o777 }]);

    assert.equal(await unpack(file, { device: '/dev/sda1' }), undefined);
    assert.equal(await readFile(join(machine.folderOf('/dev/sda1'), 'EFI/x'), 'utf8'), '1');
  });
});

/** Without the root itself, whose time tells that something was there for a while. */
async function contentListing(): Promise<readonly string[]> {
  return (await treeListing(target())).slice(1);
}

function outside(): string {
  return join(folder, 'outside');
}

async function assertUntouched(work: () => Promise<TinsmithError | undefined>, code: string): Promise<string> {
  await put('etc/a', 'before');
  const before = await contentListing();
  const error = await work();
  assert.equal(error?.code, code, error?.message);
  assert.deepEqual(await contentListing(), before);
  return error?.message ?? '';
}

describe('an archive that is not right', () => {
  const good = tarFile([
    { name: 'etc/a', content: Buffer.alloc(5000, 'a') },
    { name: 'etc/b', content: Buffer.from('b') },
  ]);

  it('changes nothing when its checksum is wrong, also when only what pads it differs', async () => {
    const environment = { TARFILE_CHECKSUM: sum('sha256', good) };
    const padded = Buffer.concat([good, Buffer.alloc(10_240)]);
    const bent = Buffer.from(good);
    bent[600] = 0x62;

    for (const file of [padded, bent, gzipSync(bent)]) {
      await assertUntouched(() => unpack(file, { environment }), 'checksum_mismatch');
    }
  });

  it('changes nothing when it is cut, wherever', async () => {
    for (const bytes of [good.length - 10_200, 6600, 5632 + 512 + 512, 5632, 5000, 512, 100, 0]) {
      const file = good.subarray(0, bytes);

      await assertUntouched(() => unpack(file), 'corrupt_image');
      await assertUntouched(() => unpack(gzipSync(good).subarray(0, -9)), 'corrupt_image');
    }
  });

  it('changes nothing when it is no tar file or does not come', async () => {
    await assertUntouched(() => unpack(Buffer.from('<html>'.repeat(200))), 'corrupt_image');
    await assertUntouched(() => unpack(good, { answers: [status(404)] }), 'download_failed');
  });

  for (const [what, entries] of Object.entries({
    'goes up': [{ name: '../../outside/x' }],
    'goes up in the middle': [{ name: 'a/../../../outside/x' }],
    'writes through a link that goes up': [{ name: 'a', type: '2', linkName: '../../../outside' }, { name: 'a/x' }],
    'hard-links a file outside': [{ name: 'a', type: '1', linkName: '../../outside/secret' }],
    'hard-links a file that it does not hold': [{ name: 'a', type: '1', linkName: 'etc/a' }],
    'goes in circles': [
      { name: 'a', type: '2', linkName: 'b' },
      { name: 'b', type: '2', linkName: 'a' },
      { name: 'a/x' },
    ],
    'has a file for a directory': [{ name: 'a' }, { name: 'a/b' }],
    'has an unknown type': [{ name: 'a', type: 'Z' }],
    'is a file where the target has a directory': [{ name: 'etc' }],
  } satisfies Record<string, TarFileEntry[]>)) {
    it(`changes nothing when it ${what}`, async () => {
      await mkdir(outside());
      await writeFile(join(outside(), 'secret'), 's');

      const error = await (async () => {
        await put('etc/a', 'before');
        const before = await contentListing();
        const found = await unpack(tarFile(entries), { environment: { ...OPEN, DEST_PATH: '/' } });
        if (found !== undefined) assert.deepEqual(await contentListing(), before);
        return found;
      })();

      // From the target's root a link upwards leads to the root again, as in a chroot: that one stays inside.
      if (what === 'writes through a link that goes up') assert.ok((await stat(target('outside/x'))).isFile());
      else assert.match(String(error?.code), /corrupt_image|write_failed/);
      assert.deepEqual(await readdir(outside()), ['secret']);
    });
  }

  it('does not leave its destination through links', async () => {
    for (const linkName of ['/etc', '../../../../etc', '/', '../etc']) {
      const entries = [{ name: 'sub/l', type: '2', linkName }, { name: 'sub/l/a' }];

      const work = (): Promise<TinsmithError | undefined> =>
        unpack(tarFile(entries), { environment: { ...OPEN, DEST_PATH: '/srv' } });
      if (linkName === '../etc') {
        assert.equal(await work(), undefined);
        assert.ok((await stat(target('srv/etc/a'))).isFile());
      } else assert.match(await assertUntouched(work, 'corrupt_image'), /leads out of the destination/);
    }
  });

  it('never writes into a file through a link of the same name', async () => {
    await mkdir(outside());
    await writeFile(join(outside(), 'secret'), 's');
    const entries = [
      { name: 'x', type: '2', linkName: join(outside(), 'secret') },
      { name: 'x', content: Buffer.from('evil') },
    ];

    assert.equal(await unpack(tarFile(entries)), undefined);

    assert.equal(await readFile(join(outside(), 'secret'), 'utf8'), 's');
    assert.equal(await readFile(target('x'), 'utf8'), 'evil');
  });

  it('finds and removes what an interrupted one left behind', async () => {
    await put('.tinsmith-archive-0123456789ab/etc/a', 'half');

    assert.equal(await unpack(good), undefined);

    assert.deepEqual(await readdir(target()), ['etc']);
  });
});
