import { createPrivateKey, createPublicKey, generateKeyPairSync, hash, type KeyObject, sign } from 'node:crypto';
import { chmod, mkdir, mkdtemp, open, readdir, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { TinsmithError } from '#proto/errors.ts';
import { formatLibraryIndex, type LibraryIndex } from '#proto/library-index.ts';
import { didYouMean, mostLike } from '../manifests/did-you-mean.ts';
import type { Store } from '../store/store.ts';
import { type AddOutcome, addedAgain } from './added-again.ts';
import { cannotWrite } from './cannot-write.ts';
import type { VouchedBy } from './checks/vouched-by.ts';
import type { ForUrl } from './for-url.ts';
import { blobDamage, blobVersion, type Damage, factsOf, renewBlob } from './image-blob.ts';
import { ImageDamage } from './image-damage.ts';
import { ImageMirrors } from './image-mirrors.ts';
import type { ImagePiece } from './image-piece.ts';
import { type DamagedName, damagedSentence, IMAGE_NAME, isDamaged, NameFiles } from './name-files.ts';
import { packImage } from './pack-image.ts';
import { requireWholeImage } from './require-whole-image.ts';
import { syncFolder, writeAll, writeSynced } from './synced-files.ts';

/**
 * The folder of images, laid out so that any web server can serve a copy of it:
 *
 *     blobs/sha256-<digest>/image.zst, index.json, index.sig     an image by the SHA-256 of its index; never changed
 *     names/<name>.json                                    which digest a name stands for
 *     mirrors/<name>.json                                  where else its frames are; kept when a name gets another image
 *     incoming/<random>/                                   what is being imported; emptied at every start
 *     library.lock                                         held by the server that works on it
 *
 * An image is served from the moment its name exists, which is the last step of an import: a crash before leaves nothing.
 */
export interface ImageLibrary {
  /** For agents: Ed25519, SPKI in PEM. */
  readonly publicKey: string;
  /** A folder on the library's disk for what an import needs until it ends; emptied at every start. */
  readonly scratch: string;
  /** Packs a decoded image under a name; an image that has the name keeps its blob until `gc`. Throws what the source throws. */
  add(name: string, image: AsyncIterable<ImagePiece>, options: AddOptions): Promise<LibraryImage>;
  /** Sorted by name. */
  list(): Promise<readonly LibraryImage[]>;
  /** Names whose files cannot be used, and images that machines refuse, as far as that is known. Sorted by name. */
  damaged(): Promise<readonly DamagedName[]>;
  /** Throws `not_found` with the name that may be meant and the few that are most like it, and `corrupt_image` for a damaged name. */
  show(name: string): Promise<LibraryImage>;
  /** What a name stands for, also a damaged one. Throws `not_found`. */
  named(name: string): Promise<LibraryImage | DamagedName>;
  /** Reads everything again and compares, with the signature that machines ask for. Throws `corrupt_image` with what differs. */
  verify(name: string, options: Working): Promise<LibraryImage>;
  /** Forgets the name and its mirrors, also a damaged one; the bytes go with `gc`. */
  remove(name: string): Promise<void>;
  /**
   * Deletes what no name stands for and nobody wants kept, and names of which nobody can tell what they stand for. Says how much that
   * was. `kept` is asked after the names were read: who is given what a name stands for is written down before the name gets another
   * image. Throws `write_failed` where a name cannot be read: its image would go.
   */
  gc(kept?: () => Promise<ReadonlySet<string>>): Promise<Collected>;
  /** The folder of an image by its name or `sha256-<digest>`; undefined if there is none. */
  folderOf(nameOrDigest: string): Promise<string | undefined>;
  /** Digest of an image that can be served, by its name or `sha256-<digest>`; undefined if there is none. */
  digestOf(nameOrDigest: string): Promise<string | undefined>;
  /** Whether it can be served, by its name or `sha256-<digest>`. */
  has(nameOrDigest: string): Promise<boolean>;
  readonly mirrors: ImageMirrors;
}

/** An image as its name stands for it now. */
export interface LibraryImage {
  readonly name: string;
  /** SHA-256 of the index, lower-case hex: it vouches for every byte. */
  readonly digest: string;
  readonly imageBytes: number;
  readonly imageSha256: string;
  /** Of the packed file. */
  readonly fileBytes: number;
  /** Of the image, that are no zeros. */
  readonly dataBytes: number;
  /** Where it came from, without passwords. */
  readonly source: string;
  readonly addedAt: Date;
  /** Workflows that name this URL get it. */
  readonly forUrl?: ForUrl;
  /** Of the file as it was, where all of it was read. */
  readonly sourceSha256?: string;
  readonly sourceBytes?: number;
  /** Strong ETag or date that the source's server gave it. */
  readonly validator?: string;
  /** What said that it is the right one; empty: nothing. Absent: it was imported before that was written down. */
  readonly vouchedBy?: readonly VouchedBy[];
  /** Why it may not be what was meant, although it was imported. */
  readonly warning?: string;
  /** What the last verification found, if it was not mended since. */
  readonly damage?: Damage;
}

interface PackedImage {
  readonly index: LibraryIndex;
  readonly warning: string | undefined;
}

/** What `gc` deleted. */
export interface Collected {
  readonly digests: readonly string[];
  readonly bytes: number;
}

/** What is known of a source when all of it was read. */
export type SourceFacts = Pick<LibraryImage, 'sourceSha256' | 'sourceBytes' | 'validator' | 'vouchedBy'>;

export interface Working {
  readonly signal: AbortSignal;
  /** Bytes of the image that are done. */
  readonly progress: (imageBytes: number) => void;
}

/** What is known of an image beforehand, and how it is packed. */
export interface AddOptions extends Working {
  readonly source: string;
  /** Of zstd, 1 to 19. */
  readonly level: number;
  /** What the image must turn out to be; lower-case hex. */
  readonly imageSha256?: string;
  readonly forUrl?: ForUrl;
  /** Before the name gets this image instead of another one; what it throws ends the import, and nothing has changed. */
  readonly beforeReplace?: (old: LibraryImage) => Promise<void>;
  /** Asked when the image has ended. */
  readonly sourceFacts?: () => SourceFacts;
  /** Told before `add` resolves. */
  readonly outcome?: (outcome: AddOutcome) => void;
}

export interface LibraryOptions {
  readonly folder: string;
  readonly store: Pick<Store, 'setting' | 'putSetting'>;
  readonly clock: () => Date;
}

const KEY_SETTING = 'library.signing-key';
/** Of the names that there are, where another one was asked for. */
const NAMES_SHOWN = 3;
const DIGEST = /^sha256-([0-9a-f]{64})$/;

/** Opens the library; what an import left behind that did not end is removed. */
export async function openImageLibrary(options: LibraryOptions): Promise<ImageLibrary> {
  const { folder } = options;
  for (const part of ['blobs', 'names', 'mirrors', 'incoming']) {
    await mkdir(join(folder, part), { recursive: true }).catch(cannotWrite(folder));
  }
  for (const left of await readdir(join(folder, 'incoming'))) {
    // It harms nobody, and what can be read can be served: `whyReadOnly` says why nothing can be written.
    await rm(join(folder, 'incoming', left), { recursive: true, force: true }).catch(() => undefined);
  }
  const key = await signingKey(options.store);
  return new FolderLibrary(options, key);
}

async function signingKey(store: LibraryOptions['store']): Promise<KeyObject> {
  const stored = await store.setting(KEY_SETTING);
  if (stored !== undefined) return createPrivateKey(stored);
  const { privateKey } = generateKeyPairSync('ed25519');
  await store.putSetting(KEY_SETTING, privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(), { secret: true });
  return privateKey;
}

class FolderLibrary implements ImageLibrary {
  readonly publicKey: string;
  readonly scratch: string;
  readonly mirrors: ImageMirrors;
  readonly #folder: string;
  readonly #clock: () => Date;
  readonly #key: KeyObject;
  readonly #names: NameFiles;
  readonly #damage: ImageDamage;
  readonly #cannotWrite: (cause: unknown) => never;
  #busy: Promise<void> = Promise.resolve();

  constructor({ folder, clock }: LibraryOptions, key: KeyObject) {
    this.#folder = folder;
    this.scratch = join(folder, 'incoming');
    this.mirrors = new ImageMirrors(join(folder, 'mirrors'), this);
    this.#clock = clock;
    this.#key = key;
    this.#names = new NameFiles(join(folder, 'names'));
    this.#cannotWrite = cannotWrite(folder);
    this.publicKey = createPublicKey(key).export({ type: 'spki', format: 'pem' }).toString();
    const { publicKey } = this;
    this.#damage = new ImageDamage({ names: this.#names, publicKey, blobOf: (digest) => this.#blob(digest) });
  }

  async add(name: string, image: AsyncIterable<ImagePiece>, options: AddOptions): Promise<LibraryImage> {
    requireName(name);
    const incoming = await mkdtemp(join(this.scratch, `${name}-`)).catch(this.#cannotWrite);
    try {
      const { index, warning } = await this.#pack(incoming, image, options);
      if (options.imageSha256 !== undefined && options.imageSha256 !== index.imageSha256) {
        const sentence = `the image has the SHA-256 ${index.imageSha256}, expected was ${options.imageSha256}: use the right image or the right sum`;
        throw new TinsmithError('checksum_mismatch', sentence);
      }
      const digest = await this.#sign(incoming, index).catch(this.#cannotWrite);
      const { source, forUrl, sourceFacts, outcome: told } = options;
      const origin = { source, ...(forUrl && { forUrl }), ...(warning && { warning }), ...sourceFacts?.() };
      const made = { name, digest, ...factsOf(index), ...origin, addedAt: this.#clock() };
      const { image: added, outcome } = await this.#alone(async () => {
        const old = await this.#names.find(name);
        const former = old === undefined || isDamaged(old) ? undefined : old;
        if (former !== undefined && former.digest !== digest) await options.beforeReplace?.(former);
        await this.#publish(incoming, digest);
        const again = addedAgain(former, made);
        if (again.outcome !== 'unchanged') await this.#names.put(again.image);
        await this.#damage.note(again.image, undefined);
        return again;
      }).catch(this.#cannotWrite);
      told?.(outcome);
      return added;
    } finally {
      // What ended the import is to be told; what stays goes with the next start.
      await rm(incoming, { recursive: true, force: true }).catch(() => undefined);
    }
  }

  async list(): Promise<readonly LibraryImage[]> {
    return (await this.#names.all()).images;
  }

  async damaged(): Promise<readonly DamagedName[]> {
    const { images, damaged } = await this.#names.all();
    return [...damaged, ...(await this.#damage.among(images))].toSorted((a, b) => (a.name < b.name ? -1 : 1));
  }

  async show(name: string): Promise<LibraryImage> {
    const found = await this.named(name);
    if (isDamaged(found)) throw new TinsmithError('corrupt_image', damagedSentence(found));
    return found;
  }

  async named(name: string): Promise<LibraryImage | DamagedName> {
    const found = await this.#names.find(name);
    if (found !== undefined) return found;
    const { images, damaged: others } = await this.#names.all();
    throw unknownName(
      name,
      [...images, ...others].map((each) => each.name),
    );
  }

  async verify(name: string, working: Working): Promise<LibraryImage> {
    const { damage: _before, ...image } = await this.show(name);
    const blob = this.#blob(image.digest);
    const version = await blobVersion(blob);
    const damage = await blobDamage(blob, { image, publicKey: this.publicKey }, working);
    // It may have been added anew meanwhile; and what was found is to be told where it cannot be kept, as on a full disk.
    const note = async (): Promise<void> => {
      if ((await blobVersion(blob)) === version) await this.#damage.note(image, damage);
    };
    await this.#alone(note).catch(() => undefined);
    if (damage === undefined) return image;
    const sentence = `the library's image ${name} is damaged: ${damage.fact}: import it again`;
    throw new TinsmithError('corrupt_image', sentence);
  }

  async remove(name: string): Promise<void> {
    await this.named(name);
    await this.mirrors.forget(name).catch(this.#cannotWrite);
    await this.#names.remove(name).catch(this.#cannotWrite);
  }

  gc(kept: () => Promise<ReadonlySet<string>> = async () => new Set()): Promise<Collected> {
    return this.#alone(() => this.#collect(kept)).catch(this.#cannotWrite);
  }

  async #collect(kept: () => Promise<ReadonlySet<string>>): Promise<Collected> {
    const { images, damaged: unknown } = await this.#names.all();
    // The bytes that it stood for are there, and nobody knows which they are.
    if (unknown[0] !== undefined)
      throw new TinsmithError('corrupt_image', `nothing is deleted: ${damagedSentence(unknown[0])}`);
    const wanted = new Set([...images.map(({ digest }) => digest), ...(await kept())]);
    const blobs = await readdir(join(this.#folder, 'blobs'));
    const digests = blobs.flatMap((blob) => DIGEST.exec(blob)?.[1] ?? []).filter((digest) => !wanted.has(digest));
    let bytes = 0;
    for (const digest of digests) {
      bytes += await bytesIn(this.#blob(digest));
      // Gone in one step for whoever asks now, bit by bit for the disk.
      const doomed = await mkdtemp(join(this.#folder, 'incoming', 'doomed-'));
      await rename(this.#blob(digest), join(doomed, digest));
      await rm(doomed, { recursive: true, force: true });
    }
    return { digests, bytes };
  }

  /** One after the other: a blob has no name yet when it is put in place, and `gc` would take it for nobody's. */
  async #alone<T>(work: () => Promise<T>): Promise<T> {
    const before = this.#busy;
    const mine = before.then(work);
    this.#busy = mine.then(
      () => undefined,
      () => undefined,
    );
    return mine;
  }

  async folderOf(nameOrDigest: string): Promise<string | undefined> {
    const digest = await this.#wantedDigest(nameOrDigest);
    return digest === undefined ? undefined : this.#blob(digest);
  }

  async digestOf(nameOrDigest: string): Promise<string | undefined> {
    const digest = await this.#wantedDigest(nameOrDigest);
    return digest !== undefined && (await exists(join(this.#blob(digest), 'index.json'))) ? digest : undefined;
  }

  async has(nameOrDigest: string): Promise<boolean> {
    return (await this.digestOf(nameOrDigest)) !== undefined;
  }

  async #pack(folder: string, image: AsyncIterable<ImagePiece>, options: AddOptions): Promise<PackedImage> {
    await using file = await open(join(folder, 'image.zst'), 'wx', 0o644).catch(this.#cannotWrite);
    const write = (bytes: Uint8Array): Promise<void> => writeAll(file, bytes).catch(this.#cannotWrite);
    let warning: string | undefined;
    const whole = requireWholeImage(image, (text) => {
      warning = text;
    });
    const index = await packImage(whole, write, options);
    await file.sync().catch(this.#cannotWrite);
    return { index, warning };
  }

  async #sign(folder: string, index: LibraryIndex): Promise<string> {
    const document = Buffer.from(formatLibraryIndex(index));
    await writeSynced(join(folder, 'index.json'), document);
    await writeSynced(
      join(folder, 'index.sig'),
      Buffer.from(`${sign(null, document, this.#key).toString('base64')}\n`),
    );
    return hash('sha256', document);
  }

  /**
   * A blob of this digest that is there already gets its files anew: they are the same bytes, or its own were damaged. Whoever reads
   * one at this moment goes on with the file that it opened.
   */
  async #publish(incoming: string, digest: string): Promise<void> {
    // A copy of the folder is for other programs to serve.
    await chmod(incoming, 0o755);
    await syncFolder(incoming);
    const blob = this.#blob(digest);
    if (await exists(blob)) {
      await renewBlob(incoming, blob);
      await chmod(blob, 0o755);
      await syncFolder(blob);
      return;
    }
    await rename(incoming, blob);
    await syncFolder(join(this.#folder, 'blobs'));
  }

  /** What a name stands for, or a digest itself. None of a damaged name. */
  async #wantedDigest(name: string): Promise<string | undefined> {
    const digest = DIGEST.exec(name)?.[1];
    if (digest !== undefined) return digest;
    const found = await this.#names.find(name);
    return found === undefined || isDamaged(found) ? undefined : found.digest;
  }

  #blob(digest: string): string {
    return join(this.#folder, 'blobs', `sha256-${digest}`);
  }
}

function unknownName(name: string, known: readonly string[]): TinsmithError {
  const more = known.length > NAMES_SHOWN ? ` and ${known.length - NAMES_SHOWN} more (tinsmith image list)` : '';
  const fact = known.length === 0 ? 'it is empty' : `it has ${mostLike(name, known, NAMES_SHOWN).join(', ')}${more}`;
  const sentence = `there is no image ${JSON.stringify(name)} in the library${didYouMean(name, known)}: ${fact}`;
  return new TinsmithError('not_found', sentence);
}

function requireName(name: string): void {
  if (IMAGE_NAME.test(name) && !DIGEST.test(name)) return;
  const rule = DIGEST.test(name)
    ? 'that is how images are asked for by their digest'
    : 'use lower-case letters, digits, ".", "_" and "-", at most 128, with a letter or digit at both ends';
  throw new TinsmithError('invalid_input', `an image cannot be named ${JSON.stringify(name.slice(0, 200))}: ${rule}`);
}

async function bytesIn(folder: string): Promise<number> {
  const files = await readdir(folder);
  const sizes = await Promise.all(files.map(async (file) => (await stat(join(folder, file))).size));
  return sizes.reduce((sum, size) => sum + size, 0);
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}
