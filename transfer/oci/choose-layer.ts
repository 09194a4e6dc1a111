import { TinsmithError } from '#proto/errors.ts';

// OCI Image Specification 1.1: index and manifest; the same fields in Docker's version 2, schema 2.

/** A blob that a manifest names. */
export interface Layer {
  /** `sha256:` and 64 hexadecimal digits. */
  readonly digest: string;
  readonly sizeBytes: number;
  /** The file's name, where whoever pushed it gave one. */
  readonly title?: string;
}

/** The digest of the manifest for this machine, or undefined when the document is a manifest itself. Throws `unsupported`. */
export function manifestFor(document: unknown, architecture: string): string | undefined {
  const manifests = field(document, 'manifests');
  if (!Array.isArray(manifests)) return undefined;
  const entries = manifests.map((entry: unknown) => {
    const platform = field(entry, 'platform');
    return {
      digest: digestOf(entry),
      os: field(platform, 'os'),
      architecture: field(platform, 'architecture'),
    };
  });
  const [only] = entries;
  if (only !== undefined && entries.length === 1) return only.digest;
  const fitting = entries.find((entry) => entry.os === 'linux' && entry.architecture === architecture);
  if (fitting !== undefined) return fitting.digest;
  const known = entries.map((entry) => `${text(entry.os)}/${text(entry.architecture)}`).join(', ');
  throw new TinsmithError(
    'unsupported',
    `the index holds nothing for linux/${architecture}, only ${known || 'nothing'}`,
  );
}

const IMAGE_TITLE = /\.(raw|img|bin|dd|gpt|iso)(\.(gz|xz|zst?|bz2|bzip2))?$|\.(gz|xz|zst?|bz2|bzip2)$/i;

const DISK_TITLE = /\.(qcow2|vmdk|vhdx?|vdi)(\.(gz|xz|zst?|bz2|bzip2))?$/i;

/**
 * The layer that is the image: the only one, or the only one with a title, or with the title of an image; otherwise the
 * largest. Throws `unsupported`.
 */
export function chooseLayer(document: unknown): Layer {
  const layers = field(document, 'layers');
  if (!Array.isArray(layers) || layers.length === 0) {
    const fact = field(document, 'fsLayers') === undefined ? 'it has no layers' : 'it is of version 1, push it again';
    throw new TinsmithError('unsupported', `cannot use the manifest: ${fact}`);
  }
  const all = layers.map(readLayer);
  const titled = all.filter((layer) => layer.title !== undefined);
  const images = titled.filter((layer) => IMAGE_TITLE.test(layer.title ?? ''));
  const disks = titled.filter((layer) => DISK_TITLE.test(layer.title ?? ''));
  const [choice] = [all, titled, images, disks].find((list) => list.length === 1) ?? [];
  return choice ?? all.toSorted((a, b) => b.sizeBytes - a.sizeBytes)[0] ?? readLayer(undefined);
}

function readLayer(layer: unknown): Layer {
  const size = field(layer, 'size');
  const title = field(field(layer, 'annotations'), 'org.opencontainers.image.title');
  return {
    digest: digestOf(layer),
    sizeBytes: typeof size === 'number' ? size : 0,
    ...(typeof title === 'string' && title !== '' ? { title } : {}),
  };
}

function digestOf(descriptor: unknown): string {
  const digest = field(descriptor, 'digest');
  if (typeof digest === 'string' && /^sha256:[0-9a-f]{64}$/.test(digest)) return digest;
  throw new TinsmithError('unsupported', `cannot use the manifest: ${JSON.stringify(digest)} is no sha256 digest`);
}

function text(value: unknown): string {
  return typeof value === 'string' ? value : '?';
}

function field(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null ? Reflect.get(value, name) : undefined;
}
