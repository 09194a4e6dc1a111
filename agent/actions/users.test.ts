import assert from 'node:assert/strict';
import { chmod, mkdir, mkdtemp, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { actionContext } from '#test/support/action-context.ts';
import { type FolderMachine, folderMachine } from '../machine/folder-machine.ts';
import { type ActionRunResult, runActionWithPolicy } from './run-action.ts';

const PARTITION = '/dev/sda2';
const KEY = 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA== ops@example';
const HASH = '$6$salt$hunter2hash';
/** Files that belong to others than who runs the tests can be made by root only. */
const asRoot = { skip: process.getuid?.() === 0 ? false : 'needs root' };
// As Debian has them, with a line of NIS at the end of one.
const PASSWD =
  'root:x:0:0:root:/root:/bin/bash\ndaemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin\nold:x:1000:1000::/home/old:/bin/sh\n';
const FILES = {
  '/etc/passwd': PASSWD,
  '/etc/shadow': 'root:*:19000:0:99999:7:::\ndaemon:*:19000:0:99999:7:::\nold:!:19000:0:99999:7:::\n',
  '/etc/group': 'root:x:0:\nsudo:x:27:old\ndocker:x:999:\nold:x:1000:\n+::::\n',
  '/etc/gshadow': 'root:*::\nsudo:*::old\nold:!::\n',
} as const;

let folder: string;
let machine: FolderMachine;
let lines: string[];

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tinsmith-users-'));
  machine = folderMachine({ folder, disks: {} });
  lines = [];
  for (const [path, text] of Object.entries(FILES)) await put(path, text);
  await chmod(target('/etc/shadow'), 0o640);
  await put('/bin/bash', '');
});

afterEach(() => rm(folder, { recursive: true, force: true }));

function target(path: string): string {
  return join(machine.folderOf(PARTITION), path);
}

async function put(path: string, text: string): Promise<void> {
  await mkdir(dirname(target(path)), { recursive: true });
  await writeFile(target(path), text);
}

async function text(path: string): Promise<string> {
  return readFile(target(path), 'utf8');
}

async function about(path: string): Promise<string> {
  const { mode, uid, gid } = await stat(target(path));
  return `${(mode & 0o7777).toString(8)} ${uid}:${gid}`;
}

async function perform(environment: Record<string, string>): Promise<ActionRunResult> {
  const context = actionContext(machine, { log: (_stream, line) => lines.push(line) });
  const complete = { DEST_DISK: PARTITION, FS_TYPE: 'ext4', ...environment };
  return runActionWithPolicy(
    { builtIn: 'users', environment: complete, command: [], timeoutMs: 0, retries: 0 },
    context,
  );
}

const OPS = {
  USER_NAME: 'ops',
  USER_GROUPS: 'sudo, docker',
  USER_GECOS: 'Operators',
  PASSWORD_HASH: HASH,
  SSH_AUTHORIZED_KEYS: `\n${KEY}\n`,
  SUDO: 'true',
};

describe('users', () => {
  it('makes a user with its groups, keys, password and rule, each for the right eyes only', asRoot, async () => {
    const result = await perform(OPS);

    assert.equal(result.error, undefined);
    assert.equal(await text('/etc/passwd'), `${PASSWD}ops:x:1001:1001:Operators:/home/ops:/bin/bash\n`);
    assert.equal(
      await text('/etc/group'),
      'root:x:0:\nsudo:x:27:old,ops\ndocker:x:999:ops\nold:x:1000:\nops:x:1001:\n+::::\n',
    );
    assert.equal(await text('/etc/gshadow'), 'root:*::\nsudo:*::old,ops\nold:!::\nops:!::\n');
    assert.match(await text('/etc/shadow'), /\nops:\$6\$salt\$hunter2hash:\d{5}:0:99999:7:::\n$/);
    assert.equal(await text('/home/ops/.ssh/authorized_keys'), `${KEY}\n`);
    assert.equal(await text('/etc/sudoers.d/tinsmith-ops'), '# written by Tinsmith\nops ALL=(ALL:ALL) NOPASSWD:ALL\n');
    assert.deepEqual(
      await Promise.all(
        [
          '/etc/passwd',
          '/etc/shadow',
          '/home',
          '/home/ops',
          '/home/ops/.ssh',
          '/home/ops/.ssh/authorized_keys',
          '/etc/sudoers.d/tinsmith-ops',
        ].map((path) => about(path)),
      ),
      ['644 0:0', '640 0:0', '755 0:0', '700 1001:1001', '700 1001:1001', '600 1001:1001', '440 0:0'],
    );
    assert.doesNotMatch(lines.join('\n'), /hunter2/);
  });

  it('changes nothing when it runs again', asRoot, async () => {
    await perform(OPS);
    const paths = ['/etc/passwd', '/etc/shadow', '/etc/group', '/etc/gshadow', '/home/ops/.ssh/authorized_keys'];
    const before = await Promise.all(paths.map(async (path) => [await text(path), (await stat(target(path))).ino]));

    assert.equal((await perform(OPS)).error, undefined);

    const after = await Promise.all(paths.map(async (path) => [await text(path), (await stat(target(path))).ino]));
    assert.deepEqual(after, before);
  });

  it('gives root keys, and leaves what it was not told about', asRoot, async () => {
    await put('/root/.ssh/authorized_keys', 'ssh-rsa AAAA before');

    const users = [
      { name: 'root', sshAuthorizedKeys: [KEY] },
      { name: 'old', shell: '/bin/bash' },
    ];
    const result = await perform({ USERS_JSON: JSON.stringify(users) });

    assert.equal(result.error, undefined);
    assert.equal(await text('/root/.ssh/authorized_keys'), `ssh-rsa AAAA before\n${KEY}\n`);
    assert.equal(await text('/etc/passwd'), PASSWD.replace('/home/old:/bin/sh', '/home/old:/bin/bash'));
    assert.equal(await text('/etc/shadow'), FILES['/etc/shadow']);
    assert.equal(await text('/etc/group'), FILES['/etc/group']);
  });

  it('locks out passwords, but not keys, where no hash is given', asRoot, async () => {
    await perform({ USER_NAME: 'ops', USER_UID: '2000', USER_HOME: '/srv/ops', USER_SHELL: '/bin/sh' });

    assert.match(await text('/etc/shadow'), /\nops:\*:\d+:0:99999:7:::\n$/);
    assert.match(await text('/etc/passwd'), /\nops:x:2000:2000::\/srv\/ops:\/bin\/sh\n$/);
    assert.equal(await about('/srv/ops'), '700 2000:2000');
  });

  it('never leaves the target by its links', asRoot, async () => {
    await symlink(folder, target('/home'));
    await mkdir(target(folder), { recursive: true });

    const result = await perform({ USER_NAME: 'ops', SSH_AUTHORIZED_KEYS: KEY });

    assert.equal(result.error, undefined);
    assert.equal(await text(join(folder, 'ops/.ssh/authorized_keys')), `${KEY}\n`);
    await assert.rejects(stat(join(folder, 'ops')));
  });

  it('asks a system with SELinux to label its files anew', asRoot, async () => {
    await put('/etc/selinux/config', '# x\nSELINUX=enforcing\n');
    await perform({ USER_NAME: 'root', SSH_AUTHORIZED_KEYS: KEY });
    assert.equal((await stat(target('/.autorelabel'))).size, 0);

    await rm(target('/.autorelabel'));
    await perform({ USER_NAME: 'root', SSH_AUTHORIZED_KEYS: KEY });
    await assert.rejects(stat(target('/.autorelabel')), 'nothing changed the second time');
  });

  it('refuses before it changes anything what the system cannot have', async () => {
    const cases = [
      [{ USER_NAME: 'ops', USER_GROUPS: 'wheel' }, /member of wheel: the system has no such group/],
      [{ USER_NAME: 'ops', USER_UID: '1000' }, /ops the number 1000: old has it/],
    ] as const;

    for (const [environment, expected] of cases) {
      assert.match((await perform(environment)).error?.message ?? '', expected);
      assert.equal(await text('/etc/passwd'), PASSWD);
    }
    await rm(target('/etc/passwd'));
    assert.equal((await perform({ USER_NAME: 'ops' })).error?.code, 'device_unfit');
  });

  it('refuses parameters by name, and repeats no hash', async () => {
    const cases: readonly (readonly [Record<string, string>, RegExp])[] = [
      [{}, /set either USERS_JSON, or USER_NAME/],
      [{ USER_NAME: 'ops', USERS_JSON: '[]' }, /either/],
      [{ USER_NAME: 'Ops:0' }, /name that cannot be used/],
      [{ USER_NAME: 'ops', PASSWORD_HASH: 'hunter2' }, /mkpasswd/],
      [{ USER_NAME: 'ops', SSH_AUTHORIZED_KEYS: 'no key' }, /sshAuthorizedKeys/],
      [{ USER_NAME: 'ops', USER_HOME: '/home/../etc' }, /home/],
      [{ USER_NAME: 'ops', USER_SHELL: '/bin/sh:x' }, /shell/],
      [{ USER_NAME: 'ops', USER_GECOS: 'a:b' }, /gecos/],
      [{ USER_NAME: 'ops', USER_UID: 'x' }, /USER_UID/],
      [{ USER_NAME: 'ops', SUDO: 'a\nroot ALL' }, /sudo/],
      [{ USERS_JSON: '{"hunter2"' }, /USERS_JSON is no JSON/],
      [{ USERS_JSON: '[{"name":"a","password":"hunter2"}]' }, /has a field password/],
      [{ USERS_JSON: '[{"name":"a"},{"name":"a"}]' }, /has a twice/],
      [{ USERS_JSON: '[{"name":"a","uid":-1}]' }, /uid/],
      [{ USERS_JSON: '[7]' }, /USERS_JSON\[0\] is no object/],
      [{ USERS_JSON: '[{"name":"a","groups":["a b"]}]' }, /groups/],
    ];

    for (const [environment, expected] of cases) {
      const { error } = await perform(environment);
      assert.equal(error?.code, 'invalid_params', JSON.stringify(environment));
      assert.match(error.message, expected);
      assert.doesNotMatch(error.message, /hunter2/);
    }
  });
});
