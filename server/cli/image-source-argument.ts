import { stat } from 'node:fs/promises';
import { isAbsolute, resolve } from 'node:path';
import { TinsmithError } from '#proto/errors.ts';
import { withoutUrlSecrets } from '#proto/url-secrets.ts';

/**
 * The source of an image as it was given: a path for the server, which runs on this host but in another folder, a URL, or an OCI
 * reference; `-`: the line on standard input, because argv is visible to everyone and a URL may hold a secret. Throws `usage`.
 */
export async function imageSource(
  given: string,
  isInputTaken: boolean,
  readStandardInput: () => Promise<string>,
): Promise<string> {
  if (given !== '-') return sourceOf(given);
  if (isInputTaken) {
    const fix = 'leave out one of them, or set REGISTRY_PASSWORD';
    throw new TinsmithError('usage', `SOURCE is - and --password-stdin reads standard input, too: ${fix}`);
  }
  const line = (await readStandardInput()).trim();
  if (line === '' || /\s/.test(line)) {
    // What came instead is in no sentence: it may be a secret.
    const fact = line === '' ? 'standard input is empty' : 'standard input has more than one word';
    throw new TinsmithError('usage', `${fact}: give it one line, the URL or path of the image`);
  }
  return sourceOf(line);
}

async function sourceOf(given: string): Promise<string> {
  const isReference = /^([^/@]*[.:][^/@]*|localhost)\/[^/]/.test(given) && !/^\.{1,2}\//.test(given);
  const place = await placeArgument('SOURCE', given);
  // A file that is there is meant, however its name looks.
  return place === given || !isReference || (await exists(place)) ? place : `oci://${given}`;
}

/** A path for the server, or a URL as it is. Throws `usage` for what looks like a URL whose scheme was forgotten; `what` is the argument. */
export async function placeArgument(what: string, given: string): Promise<string> {
  if (given.includes('://')) return given;
  const path = resolve(given);
  const url = urlWithoutScheme(given);
  if (url === undefined || (await exists(path))) return path;
  const registry = what === 'SOURCE' ? ', or oci:// in front if it is in a registry' : '';
  throw new TinsmithError(
    'usage',
    `${what} is neither a file nor a URL: did you mean ${url}? Write http:// or https:// in front${registry}`,
  );
}

/** A file's name behind a host; a reference of a registry has no such end, or a tag or digest behind it. */
const FILE_ON_HOST =
  /^([\w-]+(\.[\w-]+)+(:\d{1,5})?|[\w-]+:\d{1,5}|\[[\da-f:.]+\](:\d{1,5})?)\/\S*(\.(raw|img|iso|qcow2|vmdk|vhdx?|vdi|tar|tgz|gz|xz|zst|bz2|sig|minisig|asc|txt)|SUMS?)$/i;

/** The URL that may be meant, without its secrets, where only the scheme seems to lack. An absolute path is one, whatever is in it. */
function urlWithoutScheme(given: string): string | undefined {
  if (isAbsolute(given) && !given.startsWith('//')) return undefined;
  const [beforeQuery = ''] = given.split(/[?#]/, 1);
  if (withoutUrlSecrets(given) === given && !FILE_ON_HOST.test(beforeQuery)) return undefined;
  // Of `http:/user:…`, `http//user:…` and `//user:…`, too.
  return withoutUrlSecrets(`http://${given.replace(/^(https?(:\/*|\/\/)|\/+)/i, '')}`);
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}
