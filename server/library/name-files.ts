import { constants } from 'node:fs';
import { open, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { Type } from 'typebox';
import { Check, Errors } from 'typebox/value';
import { messageOf, systemCodeOf } from '#proto/errors.ts';
import { vouchedBySchema } from './checks/vouched-by.ts';
import { BLOB_FILES } from './image-blob.ts';
import type { LibraryImage } from './image-library.ts';
import { replaceSynced, syncFolder } from './synced-files.ts';

/** What goes into a URL and a file name as it is. */
export const IMAGE_NAME = /^[a-z0-9]([a-z0-9._-]{0,126}[a-z0-9])?$/;

const bytes = Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER });
const sum = Type.String({ pattern: '^[0-9a-f]{64}$' });

/** As it is in the file. More may be in it: a later version of the server may have written it. */
const storedImageSchema = Type.Object({
  name: Type.String(),
  digest: sum,
  imageBytes: bytes,
  imageSha256: sum,
  fileBytes: bytes,
  dataBytes: bytes,
  source: Type.String(),
  addedAt: Type.String({ format: 'date-time' }),
  forUrl: Type.Optional(Type.Object({ key: sum, shown: Type.String(), isPinned: Type.Boolean() })),
  sourceSha256: Type.Optional(sum),
  sourceBytes: Type.Optional(bytes),
  validator: Type.Optional(Type.String()),
  vouchedBy: Type.Optional(Type.Array(vouchedBySchema)),
  warning: Type.Optional(Type.String()),
  damage: Type.Optional(
    Type.Object({ file: Type.Union(BLOB_FILES.map((file) => Type.Literal(file))), fact: Type.String() }),
  ),
});

/** A name whose file cannot be used, so that nobody knows which image it stands for; or one whose image cannot be used. */
export interface DamagedName {
  readonly name: string;
  readonly file: string;
  /** What is wrong with the file. */
  readonly fact: string;
}

/** Which image each name stands for: one small JSON file a name. */
export class NameFiles {
  readonly #folder: string;

  constructor(folder: string) {
    this.#folder = folder;
  }

  /** Sorted by name. */
  async all(): Promise<{ readonly images: readonly LibraryImage[]; readonly damaged: readonly DamagedName[] }> {
    const files = await readdir(this.#folder);
    const names = files.filter((file) => file.endsWith('.json')).map((file) => file.slice(0, -5));
    const found = await Promise.all(names.toSorted().map((name) => this.find(name)));
    // A name that was removed meanwhile is none any more, and a file of somebody else never was.
    return {
      images: found.flatMap((each) => (each === undefined || isDamaged(each) ? [] : [each])),
      damaged: found.flatMap((each) => (each !== undefined && isDamaged(each) ? [each] : [])),
    };
  }

  /** Undefined: there is no such name. */
  async find(name: string): Promise<LibraryImage | DamagedName | undefined> {
    if (!IMAGE_NAME.test(name)) return undefined;
    const file = this.#file(name);
    let text: string;
    try {
      text = await readRegular(file);
    } catch (thrown) {
      if (systemCodeOf(thrown) === 'ENOENT') return undefined;
      return { name, file, fact: `it cannot be read (${messageOf(thrown)})` };
    }
    const image = parseImage(name, text);
    return typeof image === 'string' ? { name, file, fact: image } : image;
  }

  async put({ addedAt, ...image }: LibraryImage): Promise<void> {
    const file = this.#file(image.name);
    const before = await this.find(image.name);
    // A folder of that name would not make way.
    if (before !== undefined && isDamaged(before)) await rm(file, { recursive: true, force: true });
    await replaceSynced(file, { ...image, addedAt: addedAt.toISOString() });
  }

  async remove(name: string): Promise<void> {
    await rm(this.#file(name), { recursive: true, force: true });
    await syncFolder(this.#folder);
  }

  #file(name: string): string {
    return join(this.#folder, `${name}.json`);
  }
}

/** Tells the two kinds of names apart. */
export function isDamaged(found: LibraryImage | DamagedName): found is DamagedName {
  return 'fact' in found;
}

/** What to say of a damaged name, with the fix. */
export function damagedSentence({ name, file, fact }: DamagedName): string {
  const fix = `import it again (tinsmith image add ${name} SOURCE), or remove it (tinsmith image remove ${name})`;
  return `the library's image ${name} is damaged: ${fact}, its file ${file}: ${fix}`;
}

/** A pipe is not waited for. */
async function readRegular(path: string): Promise<string> {
  await using handle = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
  if (!(await handle.stat()).isFile()) return '';
  return await handle.readFile('utf8');
}

/** What is wrong, if it is no image. */
function parseImage(name: string, text: string): LibraryImage | string {
  const stored = parseJson(text);
  if (!Check(Type.Object({}), stored)) return 'what its name stands for is not in';
  if (!Check(storedImageSchema, stored)) return `what it says of ${wrongIn(stored)} is missing or wrong`;
  if (stored.name !== name) return 'another name is in';
  const { addedAt, ...image } = stored;
  return { ...image, addedAt: new Date(addedAt) };
}

/** Names of what does not fit. */
function wrongIn(stored: unknown): string {
  const wrong = Errors(storedImageSchema, stored).flatMap(({ instancePath, keyword, params }) => {
    const [, key] = instancePath.split('/');
    if (key !== undefined) return key;
    return keyword === 'required' ? params.requiredProperties : [];
  });
  return [...new Set(wrong)].join(', ');
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // Said by whoever asked, with the file.
    return undefined;
  }
}
