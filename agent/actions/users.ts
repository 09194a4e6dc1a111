import type { UserSpec, UsersParams } from '#proto/actions/users.ts';
import { TinsmithError } from '#proto/errors.ts';
import type { FileAttributes, TargetRoot } from '../machine/machine.ts';
import { type Account, type AccountFiles, withUser } from './account-files.ts';
import type { ActionContext } from './action-context.ts';

const LARGEST_BYTES = 16 << 20;
const ROOT = { uid: 0, gid: 0, directoryMode: 0o755 } as const;

/** Edits the files of the installed system; its programs may need what does not run yet, or be for another processor. */
export async function users(params: UsersParams, { machine, log, signal }: ActionContext): Promise<void> {
  const root = await machine.mount(params.device, params.fileSystem, { signal });
  const before = await readAccounts(root);
  const defaultShell = (await root.attributes('/bin/bash')) === undefined ? '/bin/sh' : '/bin/bash';
  const about = { defaultShell, days: Math.floor(Date.now() / 86_400_000) };
  const accounts: { readonly user: UserSpec; readonly account: Account }[] = [];
  let files = before;
  for (const user of params.users) {
    const made = withUser(files, user, about);
    files = made.files;
    accounts.push({ user, account: made.account });
  }
  signal.throwIfAborted();
  let isChanged = await writeAccounts(root, before, files);
  for (const { user, account } of accounts) {
    signal.throwIfAborted();
    const { uid, gid, home } = account;
    await root.makeDirectory(home, { uid, gid, mode: 0o700 });
    if (await addKeys(root, user, account)) isChanged = true;
    if (user.sudo !== undefined && (await writeSudoRule(root, user.name, user.sudo))) isChanged = true;
    log('agent', `user ${account.name} (${account.uid}) on ${params.device}: ${user.sshAuthorizedKeys.length} key(s)`);
  }
  if (isChanged) await askForLabels(root, log);
}

const FILES = {
  group: { path: '/etc/group', mode: 0o644 },
  gshadow: { path: '/etc/gshadow', mode: 0o600 },
  shadow: { path: '/etc/shadow', mode: 0o600 },
  passwd: { path: '/etc/passwd', mode: 0o644 },
} as const satisfies Record<keyof AccountFiles, { path: string; mode: number }>;

async function readAccounts(root: TargetRoot): Promise<AccountFiles> {
  const read = async (name: keyof typeof FILES): Promise<string | undefined> =>
    (await root.readFile(FILES[name].path, LARGEST_BYTES))?.toString('latin1');
  const [passwd, group] = [await read('passwd'), await read('group')];
  if (passwd === undefined || group === undefined) {
    throw new TinsmithError(
      'device_unfit',
      `cannot make users on ${root.device}: it has no /etc/passwd and /etc/group, name the partition of the root file system`,
    );
  }
  return { passwd, group, shadow: await read('shadow'), gshadow: await read('gshadow') };
}

/** Owner and mode stay: distributions differ in who may read the shadow files. Whether anything was written. */
async function writeAccounts(root: TargetRoot, before: AccountFiles, after: AccountFiles): Promise<boolean> {
  let isChanged = false;
  // What refers to others comes after them: a system that starts in between finds no user without its group.
  for (const name of ['group', 'gshadow', 'shadow', 'passwd'] as const) {
    const { path, mode } = FILES[name];
    const text = after[name];
    if (text === undefined || text === before[name]) continue;
    const kept = await root.attributes(path);
    await root.writeFile(path, Buffer.from(text, 'latin1'), { ...ROOT, mode, ...kept });
    isChanged = true;
  }
  return isChanged;
}

/** Whether anything was written. */
async function addKeys(root: TargetRoot, user: UserSpec, { uid, gid, home }: Account): Promise<boolean> {
  if (user.sshAuthorizedKeys.length === 0) return false;
  const path = `${home}/.ssh/authorized_keys`;
  const own: FileAttributes = { uid, gid, mode: 0o600, directoryMode: 0o700 };
  const old = (await root.readFile(path, LARGEST_BYTES))?.toString('utf8') ?? '';
  const known = new Set(old.split('\n').map((line) => line.trim()));
  const missing = [...new Set(user.sshAuthorizedKeys)].filter((key) => !known.has(key));
  if (missing.length === 0) return false;
  const gap = old === '' || old.endsWith('\n') ? '' : '\n';
  await root.writeFile(path, Buffer.from(`${old}${gap}${missing.join('\n')}\n`), own);
  return true;
}

/** sudo passes over files whose names hold a dot. Whether anything was written. */
async function writeSudoRule(root: TargetRoot, name: string, rule: string): Promise<boolean> {
  const path = `/etc/sudoers.d/tinsmith-${name.replaceAll('.', '_')}`;
  const text = Buffer.from(`# written by Tinsmith\n${name} ${rule}\n`);
  if ((await root.readFile(path, LARGEST_BYTES))?.equals(text) === true) return false;
  await root.writeFile(path, text, { ...ROOT, mode: 0o440, directoryMode: 0o750 });
  return true;
}

/** A file that was replaced has lost its SELinux label, and with a wrong one on shadow nobody gets in: the system labels anew. */
async function askForLabels(root: TargetRoot, log: ActionContext['log']): Promise<void> {
  const config = (await root.readFile('/etc/selinux/config', LARGEST_BYTES))?.toString('utf8') ?? '';
  if (!/^[ \t]*SELINUX=(enforcing|permissive)/m.test(config)) return;
  if ((await root.attributes('/.autorelabel')) !== undefined) return;
  await root.writeFile('/.autorelabel', Buffer.alloc(0), { ...ROOT, mode: 0o644 });
  log('agent', 'SELinux is on: the system labels its files when it starts, and restarts once');
}
