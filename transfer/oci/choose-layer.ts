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

/**
 * The digest of the manifest for this machine, or undefined when the document is a manifest itself. An entry that names no platform is
 * taken if it is the only one. Throws `unsupported`.
 */
export function manifestFor(document: unknown, architecture: string): string | undefined {
  const manifests = field(document, 'manifests');
  if (!Array.isArray(manifests)) return undefined;
  const entries = manifests
    .filter((entry: unknown) => !isAttestation(entry))
    .map((entry: unknown) => {
      const platform = field(entry, 'platform');
      return { digest: digestOf(entry), os: field(platform, 'os'), architecture: field(platform, 'architecture') };
    });
  const [only] = entries;
  if (only !== undefined && entries.length === 1 && isUnnamed(only.os) && isUnnamed(only.architecture)) {
    return only.digest;
  }
  const fitting = entries.find((entry) => entry.os === 'linux' && entry.architecture === architecture);
  if (fitting !== undefined) return fitting.digest;
  const known = entries.map((entry) => `${text(entry.os)}/${text(entry.architecture)}`).join(', ');
  throw new TinsmithError(
    'unsupported',
    `the index holds nothing for linux/${architecture}, only ${known || 'nothing'}`,
  );
}

/** What BuildKit says of an image beside it; its platform is unknown/unknown. */
function isAttestation(entry: unknown): boolean {
  return field(field(entry, 'annotations'), 'vnd.docker.reference.type') !== undefined;
}

function isUnnamed(value: unknown): boolean {
  return value === undefined || value === '' || value === 'unknown';
}

/**
 * The layer that is the image: the only one, or the only one that title or media type call a disk image, a raw one before those of other
 * formats and those before what is merely compressed; where none is called that, the only one with a title, or the largest. Throws
 * `unsupported`.
 */
export function chooseLayer(document: unknown): Layer {
  const layers = field(document, 'layers');
  if (!Array.isArray(layers) || layers.length === 0) {
    const fact = field(document, 'fsLayers') === undefined ? 'it has no layers' : 'it is of version 1, push it again';
    throw new TinsmithError('unsupported', `cannot use the manifest: ${fact}`);
  }
  const all = layers.map((layer: unknown) => ({ ...readLayer(layer), kind: kindOf(layer) }));
  const [first] = all;
  if (first !== undefined && all.length === 1) return first;
  for (const kind of ['raw', 'other', 'compressed'] as const) {
    const [choice, ...rest] = all.filter((layer) => layer.kind === kind);
    if (choice !== undefined && rest.length === 0) return choice;
    if (choice !== undefined) throw severalImages([choice, ...rest]);
  }
  return unnamedImage(all) ?? readLayer(undefined);
}

function unnamedImage(layers: readonly Layer[]): Layer | undefined {
  const [titled, ...others] = layers.filter(({ title }) => title !== undefined);
  if (titled !== undefined && others.length === 0) return titled;
  return layers.toSorted((a, b) => b.sizeBytes - a.sizeBytes)[0];
}

const RAW_TITLE = /\.(raw|img|bin|dd|gpt|iso)(\.(gz|xz|zst?|bz2|bzip2))?$/i;
const OTHER_TITLE = /\.(qcow2|vmdk|vhdx?|vdi)(\.(gz|xz|zst?|bz2|bzip2))?$/i;
const COMPRESSED_TITLE = /\.(gz|xz|zst?|bz2|bzip2)$/i;
/** Kernels, initial file systems, sums, bills of materials: they end like images and are none. */
const NO_IMAGE_TITLE =
  /(^|[-_./])(vmlinu[xz]|bzimage|initrd|initramfs)([-_.]|$)|^kernel([-_.]|$)|\.(cpio|json|ya?ml|txt|md|log)\.[a-z0-9]+$/i;

/** What a layer is called, by its title, else by its media type; undefined: no disk image. */
function kindOf(layer: unknown): 'raw' | 'other' | 'compressed' | undefined {
  const { title = '' } = readLayer(layer);
  const mediaType = field(layer, 'mediaType');
  const type = typeof mediaType === 'string' ? mediaType : '';
  if (NO_IMAGE_TITLE.test(title)) return undefined;
  if (RAW_TITLE.test(title)) return 'raw';
  if (OTHER_TITLE.test(title) || /qcow|qemu|vmdk|vhd|vdi|virtualbox/i.test(type)) return 'other';
  if (/disk/i.test(type)) return 'raw';
  return COMPRESSED_TITLE.test(title) ? 'compressed' : undefined;
}

const MOST_NAMED = 8;

function severalImages(layers: readonly Layer[]): TinsmithError {
  const names = layers.slice(0, MOST_NAMED).map(({ title, digest }) => title?.slice(0, 100) ?? digest);
  const rest = layers.length > MOST_NAMED ? [`${layers.length - MOST_NAMED} others`] : [];
  const [last = '', ...before] = [...names, ...rest].toReversed();
  const which = `${before.toReversed().join(', ')} or ${last}`;
  const fix = 'push the one that is meant as an artefact of its own';
  return new TinsmithError('unsupported', `cannot tell which layer is the image, ${which}: ${fix}`);
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
