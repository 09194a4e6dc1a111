import { TinsmithError } from './errors.ts';
import { hasSecretInPath, withoutUrlSecrets } from './url-secrets.ts';

/** A complete http or https URL; undefined: the text is something else. Throws `invalid_input` for what `faultOfHttpUrl` says. */
export function parseHttpUrl(text: string): URL | undefined {
  const fault = faultOfHttpUrl(text);
  if (fault !== undefined) {
    throw new TinsmithError('invalid_input', `the URL ${withoutUrlSecrets(text).slice(0, 200)} ${fault}`);
  }
  return readHttpUrl(text);
}

/** What is wrong with the user and password of a URL, with the fix; undefined: nothing, or it is no URL. Repeats nothing of it. */
export function faultOfHttpUrl(text: string): string | undefined {
  // What follows such a password is no port, or no host: nobody is to be asked for a part of it.
  if (hasSecretInPath(text)) {
    return 'seems to have a user and password that end at a later @: write an @ in them as %40, a / as %2F, a ? as %3F and a # as %23, and an @ in the path as %40';
  }
  const url = readHttpUrl(text);
  return url === undefined || canDecodeUser(url)
    ? undefined
    : 'has a % in its user or password that begins no percent-coded character: write the % as %25';
}

function readHttpUrl(text: string): URL | undefined {
  const url = URL.parse(text);
  return url !== null && ['http:', 'https:'].includes(url.protocol) ? url : undefined;
}

/** Whether user and password can be sent: they are UTF-8, percent-coded (RFC 3986 2.1). */
function canDecodeUser({ username, password }: URL): boolean {
  try {
    decodeURIComponent(`${username}:${password}`);
    return true;
  } catch {
    return false;
  }
}
