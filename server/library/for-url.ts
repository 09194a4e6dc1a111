import { createHash } from 'node:crypto';
import { TinsmithError } from '#proto/errors.ts';
import { parseHttpUrl } from '#proto/http-url.ts';
import { shownUrl, withoutUrlSecrets } from '#proto/url-secrets.ts';

/** Which URL of another server an image is for: workflows that name it get the image. */
export interface ForUrl {
  /** See `urlKey`. */
  readonly key: string;
  /** Without passwords and signatures. */
  readonly shown: string;
  /** An operator said so: the URL's server is not asked whether it has changed. */
  readonly isPinned: boolean;
}

/** What an operator says that an image is for. Throws `invalid_input`. */
export function pinnedUrl(text: string): ForUrl {
  const url = parseHttpUrl(text.trim());
  if (url !== undefined) return { key: urlKey(url), shown: shownUrl(url), isPinned: true };
  const shown = JSON.stringify(withoutUrlSecrets(text).slice(0, 200));
  throw new TinsmithError(
    'invalid_input',
    `an image cannot be for ${shown}: name an http or https URL, as workflows do`,
  );
}

/** Signatures of S3's and GCS's presigned URLs: each has another one, for the same file. */
const SIGNATURE = /^x-(amz|goog)-/i;

/**
 * What a URL is known by: SHA-256 of it without user, password, fragment and signature, which do not name another file. A digest
 * of a password would be a way to guess it.
 */
export function urlKey(url: URL): string {
  const file = new URL(url);
  Object.assign(file, { username: '', password: '', hash: '' });
  const signed = [...file.searchParams.keys()].filter((name) => SIGNATURE.test(name));
  for (const name of signed) file.searchParams.delete(name);
  return createHash('sha256').update(file.href).digest('hex');
}

/** What the library calls the image of a URL that was imported on first use. */
export function firstUseName(key: string): string {
  return `url-${key.slice(0, 32)}`;
}

/** Throws `invalid_input` for a name that images get on first use: the next import would put another image in its place. */
export function requireOwnName(name: string): void {
  if (!/^url-/i.test(name)) return;
  const fact = 'names that begin with url- are for images that workflows name by a URL';
  const fix = 'use another name, and say with --for-url which URL it is for';
  throw new TinsmithError(
    'invalid_input',
    `cannot add the image ${JSON.stringify(name.slice(0, 200))}: ${fact}: ${fix}`,
  );
}
