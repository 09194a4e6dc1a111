import { readFile, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { systemCodeOf, TinsmithError } from '#proto/errors.ts';
import { MOST_MIRRORS, parseMirrorUrl } from '#proto/mirror-list.ts';
import { cannotWrite } from './cannot-write.ts';
import type { ImageLibrary } from './image-library.ts';
import { replaceSynced, syncFolder } from './synced-files.ts';

/** Where else the frames of images are, best first: folders that hold `sha256-<digest>/`. One small file a name. */
export class ImageMirrors {
  readonly #folder: string;
  readonly #images: Pick<ImageLibrary, 'list' | 'show'>;
  /** Changes are read, made and written one after the other. */
  #last: Promise<unknown> = Promise.resolve();

  constructor(folder: string, images: Pick<ImageLibrary, 'list' | 'show'>) {
    this.#folder = folder;
    this.#images = images;
  }

  /** Throws `not_found` for a name that the library does not have. */
  async of(name: string): Promise<readonly string[]> {
    await this.#images.show(name);
    return this.#read(name);
  }

  /** Of `sha256-<digest>`, too: those of all names that stand for it. Empty for what the library does not have. */
  async ofAny(nameOrDigest: string): Promise<readonly string[]> {
    const images = await this.#images.list();
    const names = images.filter(({ name, digest }) => name === nameOrDigest || `sha256-${digest}` === nameOrDigest);
    const lists = await Promise.all(names.map(({ name }) => this.#read(name)));
    return [...new Set(lists.flat())];
  }

  /**
   * Takes some off the list and puts others at its end; what is there, or is not, already is no error. Resolves to the list. Throws
   * `invalid_input` for what cannot be a mirror, and `not_found`.
   */
  change(
    name: string,
    { add, remove }: { add: readonly string[]; remove: readonly string[] },
  ): Promise<readonly string[]> {
    const change = async (): Promise<readonly string[]> => {
      const before = await this.of(name);
      const gone = new Set(remove.map((url) => parseMirrorUrl(url).href));
      const kept = before.filter((url) => !gone.has(url));
      const mirrors = [...new Set([...kept, ...add.map((url) => parseMirrorUrl(url).href)])];
      if (mirrors.length > MOST_MIRRORS) {
        const fact = `${mirrors.length} are too many: machines try ${MOST_MIRRORS}`;
        throw new TinsmithError('invalid_input', `cannot add mirrors to the image ${name}: ${fact}`);
      }
      await replaceSynced(this.#file(name), { mirrors }).catch(cannotWrite(dirname(this.#folder)));
      return mirrors;
    };
    const changed = this.#last.then(change, change);
    this.#last = changed.catch(() => undefined);
    return changed;
  }

  async forget(name: string): Promise<void> {
    await rm(this.#file(name), { force: true });
    await syncFolder(this.#folder);
  }

  async #read(name: string): Promise<readonly string[]> {
    try {
      const { mirrors } = JSON.parse(await readFile(this.#file(name), 'utf8'));
      return mirrors;
    } catch (thrown) {
      if (systemCodeOf(thrown) === 'ENOENT') return [];
      throw thrown;
    }
  }

  #file(name: string): string {
    return join(this.#folder, `${name}.json`);
  }
}
