export const REDACTED = '(redacted)';

// One rule wherever a URL is shown: user, password, query and fragment may be secrets (presigned URLs, `sig=`, `token=`); scheme,
// host, port and path are not.

/** A URL fit for sentences. */
export function shownUrl(url: URL): string {
  return `${url.protocol}//${url.host}${url.pathname}`;
}

/** As URLs are read, the last `@` before path, query or fragment ends the password. */
const BEFORE_QUERY = String.raw`(?<scheme>\b[a-z][a-z0-9+.-]{0,30}:\/\/)(?<user>[^\s/?#]+@)?(?<rest>[^\s?#"'<>${'`'}]*)`;
/** White space, quotes and a sentence's end close a URL in a text; `'` may be a part of it unless it began there. */
const URL_IN_TEXT = new RegExp(
  String.raw`(?<=')${BEFORE_QUERY}(?:(?<mark>[?#])[^\s"'<>${'`'}]+(?<![:,.;]))?|${BEFORE_QUERY}(?:(?<mark>[?#])[^\s"<>${'`'}]+(?<![:,.;]))?`,
  'gi',
);

/** A text without the secret parts of the URLs in it: `https://(redacted)@host/path?(redacted)`. */
export function withoutUrlSecrets(text: string): string {
  return text.replaceAll(URL_IN_TEXT, (...found) => {
    const { scheme, user, rest, mark }: Readonly<Record<string, string | undefined>> = Object(found.at(-1));
    return `${scheme}${user === undefined ? '' : `${REDACTED}@`}${rest}${mark === undefined ? '' : `${mark}${REDACTED}`}`;
  });
}
