import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { gzipSync } from 'node:zlib';
import type { ActionName } from '#proto/actions/catalog.ts';
import type { HardwareFacts } from '#proto/actions/facts.ts';
import { TinsmithError } from '#proto/errors.ts';
import { actionContext } from '#test/support/action-context.ts';
import { diskImage } from '#test/support/disk-image.ts';
import { hostileServer, status, wholeFile } from '#test/support/hostile-server.ts';
import { tarFile } from '#test/support/tar-file.ts';
import { type FolderMachine, folderMachine } from '../machine/folder-machine.ts';
import type { ProgramCall, ProgramResult } from '../machine/machine.ts';
import type { ActionContext } from './action-context.ts';
import { type ActionRunResult, runActionWithPolicy } from './run-action.ts';

const MIB = 1 << 20;
const FILE = { DEST_DISK: '/dev/sda12', FS_TYPE: 'ext4', UID: '0', GID: '0', MODE: '0644', DIRMODE: '0755' };
const FACTS: HardwareFacts = {
  hardware: 'node-1',
  interfaces: [
    {
      mac: '08:00:27:AA:BB:CC',
      address: '192.168.10.51',
      netmask: '255.255.255.0',
      gateway: '192.168.10.1',
      nameServers: ['8.8.8.8', '1.1.1.1'],
    },
  ],
};

let folder: string;
let machine: FolderMachine;
let answer: (program: ProgramCall) => Promise<ProgramResult>;
let powers: string[];
let lines: string[];

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tinsmith-actions-'));
  answer = async () => ({ exitCode: 0, lastLines: [] });
  machine = folderMachine({
    folder,
    disks: { '/dev/sda': 16 * MIB, '/dev/sda1': MIB },
    fileSystems: { '/dev/sda3': 'xfs' },
    run: (program) => answer(program),
  });
  powers = [];
  lines = [];
});

afterEach(() => rm(folder, { recursive: true, force: true }));

function context(changes: Partial<ActionContext> = {}): ActionContext {
  return actionContext(machine, {
    facts: FACTS,
    log: (_stream, text) => lines.push(text),
    requestPower: (kind) => powers.push(kind),
    ...changes,
  });
}

async function perform(
  builtIn: ActionName,
  environment: Record<string, string>,
  options: { command?: string[]; retries?: number; timeoutMs?: number; context?: ActionContext } = {},
): Promise<ActionRunResult> {
  return runActionWithPolicy(
    {
      builtIn,
      environment,
      command: options.command ?? [],
      timeoutMs: options.timeoutMs ?? 0,
      retries: options.retries ?? 0,
    },
    options.context ?? context(),
  );
}

function target(path: string): string {
  return join(machine.folderOf('/dev/sda12'), path);
}

async function writeUserData(text: string): Promise<void> {
  await mkdir(target('/'), { recursive: true });
  await writeFile(target('/user-data.toml'), text);
  await chmod(target('/user-data.toml'), 0o640);
}

describe('image2disk', () => {
  it('writes the disk, closes it, and waits for the image’s partitions', async () => {
    await using server = await hostileServer(gzipSync(diskImage(), { level: 1 }), [wholeFile]);

    const result = await perform('image2disk', { IMG_URL: server.url, DEST_DISK: '/dev/sda', COMPRESSED: 'true' });

    assert.deepEqual([result.outcome, result.exitCode, result.tries], ['succeeded', 0, 1]);
    assert.deepEqual(machine.journal, ['open /dev/sda', 'reread /dev/sda 1,2']);
  });

  it('reads the whole image back before the disk boots, and shows how far it is', async () => {
    await using server = await hostileServer(gzipSync(diskImage(), { level: 1 }), [wholeFile]);
    const shown: (number | undefined)[][] = [];

    const result = await perform(
      'image2disk',
      { IMG_URL: server.url, DEST_DISK: '/dev/sda', VERIFY_DISK: 'true' },
      { context: context({ progress: ({ done, total }) => shown.push([done, total]) }) },
    );

    assert.equal(result.outcome, 'succeeded');
    assert.deepEqual(shown.at(-1), [diskImage().length, diskImage().length]);
  });

  it('keeps query and password of the URL out of its error', async () => {
    await using server = await hostileServer(Buffer.alloc(0), [status(403)]);
    const url = server.url.replace('http://', 'http://me:hunter2@').concat('?X-Amz-Signature=cafe');

    const result = await perform('image2disk', { IMG_URL: url, DEST_DISK: '/dev/sda' });

    assert.equal(result.outcome, 'failed');
    assert.doesNotMatch([result.error?.message ?? '', ...lines].join('\n'), /hunter2|cafe/);
  });
});

describe('writefile', () => {
  it('writes owner and exact mode, and directories with theirs', async () => {
    const result = await perform('writefile', {
      ...FILE,
      DEST_PATH: '/a/b/tool',
      CONTENTS: 'x <&> "y"\n',
      MODE: '4711',
      DIRMODE: '0700',
    });

    assert.equal(result.error, undefined);
    assert.equal(await readFile(target('/a/b/tool'), 'utf8'), 'x <&> "y"\n');
    assert.equal((await stat(target('/a/b/tool'))).mode & 0o7777, 0o4711);
    assert.equal((await stat(target('/a'))).mode & 0o7777, 0o700);
    assert.deepEqual(await readdir(target('/a/b')), ['tool']);
  });

  it('sets the mode of a file that exists and leaves existing directories alone', async () => {
    await mkdir(target('/etc'), { recursive: true });
    await chmod(target('/etc'), 0o751);
    await writeFile(target('/etc/x'), 'old', { mode: 0o666 });

    await perform('writefile', { ...FILE, DEST_PATH: '/etc/x', CONTENTS: 'new', MODE: '0600' });

    assert.equal((await stat(target('/etc/x'))).mode & 0o7777, 0o600);
    assert.equal((await stat(target('/etc'))).mode & 0o7777, 0o751);
  });

  it('keeps symbolic links of the target inside the target', async () => {
    const outside = join(folder, 'outside');
    await mkdir(outside);
    await mkdir(target('/real'), { recursive: true });
    await symlink(outside, target('/absolute'));
    await symlink('../../../../../../../../real', target('/upwards'));

    await perform('writefile', { ...FILE, DEST_PATH: '/absolute/x', CONTENTS: '1' });
    await perform('writefile', { ...FILE, DEST_PATH: '/upwards/y', CONTENTS: '2' });

    assert.deepEqual(await readdir(outside), []);
    assert.equal(await readFile(target(`${outside}/x`), 'utf8'), '1');
    assert.equal(await readFile(target('/real/y'), 'utf8'), '2');
  });

  it('says what file system it found instead', async () => {
    const result = await perform('writefile', { ...FILE, DEST_DISK: '/dev/sda3', DEST_PATH: '/x', CONTENTS: '' });

    assert.equal(result.error?.message, 'cannot mount /dev/sda3: expected ext4, found xfs on it');
  });

  it('mounts once for consecutive files and releases it before the restart', async () => {
    await perform('writefile', { ...FILE, DEST_PATH: '/x', CONTENTS: '1' });
    await perform('writefile', { ...FILE, DEST_PATH: '/y', CONTENTS: '2' });
    await perform('reboot', {});

    assert.deepEqual(machine.journal, ['mount /dev/sda12', 'unmount /dev/sda12']);
    assert.deepEqual(powers, ['reboot']);
  });

  it('writes the boot configuration that the kernel’s own tool writes', async () => {
    await perform('writefile', { ...FILE, DEST_PATH: '/bootconfig.data', BOOTCONFIG_CONTENTS: 'kernel {}' });

    const found = await readFile(target('/bootconfig.data'));
    // tools/bootconfig -a: data with NUL, padding to 4, size 12, sum of the bytes 0x399, magic.
    assert.equal(found.toString('latin1'), 'kernel {}\0\0\0\x0c\0\0\0\x99\x03\0\0#BOOTCONFIG\n');
  });

  it('refuses a boot configuration that the kernel would drop', async () => {
    for (const text of ['kernel {', 'a = "b', '}', 'x'.repeat(40_000)]) {
      const result = await perform('writefile', { ...FILE, DEST_PATH: '/b', BOOTCONFIG_CONTENTS: text });
      assert.equal(result.error?.code, 'invalid_params');
    }
  });

  it('takes user data from the first service that has it', async () => {
    await using without = await hostileServer(Buffer.alloc(0), [status(404)]);
    await using having = await hostileServer(Buffer.from('[settings]\n'), [wholeFile]);
    const urls = [without.url, having.url].map((url) => url.replace('/image', '')).join(',');

    const result = await perform('writefile', { ...FILE, DEST_PATH: '/user-data.toml', HEGEL_URLS: urls });

    assert.equal(result.error, undefined);
    assert.equal(await readFile(target('/user-data.toml'), 'utf8'), '[settings]\n');
  });

  it('writes net.toml for Bottlerocket and adds the name servers once, however often it runs', async () => {
    await writeUserData('[settings.kubernetes]\na = 1');

    for (let i = 0; i < 3; i++)
      await perform('writefile', { ...FILE, DEST_PATH: '/net.toml', STATIC_BOTTLEROCKET: 'true', IFNAME: 'eno1' });

    assert.equal(
      await readFile(target('/net.toml'), 'utf8'),
      'version = 3\n\n["08:00:27:aa:bb:cc".static4]\naddresses = ["192.168.10.51/24"]\n\n' +
        '[["08:00:27:aa:bb:cc".route]]\nto = "default"\nvia = "192.168.10.1"\nroute-metric = 100\n',
    );
    const userData = await readFile(target('/user-data.toml'), 'utf8');
    assert.equal(userData, '[settings.kubernetes]\na = 1\n\n[settings.dns]\nname-servers = ["8.8.8.8", "1.1.1.1"]\n');
    assert.equal((await stat(target('/user-data.toml'))).mode & 0o777, 0o640);
  });

  it('writes netplan with the VLAN of the record', async () => {
    const facts = { ...FACTS, interfaces: FACTS.interfaces.map((entry) => ({ ...entry, vlanId: '120', gateway: '' })) };

    await perform(
      'writefile',
      { ...FILE, DEST_PATH: '/n.yaml', STATIC_NETPLAN: 'true' },
      { context: context({ facts }) },
    );

    const text = await readFile(target('/n.yaml'), 'utf8');
    assert.match(
      text,
      /vlans:\n {8}vlan120:\n {12}id: 120\n {12}link: mainif\n {12}addresses:\n {16}- 192\.168\.10\.51\/24\n/,
    );
    assert.doesNotMatch(text, /routes/);
  });
});

describe('poweroff', () => {
  it('releases the mounts and asks for the machine to be switched off', async () => {
    await perform('writefile', { ...FILE, DEST_PATH: '/x', CONTENTS: '1' });
    const result = await perform('poweroff', {});

    assert.equal(result.outcome, 'succeeded');
    assert.deepEqual(machine.journal, ['mount /dev/sda12', 'unmount /dev/sda12']);
    assert.deepEqual(powers, ['poweroff']);
  });
});

describe('archive2disk', () => {
  it('unpacks below its path, and says what it did', async () => {
    const file = tarFile([{ name: 'bin/tool', mode: 0o755, content: Buffer.from('tool') }]);
    await using server = await hostileServer(gzipSync(file), [wholeFile]);
    const archive = { ARCHIVE_URL: server.url, ARCHIVE_TYPE: 'targz', DEST_DISK: '/dev/sda12', FS_TYPE: 'ext4' };

    const result = await perform('archive2disk', {
      ...archive,
      DEST_PATH: '/opt',
      TARFILE_CHECKSUM: `sha256:${sha256(file)}`,
    });

    assert.equal(result.error, undefined);
    assert.equal(await readFile(target('/opt/bin/tool'), 'utf8'), 'tool');
    assert.match(lines.at(-1) ?? '', /unpacked 1 entries, 10240 bytes of tar \(gz\), to \/opt on \/dev\/sda12/);
  });
});

describe('cexec', () => {
  const exec = { BLOCK_DEVICE: '/dev/sda12', FS_TYPE: 'ext4', CHROOT: 'y' };

  it('runs command after command inside the target and reports the true exit code of the one that fails', async () => {
    answer = async ({ argv }) => ({ exitCode: argv.includes('false') ? 7 : 0, lastLines: ['no space'] });

    const result = await perform('cexec', { ...exec, CMD_LINE: 'true a; false; never' }, { retries: 3 });

    assert.deepEqual([result.outcome, result.exitCode, result.tries], ['failed', 7, 1]);
    assert.match(result.error?.message ?? '', /exit code 7: no space/);
    assert.deepEqual(machine.journal, [
      'mount /dev/sda12',
      'run chroot /dev/sda12 true a',
      'run chroot /dev/sda12 false',
    ]);
  });
});

describe('kexec', () => {
  it('loads the default entry of the GRUB configuration, in a submenu and by id', async () => {
    const root = machine.folderOf('/dev/sda12');
    await mkdir(join(root, 'boot/grub'), { recursive: true });
    await writeFile(join(root, 'boot/vmlinuz-6.1'), '');
    await writeFile(join(root, 'boot/initrd-6.1'), '');
    await writeFile(
      join(root, 'boot/grub/grub.cfg'),
      `set default="advanced>six-one"\nif [ x = y ]; then\n  set other=1 # }\nfi\n` +
        `menuentry 'Linux' --class gnu {\n  linux /boot/none\n}\n` +
        `submenu 'Advanced' $menuentry_id_option 'advanced' {\n  menuentry 'Six' {\n linux /boot/none\n }\n` +
        `  menuentry "Six one" --id six-one {\n    linux ($root)/boot/vmlinuz-6.1 root=LABEL=a\\ b "x=1 2" quiet\n    initrd /boot/initrd-6.1\n  }\n}\n`,
    );

    const result = await perform('kexec', { BLOCK_DEVICE: '/dev/sda12', FS_TYPE: 'ext4' });

    assert.equal(result.error, undefined);
    assert.deepEqual(machine.journal.slice(1), [
      `kexec ${root}/boot/vmlinuz-6.1 [${root}/boot/initrd-6.1] root=LABEL=a b x=1 2 quiet`,
      'unmount /dev/sda12',
    ]);
    assert.deepEqual(powers, ['kexec']);
  });

  it('asks for nothing when there is no kernel', async () => {
    const result = await perform('kexec', { BLOCK_DEVICE: '/dev/sda12', FS_TYPE: 'ext4', KERNEL_PATH: '/boot/none' });

    assert.equal(result.error?.code, 'not_found');
    assert.deepEqual(powers, []);
  });
});

describe('running an action', () => {
  it('tries a repeatable action again, and one with bad parameters not', async () => {
    const missing = await perform(
      'image2disk',
      { IMG_URL: 'http://127.0.0.1:1/x', DEST_DISK: '/dev/sdb' },
      { retries: 1 },
    );
    const bad = await perform('image2disk', { DEST_DISK: '/dev/sdb' }, { retries: 3 });

    assert.deepEqual([missing.outcome, missing.tries, missing.error?.code], ['failed', 2, 'device_unfit']);
    assert.deepEqual([bad.outcome, bad.tries, bad.exitCode], ['failed', 1, 65]);
  });

  it('ends a program at its time limit and says so', async () => {
    answer = ({ signal }) =>
      new Promise((_resolve, reject) => {
        const stop = (): void => reject(new Error('stopped'));
        // On a busy machine the time is over before the program starts.
        if (signal.aborted) stop();
        signal.addEventListener('abort', stop, { once: true });
      });

    const result = await perform(
      'cexec',
      { BLOCK_DEVICE: '/dev/sda12', FS_TYPE: 'ext4', CMD_LINE: 'sleep 100' },
      { timeoutMs: 20 },
    );

    assert.deepEqual([result.outcome, result.error?.code], ['timedOut', 'timed_out']);
  });

  it('is cancelled with the reason that was given', async () => {
    const controller = new AbortController();
    controller.abort(new TinsmithError('cancelled', 'cancelled by alice'));

    const result = await perform('reboot', {}, { context: context({ signal: controller.signal }) });

    assert.deepEqual([result.outcome, result.error?.message, powers.length], ['cancelled', 'cancelled by alice', 0]);
  });
});

function sha256(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex');
}
