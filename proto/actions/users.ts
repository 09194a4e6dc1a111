import { TinsmithError } from '../errors.ts';
import type { ActionDeclaration } from './declaration.ts';
import {
  type Environment,
  inVariable,
  invalidParam,
  optionalInteger,
  optionalText,
  requiredDevice,
} from './environment.ts';
import { parseFileSystem } from './writefile.ts';

/** Make or change users of the installed system. */
export interface UsersParams {
  /** Partition. */
  readonly device: string;
  readonly fileSystem: string;
  readonly users: readonly UserSpec[];
}

/** What is left out stays as it is; a new user gets the usual. */
export interface UserSpec {
  readonly name: string;
  readonly uid?: number;
  /** Beside a group of its own; they have to exist. */
  readonly groups: readonly string[];
  readonly gecos?: string;
  readonly home?: string;
  readonly shell?: string;
  /** crypt(3). Absent: a new user has no password that fits. */
  readonly passwordHash?: string;
  /** Lines for authorized_keys, added to those that are there. */
  readonly sshAuthorizedKeys: readonly string[];
  /** What follows the name in a rule of sudoers. */
  readonly sudo?: string;
}

export const users: ActionDeclaration<UsersParams> = {
  summary:
    'Make or change users of the installed system: keys, groups, password hash, sudo; runs none of its programs.',
  // Each file is replaced in one step by what it should say: a second run finds it so.
  repeatable: true,
  environment: {
    DEST_DISK: 'Partition with the root file system, such as /dev/sda2.',
    FS_TYPE: 'Its file system, such as ext4.',
    USERS_JSON:
      'List of users as JSON: name, uid, groups, gecos, home, shell, passwordHash, sshAuthorizedKeys, sudo. Or one user by the rest:',
    USER_NAME: 'Name of the user; root for the keys and password of root.',
    USER_UID: 'Its number; default: the first that is free from 1000.',
    USER_GROUPS: 'Comma list of groups that exist in the system.',
    USER_GECOS: 'Its full name.',
    USER_HOME: 'Its home; default /home/NAME, of root /root.',
    USER_SHELL: 'Its shell; default /bin/bash, or /bin/sh where there is no bash.',
    PASSWORD_HASH: 'Hash of its password as crypt(3) makes it (mkpasswd); default: no password fits.',
    SSH_AUTHORIZED_KEYS: 'SSH keys, one a line.',
    SUDO: 'true, or what follows the name in a rule of sudoers, such as ALL=(ALL) NOPASSWD:ALL.',
  },
  secrets: ['USERS_JSON', 'PASSWORD_HASH'],
  parse: (environment) => ({
    device: requiredDevice(environment, 'DEST_DISK', '/dev/sda2'),
    fileSystem: parseFileSystem(environment),
    users: parseUsers(environment),
  }),
};

function parseUsers(environment: Environment): readonly UserSpec[] {
  const json = optionalText(environment, 'USERS_JSON');
  const name = optionalText(environment, 'USER_NAME');
  if ((json === undefined) === (name === undefined)) {
    throw invalidParam('USER_NAME', name, 'set either USERS_JSON, or USER_NAME and what belongs to it');
  }
  return json === undefined
    ? inVariable('USER_NAME', () => [oneUser(environment)])
    : inVariable('USERS_JSON', () => parseList(json));
}

function oneUser(environment: Environment): UserSpec {
  const text = (name: string): string | undefined => optionalText(environment, name);
  const uid = optionalInteger(environment, 'USER_UID', { least: 0, most: HIGHEST_ID });
  const sudo = text('SUDO');
  return checkedUser('USER_NAME', {
    name: text('USER_NAME'),
    uid,
    groups: parts(text('USER_GROUPS'), ','),
    gecos: text('USER_GECOS'),
    home: text('USER_HOME'),
    shell: text('USER_SHELL'),
    passwordHash: text('PASSWORD_HASH'),
    sshAuthorizedKeys: parts(text('SSH_AUTHORIZED_KEYS'), '\n'),
    sudo: sudo === 'true' || sudo === 'false' ? sudo === 'true' : sudo,
  });
}

function parts(text: string | undefined, separator: string): readonly string[] {
  const all = (text ?? '').split(separator).map((part) => part.trim());
  return all.filter((part) => part !== '');
}

function parseList(json: string): readonly UserSpec[] {
  let parsed: unknown;
  try {
    parsed = JSON.parse(json);
  } catch {
    // The text may hold hashes: it is not repeated, nor is the parser's sentence, which quotes it.
    throw fault('USERS_JSON', 'is no JSON', 'write a list of users');
  }
  if (!Array.isArray(parsed) || parsed.length === 0) {
    throw fault('USERS_JSON', 'is no list of users', 'write one such as [{"name": "ops"}]');
  }
  const list = parsed.map((user: unknown, index) => {
    const where = `USERS_JSON[${index}]`;
    if (typeof user !== 'object' || user === null) throw fault(where, 'is no object', 'write {"name": "ops"}');
    return checkedUser(where, user);
  });
  const names = list.map((user) => user.name);
  const twice = names.find((each, index) => names.indexOf(each) !== index);
  if (twice !== undefined) throw fault('USERS_JSON', `has ${twice} twice`, 'keep one');
  return list;
}

const FIELDS = ['name', 'uid', 'groups', 'gecos', 'home', 'shell', 'passwordHash', 'sshAuthorizedKeys', 'sudo'];
const HIGHEST_ID = 4_294_967_294;

/** Throws `invalid_params`; a value that may be secret is in no message. */
function checkedUser(where: string, given: object): UserSpec {
  const fields = new Map<string, unknown>(Object.entries(given));
  const unknown = [...fields.keys()].find((key) => !FIELDS.includes(key));
  if (unknown !== undefined) throw fault(where, `has a field ${unknown}`, `the fields are ${FIELDS.join(', ')}`);
  const text = (key: string, pattern: RegExp, fix: string) => optionalField(where, fields, { key, pattern, fix });
  const name = text('name', /^[a-z_][a-z0-9_.-]{0,31}$/, 'use small letters, digits, "_", "-" and "."');
  if (name === undefined) throw fault(where, 'has no name', 'add one');
  return {
    name,
    groups: texts(where, fields, 'groups', /^[a-zA-Z_][a-zA-Z0-9_.-]{0,31}$/),
    sshAuthorizedKeys: texts(where, fields, 'sshAuthorizedKeys', KEY),
    ...withoutUndefined({
      uid: uidOf(where, fields.get('uid')),
      gecos: text('gecos', /^[^:\n\0]*$/, 'leave out ":" and line ends'),
      home: text('home', PATH, 'use an absolute path without ":" and ".."'),
      shell: text('shell', PATH, 'use an absolute path without ":" and ".."'),
      passwordHash: text('passwordHash', HASH, 'use what mkpasswd prints, such as $6$…, or ! to lock it'),
      sudo: sudoOf(where, fields.get('sudo')),
    }),
  };
}

interface TextField {
  readonly key: string;
  readonly pattern: RegExp;
  readonly fix: string;
}

function optionalField(
  where: string,
  fields: ReadonlyMap<string, unknown>,
  { key, pattern, fix }: TextField,
): string | undefined {
  const value = fields.get(key);
  if (value === undefined) return undefined;
  if (typeof value === 'string' && pattern.test(value)) return value;
  throw fault(where, `has a ${key} that cannot be used`, fix);
}

function uidOf(where: string, value: unknown): number | undefined {
  if (value === undefined) return undefined;
  if (typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= HIGHEST_ID) return value;
  throw fault(where, 'has a uid that cannot be used', `use a whole number from 0 to ${HIGHEST_ID}`);
}

function sudoOf(where: string, value: unknown): string | undefined {
  if (value === undefined || value === false) return undefined;
  if (value === true) return 'ALL=(ALL:ALL) NOPASSWD:ALL';
  if (typeof value === 'string' && /^[^\n\0]+$/.test(value)) return value;
  throw fault(where, 'has a sudo that cannot be used', 'use true, or what follows the name in a rule');
}

const PATH = /^\/(?!.*(^|\/)\.\.(\/|$))[^:\n\0]*$/;
/** `$id$…` of the methods that current systems have, or a mark that no password fits. */
const HASH = /^(\$(1|2[abxy]|5|6|7|y|gy)\$[^\s:]+|!|\*|!\*)$/;
/** Options may precede a key. */
const KEY = /^([^\n\0]*\s)?(ssh-[a-z0-9@.-]+|ecdsa-[a-z0-9@.-]+|sk-[a-z0-9@.-]+) [A-Za-z0-9+/]+={0,2}(\s[^\n\0]*)?$/;

function texts(where: string, fields: ReadonlyMap<string, unknown>, key: string, pattern: RegExp): readonly string[] {
  const value = fields.get(key) ?? [];
  const isFine = (item: unknown): item is string => typeof item === 'string' && pattern.test(item);
  if (Array.isArray(value) && value.every((item): item is string => isFine(item))) return value;
  throw fault(where, `has ${key} that cannot be used`, `write a list, each item on one line and complete`);
}

function withoutUndefined<T extends object>(fields: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  const kept = Object.entries(fields).filter(([, value]) => value !== undefined);
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the same fields without those that are undefined
  return Object.fromEntries(kept) as { [K in keyof T]?: Exclude<T[K], undefined> };
}

/** Says where and what, and never repeats a value: hashes are secret. */
function fault(where: string, fact: string, fix: string): TinsmithError {
  return new TinsmithError('invalid_params', `${where} ${fact}: ${fix}`);
}
