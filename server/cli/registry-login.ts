import { readFile } from 'node:fs/promises';
import { messageOf, TinsmithError } from '#proto/errors.ts';
import type { CommandContext, CommandInput, OptionSpec } from './command.ts';

/** How a command takes the login of a registry. There is no option for the password itself: argv is visible to everyone. */
export const REGISTRY_OPTIONS: Readonly<Record<string, OptionSpec>> = {
  username: { type: 'string', value: 'USER', summary: 'User of the OCI registry (REGISTRY_USERNAME).' },
  'password-stdin': {
    type: 'boolean',
    summary: 'Read the password or token of that user from standard input (REGISTRY_PASSWORD).',
  },
  'auth-file': { type: 'string', value: 'FILE', summary: 'Take both from a config.json of docker, podman or oras.' },
};

export interface RegistryLogin {
  readonly username: string;
  readonly password: string;
}

/** `reference`: `oci://…`. Undefined: nobody logs in. Throws `usage` or `invalid_input`; the password is in no sentence. */
export async function registryLogin(
  reference: string,
  input: CommandInput,
  context: Pick<CommandContext, 'environment' | 'readStandardInput'>,
): Promise<RegistryLogin | undefined> {
  const file = input.text('auth-file');
  if (file === undefined) return givenLogin(input, context);
  if (input.text('username') === undefined && !input.has('password-stdin')) return loginFromFile(file, reference);
  const fix = 'leave out --username and --password-stdin';
  throw new TinsmithError('usage', `--auth-file already names user and password: ${fix}`);
}

async function givenLogin(
  input: CommandInput,
  { environment, readStandardInput }: Pick<CommandContext, 'environment' | 'readStandardInput'>,
): Promise<RegistryLogin | undefined> {
  const username = input.text('username') ?? environment['REGISTRY_USERNAME'] ?? '';
  const password = input.has('password-stdin')
    ? (await readStandardInput()).replace(/\r?\n$/, '')
    : (environment['REGISTRY_PASSWORD'] ?? '');
  if (username !== '' && password !== '') return { username, password };
  if (username === '' && password === '' && !input.has('password-stdin')) return undefined;
  const missing = username === '' ? 'user: use --username or REGISTRY_USERNAME' : undefined;
  const fix = missing ?? `password of ${username}: use --password-stdin or REGISTRY_PASSWORD`;
  throw new TinsmithError('usage', `the registry needs the ${fix}`);
}

async function loginFromFile(path: string, reference: string): Promise<RegistryLogin> {
  const entries = await readEntries(path);
  const wanted = placeOf(reference);
  const [best] = entries
    .filter(({ place }) => wanted === place || wanted.startsWith(`${place}/`))
    .toSorted((a, b) => b.place.length - a.place.length);
  if (best === undefined) {
    const known = entries.map(({ place }) => place).join(', ') || 'none';
    throw new TinsmithError('invalid_input', `${path} has no login for ${wanted}; it has ${known}`);
  }
  if (best.login !== undefined) return best.login;
  const fix = 'give user and password with --username and --password-stdin';
  throw new TinsmithError('invalid_input', `${path} keeps the login for ${best.place} somewhere else: ${fix}`);
}

interface Entry {
  /** A registry's host, or a path below it. */
  readonly place: string;
  /** Undefined: a helper program has it. */
  readonly login: RegistryLogin | undefined;
}

async function readEntries(path: string): Promise<readonly Entry[]> {
  const text = await readFile(path, 'utf8').catch((cause: unknown) => {
    throw new TinsmithError('not_found', `cannot read the logins in ${path}: ${messageOf(cause)}`, { cause });
  });
  let auths: unknown;
  try {
    auths = Reflect.get(Object(JSON.parse(text)), 'auths');
  } catch {
    // A parser's own sentence quotes what it read.
    throw new TinsmithError('invalid_input', `cannot read the logins in ${path}: it is no JSON`);
  }
  return Object.entries(Object(auths)).map(([key, entry]) => ({ place: placeOf(key), login: loginOf(entry) }));
}

function loginOf(entry: unknown): RegistryLogin | undefined {
  const auth: unknown = Reflect.get(Object(entry), 'auth');
  const [, username, password] =
    typeof auth === 'string' ? (/^([^:]+):([^\0]+)/.exec(Buffer.from(auth, 'base64').toString('utf8')) ?? []) : [];
  return username === undefined || password === undefined ? undefined : { username, password };
}

/** `host/path` of a reference or of a key; Docker Hub has several names. */
function placeOf(text: string): string {
  const path = text
    .replace(/^[a-z+]+:\/\//, '')
    .replace(/\/v[12]\/?$/, '')
    .replace(/\/+$/, '')
    .replace(/@.*$/, '')
    .replace(/:[^/:]*$/, (tag, at: number, whole: string) => (whole.slice(0, at).includes('/') ? '' : tag));
  const [host = ''] = path.split('/', 1);
  const hasHost = /[.:]|^localhost$/.test(host);
  return hasHost ? path.replace(/^(index|registry-1)\.docker\.io/, 'docker.io') : `docker.io/${path}`;
}
