import { createHash } from 'node:crypto';
import { imageBaseName } from '#proto/actions/catalog.ts';
import { image2disk } from '#proto/actions/image2disk.ts';
import type { ProxyParams } from '#proto/actions/proxy.ts';
import { qemuimg2disk } from '#proto/actions/qemuimg2disk.ts';
import { TinsmithError } from '#proto/errors.ts';
import { shownUrl, withoutUrlSecrets } from '#proto/url-secrets.ts';
import type { Workflow } from '../../store/store.ts';
import type { ForUrl } from '../image-library.ts';

/** An image of another server that an action is to write. */
export interface WantedImage {
  /** Indices in the workflow. */
  readonly task: number;
  readonly action: number;
  readonly actionName: string;
  /** With its passwords and signatures: for the download and nothing else. */
  readonly url: URL;
  /** See `urlKey`. */
  readonly key: string;
  /** Without passwords and signatures. */
  readonly shown: string;
  /** Last part of its path, for people. */
  readonly file: string;
  /** Of the file as it is downloaded; lower-case hex. */
  readonly sha256?: string;
  /** Of the image that comes out of it. */
  readonly rawSha256?: string;
  readonly proxy: ProxyParams;
}

/**
 * Images of other servers that a workflow writes, in its order, by image2disk or qemuimg2disk. What an action cannot read itself
 * stays its own to complain about.
 */
export function wantedImages(
  { rendered }: Pick<Workflow, 'rendered'>,
  isOwn: (url: URL) => boolean,
): readonly WantedImage[] {
  return rendered.tasks.flatMap((each, task) =>
    each.actions.flatMap(({ name, image, environment, command }, action) => {
      const wanted = readImage(image, environment, command);
      if (wanted === undefined || isOwn(wanted.url)) return [];
      const { url } = wanted;
      const file = decodeURIComponentOr(url.pathname.split('/').findLast((part) => part !== '') ?? url.host);
      return [{ task, action, actionName: name, key: urlKey(url), shown: shownUrl(url), file, ...wanted }];
    }),
  );
}

type ReadImage = Pick<WantedImage, 'url' | 'sha256' | 'rawSha256' | 'proxy'>;

function readImage(
  image: string,
  environment: Readonly<Record<string, string>>,
  command: readonly string[],
): ReadImage | undefined {
  const base = imageBaseName(image);
  if (base === 'image2disk') {
    const params = orUndefined(() => image2disk.parse(environment, command));
    if (params === undefined || !('url' in params.image)) return undefined;
    const { sha256, rawSha256, proxy } = params;
    const raw = rawSha256 === undefined ? {} : { rawSha256 };
    return { url: new URL(params.image.url), proxy, ...raw, ...(sha256 !== undefined && { sha256 }) };
  }
  if (base !== 'qemuimg2disk') return undefined;
  const params = orUndefined(() => qemuimg2disk.parse(environment, command));
  if (params === undefined) return undefined;
  const { sha256, proxy } = params;
  return { url: new URL(params.url), proxy, ...(sha256 !== undefined && { sha256 }) };
}

/** What actions are rendered to, as far as it names images. */
interface NamingTask {
  readonly actions: readonly { readonly image: string; readonly environment: Readonly<Record<string, string>> }[];
}

/** What actions call images of the library: their names, or `sha256-<digest>`; each once. */
export function libraryNames(tasks: readonly NamingTask[]): readonly string[] {
  const names = tasks.flatMap(({ actions }) =>
    actions.flatMap(({ image, environment }) => {
      return imageBaseName(image) === 'image2disk' ? (libraryName(environment['IMG_URL'] ?? '') ?? []) : [];
    }),
  );
  return [...new Set(names)];
}

/** The name in `library:NAME`; undefined: it is something else. */
export function libraryName(text: string): string | undefined {
  return /^library:([a-z0-9][a-z0-9._-]*)$/.exec(text.trim())?.[1];
}

/** The agent refuses what cannot be read with the same sentence, as it does without a library. */
export function orUndefined<T>(parse: () => T): T | undefined {
  try {
    return parse();
  } catch {
    return undefined;
  }
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

/** What an operator says that an image is for. Throws `invalid_input`. */
export function pinnedUrl(text: string): ForUrl {
  const url = URL.parse(text.trim());
  if (url !== null && ['http:', 'https:'].includes(url.protocol) && url.hostname !== '') {
    return { key: urlKey(url), shown: shownUrl(url), isPinned: true };
  }
  const shown = JSON.stringify(withoutUrlSecrets(text.slice(0, 200)));
  throw new TinsmithError(
    'invalid_input',
    `an image cannot be for ${shown}: name an http or https URL, as workflows do`,
  );
}

function decodeURIComponentOr(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
