export const REDACTED = '(redacted)';

// One rule wherever a URL is shown: user, password, query and fragment may be secrets (presigned URLs, `sig=`, `token=`); scheme,
// host, port and path are not.

/** A URL fit for sentences. */
export function shownUrl(url: URL): string {
  const rest = `${url.host}${url.pathname}`;
  return `${url.protocol}//${rest.slice(endOfSecret(url.username === '' ? undefined : url.username, rest, ''))}`;
}

/** As URLs are read, the last `@` before path, query or fragment ends the password. */
const BEFORE_QUERY = String.raw`(?<scheme>\b[a-z][a-z0-9+.-]{0,30}:\/\/)(?<user>[^\s/?#]+@)?(?<rest>[^\s?#"'<>${'`'}]*)`;
/** White space, quotes and a sentence's end close a URL in a text; `'` may be a part of it unless it began there. */
const URL_IN_TEXT = new RegExp(
  String.raw`(?<=')${BEFORE_QUERY}(?:(?<mark>[?#])[^\s"'<>${'`'}]+(?<![:,.;]))?|${BEFORE_QUERY}(?:(?<mark>[?#])[^\s"<>${'`'}]+(?<![:,.;]))?`,
  'gi',
);

/** `10.0.0.1`, `[fd00::1]`, `localhost`, `files.example.com` or `any:8080`, then a path. No scope (`@scope/`), no version (`@1.2.3/`). */
const HOST_AND_PATH = String.raw`(?:(?:\d{1,3}(?:\.\d{1,3}){3}|\[[\da-f:.]+\]|localhost|(?:[a-z\d_-]{1,63}\.){1,20}[a-z][a-z\d-]{0,62})(?::\d{1,5})?|[a-z\d_.-]{1,253}:\d{1,5})\/`;
const AT_HOST = new RegExp(`@(?=${HOST_AND_PATH})`, 'gi');
/**
 * `user:password@host/` that lacks its scheme, at the start of a word or path; a password may have an `@` or a slash. A digest behind a tag
 * (`name:tag@sha256:…`) is none.
 */
const USER_WITHOUT_SCHEME = new RegExp(
  String.raw`(?<![^\s"'<>${'`'}=(,;\/])[^\s"'<>${'`'}=(,;\/:@]{1,100}:(?!\/\/)[^\s"'<>${'`'}]{1,300}@(?!sha\d+:)(?=(?:\[[\da-f:.]+\]|[a-z\d_.-]{1,253})(?::\d{1,5})?\/)`,
  'gi',
);

/**
 * Whether a password seems to go on behind what reads as the host: the host's port is none (`user:se/cret@host`), or there was a user (or
 * a bare name with a port), and an `@` of the path has another host and path behind it. An `@` alone says nothing: it is in many paths.
 */
export function hasSecretInPath(url: string): boolean {
  const [, user, rest = '', more = ''] = /^[a-z][a-z\d+.-]*:\/\/([^\s/?#]*@)?([^\s?#]*)(.*)$/is.exec(url) ?? [];
  return endOfSecret(user, rest, more) > 0;
}

/** How much of what follows the user is still secret. */
function endOfSecret(user: string | undefined, rest: string, more: string): number {
  const [authority = ''] = rest.split('/', 1);
  const isPort = /^(\[[^\]]*\]|[^:]*)(:\d*)?$/.test(authority);
  // Such a text is no URL, so that nothing of it has to be kept.
  if (!isPort && more.includes('@')) return rest.length;
  if (!isPort) return rest.lastIndexOf('@') + 1;
  const isUser = user !== undefined || (/^[^.:[\]]+:\d+$/.test(authority) && !/^localhost:/i.test(authority));
  const last = isUser ? [...rest.matchAll(AT_HOST)].at(-1) : undefined;
  return last === undefined ? 0 : last.index + 1;
}

/** A text without the secret parts of the URLs in it: `https://(redacted)@host/path?(redacted)`. */
export function withoutUrlSecrets(text: string): string {
  return text
    .replaceAll(URL_IN_TEXT, (whole, ...found) => {
      const { scheme = '', user, rest = '', mark }: Readonly<Record<string, string | undefined>> = Object(found.at(-1));
      const head = scheme.length + (user?.length ?? 0) + rest.length;
      const secret = endOfSecret(user, rest, whole.slice(head));
      const who = user === undefined && secret === 0 ? '' : `${REDACTED}@`;
      return `${scheme}${who}${rest.slice(secret)}${mark === undefined ? '' : `${mark}${REDACTED}`}`;
    })
    .replaceAll(USER_WITHOUT_SCHEME, `${REDACTED}@`);
}
