import { createHash, hash, verify } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { access, readFile, rename, stat, utimes } from 'node:fs/promises';
import { join } from 'node:path';
import { type LibraryIndex, parseLibraryIndex } from '#proto/library-index.ts';
import type { LibraryImage, Working } from './image-library.ts';

/** The files of an image. What vouches for the others comes last. */
export const BLOB_FILES = ['image.zst', 'index.sig', 'index.json'] as const;

/** What is wrong with an image, and in which of its files. */
export interface Damage {
  readonly file: (typeof BLOB_FILES)[number];
  readonly fact: string;
}

interface Expected {
  readonly image: LibraryImage;
  /** Of the library. */
  readonly publicKey: string;
}

/** Reads all of an image again and compares it with its name, its index and the library's key. Undefined: it is whole. */
export async function blobDamage(
  folder: string,
  { image, publicKey }: Expected,
  { signal, progress }: Working,
): Promise<Damage | undefined> {
  const seen = await visibleDamage(folder, { image, publicKey });
  if (seen !== undefined) return seen;
  const index = parseLibraryIndex(await readFile(join(folder, 'index.json'), 'utf8'));
  const wrong = wrongFact(index, image);
  if (wrong !== undefined) return { file: 'index.json', fact: wrong };
  const sum = createHash('sha256');
  let bytes = 0;
  for await (const chunk of createReadStream(join(folder, 'image.zst'), { highWaterMark: 1 << 20, signal })) {
    sum.update(chunk);
    bytes += chunk.length;
    progress(Math.floor((bytes / index.fileBytes) * index.imageBytes));
  }
  if (bytes !== index.fileBytes)
    return { file: 'image.zst', fact: `its file has ${bytes} of ${index.fileBytes} bytes` };
  return sum.digest('hex') === index.fileSha256
    ? undefined
    : { file: 'image.zst', fact: 'bytes of its file have changed' };
}

/** The same as far as it can be told without reading the image itself. */
export async function visibleDamage(folder: string, { image, publicKey }: Expected): Promise<Damage | undefined> {
  for (const file of BLOB_FILES) {
    const isThere = await access(join(folder, file)).then(
      () => true,
      () => false,
    );
    if (!isThere) return { file, fact: `its ${file} is missing` };
  }
  const document = await readFile(join(folder, 'index.json'));
  if (hash('sha256', document) !== image.digest)
    return { file: 'index.json', fact: 'its index is not the one that was made at its import' };
  const signature = Buffer.from((await readFile(join(folder, 'index.sig'), 'latin1')).trim(), 'base64');
  if (verify(null, document, publicKey, signature)) return undefined;
  return { file: 'index.sig', fact: 'its signature is none of this library’s key, so that machines refuse it' };
}

/** Another one after each change of its files. */
export async function blobVersion(folder: string): Promise<string> {
  const versions = BLOB_FILES.map(async (file) => {
    const stats = await stat(join(folder, file)).catch(() => undefined);
    return stats === undefined ? '-' : `${stats.ino} ${stats.size} ${stats.mtimeMs} ${stats.ctimeMs}`;
  });
  return (await Promise.all(versions)).join();
}

/**
 * Moves files in place of those of the same image. They keep the date of the old ones, which caches and copies know them by: what a
 * digest stands for never changes. Only another key makes another signature.
 */
export async function renewBlob(from: string, blob: string): Promise<void> {
  for (const file of BLOB_FILES) {
    const [fresh, old] = [join(from, file), join(blob, file)];
    const known = await stat(old).catch(() => undefined);
    const isSame = file !== 'index.sig' || (known !== undefined && (await readFile(old)).equals(await readFile(fresh)));
    if (known !== undefined && isSame) await utimes(fresh, known.atimeMs / 1000, known.mtimeMs / 1000);
    await rename(fresh, old);
  }
}

/** What the name of an image says of it, by its index. */
export function factsOf(
  index: LibraryIndex,
): Pick<LibraryImage, 'imageBytes' | 'imageSha256' | 'fileBytes' | 'dataBytes'> {
  const { imageBytes, imageSha256, fileBytes, frames } = index;
  const data = frames.filter(({ sums }) => sums !== undefined);
  return { imageBytes, imageSha256, fileBytes, dataBytes: data.reduce((sum, frame) => sum + frame.imageBytes, 0) };
}

/** What the name of an image says of it otherwise than the signed index. */
function wrongFact(index: LibraryIndex, image: LibraryImage): string | undefined {
  const facts = Object.entries(factsOf(index));
  const wrong = facts.find(([key, value]) => Reflect.get(image, key) !== value);
  if (wrong === undefined) return undefined;
  const [key, value] = wrong;
  return `its name says ${String(Reflect.get(image, key))} for ${key}, the signed index ${value}`;
}
