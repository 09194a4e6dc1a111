import { TinsmithError } from './errors.ts';
import { faultOfHttpUrl, parseHttpUrl } from './http-url.ts';
import { shownUrl, withoutUrlSecrets } from './url-secrets.ts';

/**
 * `GET /library/IMAGE/mirrors.json`: where else the frames of an image are, best first. Nobody needs to trust a mirror: every frame is
 * checked by the signed index, so a wrong list costs time only.
 */
export interface MirrorList {
  /** Folders that hold `sha256-DIGEST/image.zst`; each ends with a slash. */
  readonly mirrors: readonly URL[];
}

export const MOST_MIRRORS = 32;
export const LONGEST_MIRROR_LIST = 64 * 1024;
const LONGEST_URL = 1024;

export function formatMirrorList(mirrors: readonly string[]): string {
  return `${JSON.stringify({ mirrors })}\n`;
}

/** Throws `invalid_input`. What else the document says is left to later versions. */
export function parseMirrorList(text: string): MirrorList {
  let document: unknown;
  try {
    document = JSON.parse(text);
  } catch {
    // Said below.
  }
  const mirrors: unknown = typeof document === 'object' && document !== null ? Reflect.get(document, 'mirrors') : null;
  if (!Array.isArray(mirrors)) throw new TinsmithError('invalid_input', 'the list of mirrors is not understood');
  return { mirrors: mirrors.slice(0, MOST_MIRRORS).map((mirror) => parseMirrorUrl(String(mirror))) };
}

/** The folder of a mirror, with a slash at its end. Throws `invalid_input` that never repeats a password. */
export function parseMirrorUrl(text: string): URL {
  const withUser = 'it carries a user or password, which every machine would be told: leave them out';
  if (faultOfHttpUrl(text) !== undefined) throw refused(withoutUrlSecrets(text).slice(0, 200), withUser);
  const url = text.length <= LONGEST_URL ? parseHttpUrl(text) : undefined;
  if (url === undefined) {
    const shown = JSON.stringify(withoutUrlSecrets(text).slice(0, 200));
    throw refused(shown, 'use the http or https URL of a folder, http://mirror.example.org/library/');
  }
  const shown = shownUrl(url);
  if (url.username !== '' || url.password !== '') throw refused(shown, withUser);
  if (url.search !== '' || url.hash !== '') throw refused(shown, 'it has a query or fragment: use the URL of a folder');
  if (!url.pathname.endsWith('/')) url.pathname += '/';
  return url;
}

function refused(shown: string, fact: string): TinsmithError {
  return new TinsmithError('invalid_input', `cannot use the mirror ${shown}: ${fact}`);
}
