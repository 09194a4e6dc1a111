import type { UserSpec } from '#proto/actions/users.ts';
import { TinsmithError } from '#proto/errors.ts';

// passwd(5), shadow(5), group(5) and gshadow(5): lines of fields between colons. What is not touched stays byte for byte, comments
// and NIS lines too.

export interface AccountFiles {
  readonly passwd: string;
  readonly group: string;
  /** Undefined: the system has none. */
  readonly shadow: string | undefined;
  readonly gshadow: string | undefined;
}

export interface Account {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
  readonly home: string;
}

const FIRST_USER_ID = 1000;
const LAST_USER_ID = 60_000;

/**
 * The files with one user made or changed. The same again changes nothing. `days`: since 1970, for a password that is new.
 * Throws `invalid_params` for a number or group that cannot be.
 */
export function withUser(
  files: AccountFiles,
  user: UserSpec,
  about: { readonly defaultShell: string; readonly days: number },
): { readonly files: AccountFiles; readonly account: Account } {
  const existing = fieldsOf(files.passwd, user.name);
  const ownGroup = fieldsOf(files.group, user.name);
  const uid = user.uid ?? numberAt(existing, 2) ?? freeId(files);
  checkUid(files, user, uid);
  const gid = numberAt(existing, 3) ?? numberAt(ownGroup, 2) ?? freeGroup(files, uid);
  const fields = passwdFields(user, existing, {
    uid,
    gid,
    shell: about.defaultShell,
    hasShadow: files.shadow !== undefined,
  });
  const needsGroup = existing === undefined && ownGroup === undefined;
  const grown = needsGroup ? withLine(files.group, [user.name, 'x', String(gid), '']) : files.group;
  return {
    files: {
      passwd: withLine(files.passwd, fields),
      group: user.groups.reduce((text, name) => withMember(text, name, user.name), grown),
      shadow: files.shadow === undefined ? undefined : withPassword(files.shadow, user, about.days),
      gshadow: files.gshadow === undefined ? undefined : withGroupShadow(files.gshadow, user, needsGroup),
    },
    account: { name: user.name, uid, gid, home: fields[5] },
  };
}

interface PasswdFacts {
  readonly uid: number;
  readonly gid: number;
  readonly shell: string;
  readonly hasShadow: boolean;
}

type PasswdFields = readonly [string, string, string, string, string, string, string];

/** Name, password or where it is, numbers, full name, home, shell: what is wanted, else what is there, else the usual. */
function passwdFields(user: UserSpec, existing: readonly string[] | undefined, facts: PasswdFacts): PasswdFields {
  const [, password = facts.hasShadow ? 'x' : '*', , , gecos = '', home = usualHome(user.name), shell = facts.shell] =
    existing ?? [];
  return [
    user.name,
    facts.hasShadow ? password : (user.passwordHash ?? password),
    String(facts.uid),
    String(facts.gid),
    user.gecos ?? gecos,
    user.home ?? home,
    user.shell ?? shell,
  ];
}

function usualHome(name: string): string {
  return name === 'root' ? '/root' : `/home/${name}`;
}

function numberAt(fields: readonly string[] | undefined, index: number): number | undefined {
  const text = fields?.[index];
  return text === undefined ? undefined : Number(text);
}

function checkUid(files: AccountFiles, user: UserSpec, uid: number): void {
  const owner = entries(files.passwd).find((fields) => Number(fields[2]) === uid && fields[0] !== user.name);
  if (owner === undefined) return;
  throw new TinsmithError(
    'invalid_params',
    `cannot give user ${user.name} the number ${uid}: ${owner[0]} has it, leave out the number or choose another`,
  );
}

/** A number that neither a user nor a group has, so that both can have the same. */
function freeId({ passwd, group }: AccountFiles): number {
  const taken = new Set([...entries(passwd), ...entries(group)].map((fields) => Number(fields[2])));
  for (let id = FIRST_USER_ID; id < LAST_USER_ID; id += 1) if (!taken.has(id)) return id;
  throw new TinsmithError('invalid_params', `cannot find a number for a new user: ${FIRST_USER_ID} and up are taken`);
}

function freeGroup(files: AccountFiles, wanted: number): number {
  const isTaken = entries(files.group).some((fields) => Number(fields[2]) === wanted);
  return isTaken ? freeId(files) : wanted;
}

/** Fields: name, hash, last change, then six of ageing. `*`: no password fits, but unlike `!` the account is not locked for keys. */
function withPassword(shadow: string, user: UserSpec, days: number): string {
  const existing = fieldsOf(shadow, user.name);
  if (existing === undefined) {
    return withLine(shadow, [user.name, user.passwordHash ?? '*', String(days), '0', '99999', '7', '', '', '']);
  }
  if (user.passwordHash === undefined || existing[1] === user.passwordHash) return shadow;
  return withLine(shadow, [user.name, user.passwordHash, String(days), ...existing.slice(3)]);
}

function withMember(group: string, name: string, member: string): string {
  const fields = fieldsOf(group, name);
  if (fields === undefined) {
    throw new TinsmithError(
      'invalid_params',
      `cannot make ${member} a member of ${name}: the system has no such group, correct its name`,
    );
  }
  return withLine(group, [...fields.slice(0, 3), joined(fields[3], member)]);
}

/** Groups that gshadow does not know are left to the system's own tools, which make them anew. */
function withGroupShadow(gshadow: string, user: UserSpec, isNew: boolean): string {
  const text = isNew ? withLine(gshadow, [user.name, '!', '', '']) : gshadow;
  return user.groups.reduce((grown, name) => {
    const fields = fieldsOf(grown, name);
    return fields === undefined ? grown : withLine(grown, [...fields.slice(0, 3), joined(fields[3], user.name)]);
  }, text);
}

function joined(list: string | undefined, item: string): string {
  const items = (list ?? '').split(',').filter((each) => each !== '');
  return items.includes(item) ? items.join(',') : [...items, item].join(',');
}

function entries(text: string): readonly (readonly string[])[] {
  return text
    .split('\n')
    .filter((line) => line !== '' && !/^[#+-]/.test(line))
    .map((line) => line.split(':'));
}

function fieldsOf(text: string, name: string): readonly string[] | undefined {
  return entries(text).find((fields) => fields[0] === name);
}

/** The line of the first field's name replaced, or added: before NIS lines, behind which nothing of the file counts. */
function withLine(text: string, fields: readonly string[]): string {
  const line = fields.join(':');
  const lines = text.split('\n');
  const place = lines.findIndex((each) => each.startsWith(`${fields[0]}:`));
  if (place >= 0) return lines.with(place, line).join('\n');
  const nis = lines.findIndex((each) => /^[+-]/.test(each));
  if (nis >= 0) return lines.toSpliced(nis, 0, line).join('\n');
  return `${text === '' || text.endsWith('\n') ? text : `${text}\n`}${line}\n`;
}
