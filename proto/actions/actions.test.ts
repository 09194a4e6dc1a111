import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { TinsmithError } from '../errors.ts';
import { actionNameOf, catalog } from './catalog.ts';
import type { ActionDeclaration } from './declaration.ts';
import type { OciReference } from './oci-reference.ts';

const IMAGE = { IMG_URL: 'http://192.0.2.1:8080/ubuntu.raw.gz?X-Signature=abc', DEST_DISK: '/dev/sda' };
const FILE = {
  DEST_DISK: '/dev/sda2',
  FS_TYPE: 'ext4',
  DEST_PATH: '/etc/x',
  UID: '0',
  GID: '0',
  MODE: '0644',
  DIRMODE: '0755',
};
const EXEC = { BLOCK_DEVICE: '/dev/sda2', FS_TYPE: 'ext4' };

function refusal(
  declaration: ActionDeclaration<unknown>,
  environment: Record<string, string>,
  command: string[] = [],
): string {
  try {
    declaration.parse(environment, command);
  } catch (thrown) {
    assert.ok(thrown instanceof TinsmithError && thrown.code === 'invalid_params');
    return thrown.message;
  }
  return assert.fail(`${JSON.stringify(environment)} was accepted`);
}

describe('image2disk parameters', () => {
  it('accepts what EKS Anywhere sets, with a query string behind the suffix', () => {
    const params = catalog.image2disk.parse({ ...IMAGE, COMPRESSED: 'true' }, []);

    assert.deepEqual(params.image, { url: IMAGE.IMG_URL });
    assert.equal(params.retryForMs, 600_000);
    assert.equal(params.progressEveryMs, 3000);
  });

  it('knows images of the library by their name', () => {
    const parse = (url: string) => catalog.image2disk.parse({ ...IMAGE, IMG_URL: url }, []).image;

    assert.deepEqual(parse('library:debian-12'), { library: 'debian-12' });
    assert.match(refusal(catalog.image2disk, { ...IMAGE, IMG_URL: 'library:../x' }), /library:debian-12/);
  });

  it('takes a progress interval of 0, on which the published action panics, for the default', () => {
    for (const action of [catalog.image2disk, catalog.oci2disk, catalog.qemuimg2disk]) {
      const image = { ...IMAGE, IMG_URL: 'http://registry.example/os' };
      const parse = (seconds: string) => action.parse({ ...image, PROGRESS_INTERVAL_SECONDS: seconds }, []);

      assert.equal(parse('0').progressEveryMs, 3000);
      assert.equal(parse('7').progressEveryMs, 7000);
      assert.throws(() => parse('-1'), {
        message: 'PROGRESS_INTERVAL_SECONDS is "-1": use an integer from 0 to 1000000',
      });
    }
  });

  it('names the variable, the value and the fix', () => {
    assert.match(
      refusal(catalog.image2disk, { ...IMAGE, COMPRESSED: 'yes' }),
      /COMPRESSED is "yes": use true or false/,
    );
    assert.match(refusal(catalog.image2disk, { ...IMAGE, DEST_DISK: 'sda' }), /DEST_DISK is "sda"/);
    assert.match(refusal(catalog.image2disk, { ...IMAGE, DEST_DISK: '/dev/../etc/passwd' }), /DEST_DISK/);
    assert.match(refusal(catalog.image2disk, { ...IMAGE, IMG_URL: 'ftp://x/y' }), /IMG_URL/);
    assert.match(refusal(catalog.image2disk, { ...IMAGE, IMG_SHA256: 'abc' }), /64 hexadecimal/);
    assert.match(refusal(catalog.image2disk, { DEST_DISK: '/dev/sda' }), /IMG_URL is not set/);
  });

  it('says what is wrong with a proxy, and never repeats its password', () => {
    const fix = 'use http://host:port (the proxy itself is spoken to in plain HTTP)';
    for (const [name, value, fact] of [
      ['HTTP_PROXY', 'socks5://me:secret@proxy', 'is a socks5 URL'],
      ['https_proxy', 'HTTPS://me:secret@proxy:1', 'is an https URL'],
      ['HTTPS_PROXY', 'secret://proxy', 'is no URL of a proxy'],
      ['http_proxy', 'me:secret@pro xy', 'is no URL of a proxy'],
    ] as const) {
      assert.equal(refusal(catalog.image2disk, { ...IMAGE, [name]: value }), `${name} ${fact}: ${fix}`);
    }
  });

  it('prefers the lower-case proxy variable, as curl and Go do', () => {
    const { proxy } = catalog.image2disk.parse(
      { ...IMAGE, HTTP_PROXY: 'http://a:1', http_proxy: 'b:2', NO_PROXY: '.x' },
      [],
    );

    assert.deepEqual(proxy, { http: 'http://b:2/', except: '.x' });
  });
});

describe('writefile parameters', () => {
  it('keeps setuid, setgid and sticky, which the published action loses', () => {
    assert.equal(catalog.writefile.parse({ ...FILE, CONTENTS: '', MODE: '4755' }, []).mode, 0o4755);
  });

  it('takes empty contents for an empty file, and for nothing beside another source', () => {
    assert.deepEqual(catalog.writefile.parse({ ...FILE, CONTENTS: '' }, []).content, { from: 'text', text: '' });
    const both = catalog.writefile.parse({ ...FILE, CONTENTS: '', BOOTCONFIG_CONTENTS: 'kernel {}' }, []);
    assert.deepEqual(both.content, { from: 'bootconfig', text: 'kernel {}' });
  });

  it('takes exactly one source', () => {
    assert.match(refusal(catalog.writefile, FILE), /no content/);
    assert.match(refusal(catalog.writefile, { ...FILE, CONTENTS: 'a', HEGEL_URLS: 'http://x' }), /2 contents/);
  });

  it('reads the lists and durations of EKS Anywhere', () => {
    const params = catalog.writefile.parse(
      { ...FILE, HEGEL_URLS: ' http://a:7172, http://b:7172,', DHCP_TIMEOUT: '1m30s' },
      [],
    );

    assert.deepEqual(params.content, { from: 'metadata', urls: ['http://a:7172', 'http://b:7172'] });
    assert.match(refusal(catalog.writefile, { ...FILE, CONTENTS: 'x', DHCP_TIMEOUT: '90' }), /DHCP_TIMEOUT/);
  });

  it('refuses paths that leave the file system or name no file', () => {
    for (const path of ['etc/x', '/etc/../../x', '/', '/etc/', '/a\0b']) {
      assert.match(refusal(catalog.writefile, { ...FILE, CONTENTS: 'x', DEST_PATH: path }), /DEST_PATH/);
    }
    assert.equal(catalog.writefile.parse({ ...FILE, CONTENTS: 'x', DEST_PATH: '//etc/./x' }, []).path, '/etc/x');
  });

  it('refuses owners and modes that are none', () => {
    for (const [name, value] of [
      ['UID', 'root'],
      ['UID', ''],
      ['GID', '-1'],
      ['MODE', '0888'],
      ['MODE', '77777'],
      ['DIRMODE', 'rwx'],
    ] as const) {
      assert.match(refusal(catalog.writefile, { ...FILE, CONTENTS: 'x', [name]: value }), new RegExp(name));
    }
  });
});

describe('archive2disk parameters', () => {
  const archive = { ARCHIVE_URL: 'http://x/a.tgz', DEST_DISK: '/dev/sda2', FS_TYPE: 'ext4', DEST_PATH: '/' };
  const sha512 = `sha512:${'Ab'.repeat(64)}`;

  it('takes the sums that are published, and none only when that is asked for', () => {
    const given = catalog.archive2disk.parse({ ...archive, ARCHIVE_TYPE: 'TarGZ', TARFILE_CHECKSUM: sha512 }, []);
    const waived = { ...archive, INSECURE_NO_TARFILE_CHECKSUM_VERIFICATION: 'true' };

    assert.deepEqual(given.checksum, { algorithm: 'sha512', hex: 'ab'.repeat(64) });
    assert.equal(given.retryForMs, 300_000);
    assert.equal(catalog.archive2disk.parse(waived, []).checksum, undefined);
    assert.match(refusal(catalog.archive2disk, archive), /TARFILE_CHECKSUM is not set/);
    assert.match(refusal(catalog.archive2disk, { ...archive, TARFILE_CHECKSUM: 'sha256:abc' }), /TARFILE_CHECKSUM/);
    assert.match(refusal(catalog.archive2disk, { ...archive, TARFILE_CHECKSUM: 'md5:abc' }), /use sha256/);
  });

  it('refuses types that it cannot unpack and places outside', () => {
    const sum = { ...archive, TARFILE_CHECKSUM: sha512 };

    assert.match(refusal(catalog.archive2disk, { ...sum, ARCHIVE_TYPE: 'zip' }), /ARCHIVE_TYPE is "zip"/);
    assert.match(refusal(catalog.archive2disk, { ...sum, DEST_PATH: '/a/../..' }), /DEST_PATH/);
    assert.match(refusal(catalog.archive2disk, { ...sum, DEST_PATH: 'opt' }), /DEST_PATH/);
    assert.match(refusal(catalog.archive2disk, { ...sum, ARCHIVE_URL: 'file:///x' }), /ARCHIVE_URL/);
  });
});

function parse(reference: string): OciReference {
  return catalog.oci2disk.parse({ IMG_URL: reference, DEST_DISK: '/dev/sda' }, []).image;
}

describe('oci2disk parameters', () => {
  const digest = `sha256:${'ab'.repeat(32)}`;

  it('reads references as docker and oras do', () => {
    const hub = 'https://registry-1.docker.io';

    assert.deepEqual(parse('debian'), { origin: hub, repository: 'library/debian', version: { tag: 'latest' } });
    assert.deepEqual(parse('me/os:raw.gz'), { origin: hub, repository: 'me/os', version: { tag: 'raw.gz' } });
    assert.deepEqual(parse(`r.example:5000/a/b:1@${digest}`), {
      origin: 'https://r.example:5000',
      repository: 'a/b',
      version: { digest },
    });
    assert.equal(parse('localhost:5000/a').origin, 'http://localhost:5000');
    assert.equal(parse('http://r.example/a').origin, 'http://r.example');
    assert.equal(parse('https://localhost/a').origin, 'https://localhost');
  });

  it('refuses what no registry has, and half a user', () => {
    for (const bad of ['', 'UPPER/case', 'r.example/a:b c', 'r.example/a@sha256:12', 'r.example/', 'ftp://x/y']) {
      assert.match(refusal(catalog.oci2disk, { IMG_URL: bad, DEST_DISK: '/dev/sda' }), /IMG_URL/);
    }
    const half = { IMG_URL: 'a/b', DEST_DISK: '/dev/sda', REGISTRY_PASSWORD: 'hunter2' };
    const sentence = refusal(catalog.oci2disk, half);
    assert.match(sentence, /REGISTRY_USERNAME is not set/);
    assert.doesNotMatch(sentence, /hunter2/);
  });
});

describe('slurp parameters', () => {
  const disk = { SOURCE_DISK: '/dev/sda', DEST_URL: 'http://x:7171/slurp', IMG_NAME: 'a.raw' };

  it('compresses as it was published, or as it is told', () => {
    const compression = (more: Record<string, string>) => catalog.slurp.parse({ ...disk, ...more }, []).compression;

    assert.deepEqual(
      [{}, { COMPRESSED: 'true' }, { COMPRESSION: 'zstd' }, { COMPRESSED: 'true', COMPRESSION: 'none' }].map(
        compression,
      ),
      ['none', 'gzip', 'zstd', 'none'],
    );
    assert.match(refusal(catalog.slurp, { ...disk, COMPRESSION: 'lz4' }), /COMPRESSION is "lz4"/);
  });

  it('sends files by plain names only', () => {
    for (const name of ['', '../x', 'a/b', '.hidden', 'x'.repeat(300)]) {
      assert.match(refusal(catalog.slurp, { ...disk, IMG_NAME: name }), /IMG_NAME/);
    }
  });
});

describe('boot loader parameters', () => {
  it('name a disk and a partition', () => {
    const grub = { GRUB_INSTALL_PATH: '/dev/sda2', GRUB_DISK: '/dev/sda' };
    const syslinux = { DEST_DISK: '/dev/sda', DEST_PARTITION: '/dev/sda1' };

    assert.deepEqual(catalog.grub2disk.parse(grub, []), { disk: '/dev/sda', device: '/dev/sda2' });
    assert.equal(catalog.syslinux.parse({ ...syslinux, SYSLINUX_VERSION: '3.86' }, []).version, '3.86');
    assert.match(refusal(catalog.grub2disk, { GRUB_DISK: '/dev/sda' }), /GRUB_INSTALL_PATH is not set/);
    assert.match(refusal(catalog.syslinux, { ...syslinux, DEST_PARTITION: '/dev/sda' }), /DEST_PARTITION/);
    assert.match(refusal(catalog.syslinux, { ...syslinux, SYSLINUX_VERSION: 'new' }), /SYSLINUX_VERSION/);
  });
});

describe('cexec parameters', () => {
  it('splits at semicolons and spaces without choking on doubled or trailing ones', () => {
    const { commands } = catalog.cexec.parse({ ...EXEC, CMD_LINE: 'grub-install  /dev/sda; update-grub ;' }, []);

    assert.deepEqual(commands, [['grub-install', '/dev/sda'], ['update-grub']]);
  });

  it('hands the whole line to an interpreter', () => {
    const { commands } = catalog.cexec.parse(
      { ...EXEC, CMD_LINE: 'a && b; c "d e"', DEFAULT_INTERPRETER: '/bin/sh -c' },
      [],
    );

    assert.deepEqual(commands, [['/bin/sh', '-c', 'a && b; c "d e"']]);
  });

  it('knows both spellings of JSON_OUTPUT and what a CHROOT that says no means', () => {
    const environment = { ...EXEC, CMD_LINE: 'x', JSON_OUTOUT: 'false', JSON_OUTPUT: 'true' };
    const parse = (chroot: string): boolean => catalog.cexec.parse({ ...environment, CHROOT: chroot }, []).chroot;

    assert.deepEqual(['y', 'true', 'yes please', '', 'false', 'no'].map(parse), [
      true,
      true,
      true,
      false,
      false,
      false,
    ]);
  });

  it('gives other variables to the commands, and its own not', () => {
    const { environment } = catalog.cexec.parse({ ...EXEC, CMD_LINE: 'x', LANG: 'C' }, []);

    assert.deepEqual(environment, { LANG: 'C' });
  });
});

describe('rootio parameters', () => {
  const storage = {
    disks: [
      {
        device: '/dev/sda',
        partitions: [
          { label: 'BIOS', number: 1, size: '4096' },
          { label: 'ROOT', number: 2, size: 0 },
        ],
      },
    ],
  };
  const metadata = JSON.stringify({ metadata: { instance: { storage } } });

  it('takes the step from the command and numbers written as texts', () => {
    const params = catalog.rootio.parse({ METADATA: metadata, MBR: '1' }, ['partition']);

    assert.equal(params.step, 'partition');
    assert.equal(params.table, 'mbr');
    assert.ok('inline' in params.layout);
    assert.equal(params.layout.inline.disks[0]?.partitions[0]?.size, 4096);
  });

  it('refuses what the published action skips or dereferences', () => {
    const gap = JSON.stringify({
      storage: { disks: [{ device: '/dev/sda', partitions: [{ label: 'A', number: 2, size: 1 }] }] },
    });
    const early = JSON.stringify({
      storage: { disks: [{ device: '/dev/sda', partitions: [{ size: 0 }, { size: 1 }] }] },
    });

    assert.match(refusal(catalog.rootio, { METADATA: gap }, ['partition']), /partitions\[0\] number is 2/);
    assert.match(refusal(catalog.rootio, { METADATA: early }, ['partition']), /only the last partition/);
    assert.match(refusal(catalog.rootio, { METADATA: '{}' }, ['format']), /storage is missing/);
    assert.match(refusal(catalog.rootio, { METADATA: 'nonsense' }, ['format']), /JSON/);
    assert.match(refusal(catalog.rootio, { METADATA: metadata }, ['destroy']), /"destroy"/);
    assert.match(refusal(catalog.rootio, {}, ['wipe']), /MIRROR_HOST/);
  });

  it('refuses file systems, volumes and arrays that it cannot make', () => {
    const cases: readonly (readonly [Record<string, string>, RegExp])[] = [
      [
        storageOf({ filesystems: [{ mount: { device: '/dev/sda1', format: 'zfs' } }] }),
        /format is "zfs": use one of ext2/,
      ],
      [storageOf({ disks: [], raid: [{ name: '/dev/md0' }] }), /software RAID is not supported/],
      [group({ name: '-x' }), /volume_groups\[0\] name is "-x"/],
      [group({ physical_volumes: [] }), /physical_volumes is \[\]: list at least one/],
      [
        group({
          logical_volumes: [
            { name: 'a', size: 0 },
            { name: 'b', size: 1 },
          ],
        }),
        /only the last volume may take the rest/,
      ],
      [group({ logical_volumes: [{ name: 'a/b', size: 1 }] }), /logical_volumes\[0\] name is "a\/b"/],
    ];
    for (const [environment, pattern] of cases)
      assert.match(refusal(catalog.rootio, environment, ['partition']), pattern);
  });
});

function storageOf(part: object): Record<string, string> {
  return { METADATA: JSON.stringify({ storage: part }) };
}

function group(part: object): Record<string, string> {
  return storageOf({ volume_groups: [{ name: 'vg0', physical_volumes: ['/dev/sda1'], ...part }] });
}

describe('wipe parameters', () => {
  it('name disks once, or all of them, but not both', () => {
    const params = catalog.wipe.parse({ DEST_DISK: '/dev/sda,/dev/sdb /dev/sda', VERIFY: 'all' }, []);

    assert.deepEqual(params, { disks: ['/dev/sda', '/dev/sdb'], method: 'auto', verify: 'all' });
    assert.equal(catalog.wipe.parse({ ALL_DISKS: 'true' }, []).disks, 'internal');
    assert.equal(catalog.wipe.parse({ DEST_DISK: '' }, []).disks, 'record');
    assert.match(refusal(catalog.wipe, { ALL_DISKS: 'true', DEST_DISK: '/dev/sda' }), /ALL_DISKS/);
    assert.match(refusal(catalog.wipe, { DEST_DISK: 'sda' }), /DEST_DISK is "sda"/);
    assert.match(refusal(catalog.wipe, { METHOD: 'hammer' }), /METHOD is "hammer": use auto or one of nvme-sanitize/);
    assert.match(refusal(catalog.wipe, { METHOD: 'signatures', VERIFY: 'all' }), /leaves the data/);
  });
});

describe('qemuimg2disk parameters', () => {
  const image = { IMG_URL: 'http://192.0.2.1/x.qcow2', DEST_DISK: '/dev/sda' };

  it('accept what qemu-img was told that changes nothing, and refuse the rest', () => {
    const params = catalog.qemuimg2disk.parse({ ...image, FORMAT: 'host_device', EXTRA_ARGS: '-W -m 8 -t none' }, []);

    assert.deepEqual(params.ignored, ['-W', '-m', '8', '-t', 'none']);
    assert.match(refusal(catalog.qemuimg2disk, { ...image, FORMAT: 'qcow2' }), /FORMAT is "qcow2": leave it out/);
    assert.match(refusal(catalog.qemuimg2disk, { ...image, EXTRA_ARGS: '-p --resize 5G' }), /leave out --resize/);
  });
});

describe('the catalog', () => {
  it('finds a built-in by the base name of its image, whatever registry and tag', () => {
    assert.equal(actionNameOf('public.ecr.aws/eks-anywhere/tinkerbell/hub/image2disk:6c0f0d-eks-a-36'), 'image2disk');
    assert.equal(actionNameOf('127.0.0.1/embedded/writefile'), 'writefile');
    assert.equal(actionNameOf('registry:5000/cexec@sha256:abc'), 'cexec');
    assert.throws(() => actionNameOf('example.org/toString:latest'), { code: 'unknown_action' });
  });
});
