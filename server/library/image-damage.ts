import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { messageOf } from '#proto/errors.ts';
import { blobVersion, type Damage, visibleDamage } from './image-blob.ts';
import type { LibraryImage } from './image-library.ts';
import type { DamagedName, NameFiles } from './name-files.ts';

export interface ImageDamageOptions {
  readonly names: NameFiles;
  readonly blobOf: (digest: string) => string;
  /** Of the library. */
  readonly publicKey: string;
}

interface Seen {
  readonly version: string;
  readonly damage: Damage | undefined;
}

/** What is known to be wrong with images: what a verification found, and what is seen without reading all of them. */
export class ImageDamage {
  readonly #options: ImageDamageOptions;
  /** By digest: an index of a large image takes its time, and images are listed often. */
  readonly #seen = new Map<string, Seen>();

  constructor(options: ImageDamageOptions) {
    this.#options = options;
  }

  /** Those of the images that machines would refuse. */
  async among(images: readonly LibraryImage[]): Promise<readonly DamagedName[]> {
    const damaged: DamagedName[] = [];
    for (const image of images) {
      const folder = this.#options.blobOf(image.digest);
      const damage = (await this.#look(folder, image)) ?? image.damage;
      if (damage !== undefined) damaged.push({ name: image.name, ...damage, file: join(folder, damage.file) });
    }
    return damaged;
  }

  /** Keeps what a verification found, or that it found nothing, with all names of the image. */
  async note(image: LibraryImage, damage: Damage | undefined): Promise<void> {
    for (const { damage: known, ...each } of (await this.#options.names.all()).images) {
      if (!isSameImage(each, image) || isDeepStrictEqual(known, damage)) continue;
      await this.#options.names.put({ ...each, ...(damage && { damage }) });
    }
  }

  async #look(folder: string, image: LibraryImage): Promise<Damage | undefined> {
    const version = await blobVersion(folder);
    const seen = this.#seen.get(image.digest);
    if (seen?.version === version) return seen.damage;
    const damage = await this.#lookAnew(folder, image);
    this.#seen.set(image.digest, { version, damage });
    return damage;
  }

  async #lookAnew(folder: string, image: LibraryImage): Promise<Damage | undefined> {
    const { publicKey } = this.#options;
    try {
      const damage = await visibleDamage(folder, { image, publicKey });
      if (damage !== undefined) return damage;
      const { size } = await stat(join(folder, 'image.zst'));
      const fact = `its file has ${size} of ${image.fileBytes} bytes`;
      return size === image.fileBytes ? undefined : { file: 'image.zst', fact };
    } catch (thrown) {
      return { file: 'index.json', fact: `it cannot be read (${messageOf(thrown)})` };
    }
  }
}

/** A name that says other things of its image has a damage of its own. */
function isSameImage(one: LibraryImage, other: LibraryImage): boolean {
  const keys = ['digest', 'imageBytes', 'imageSha256', 'fileBytes', 'dataBytes'] as const;
  return keys.every((key) => one[key] === other[key]);
}
