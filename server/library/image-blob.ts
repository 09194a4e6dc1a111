import { createHash, hash, verify } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { access, readFile, rename, stat, utimes } from 'node:fs/promises';
import { join } from 'node:path';
import { TinsmithError } from '#proto/errors.ts';
import { type LibraryIndex, parseLibraryIndex } from '#proto/library-index.ts';
import type { LibraryImage, Working } from './image-library.ts';

/** The files of an image. What vouches for the others comes last. */
export const BLOB_FILES = ['image.zst', 'index.sig', 'index.json'] as const;

/** Reads all of an image again and compares it with its name, its index and the library's key. Throws `corrupt_image` with what differs. */
export async function verifyBlob(
  folder: string,
  { image, publicKey }: { readonly image: LibraryImage; readonly publicKey: string },
  { signal, progress }: Working,
): Promise<void> {
  const { name } = image;
  for (const file of BLOB_FILES) {
    await access(join(folder, file)).catch(() => {
      throw damaged(name, `its ${file} is missing`);
    });
  }
  const document = await readFile(join(folder, 'index.json'));
  if (hash('sha256', document) !== image.digest)
    throw damaged(name, 'its index is not the one that was made at its import');
  const signature = Buffer.from((await readFile(join(folder, 'index.sig'), 'latin1')).trim(), 'base64');
  if (!verify(null, document, publicKey, signature)) {
    throw damaged(name, 'its signature is none of this library’s key, so that machines refuse it');
  }
  const index = parseLibraryIndex(document.toString('utf8'));
  requireFactsOf(index, image);
  const sum = createHash('sha256');
  let bytes = 0;
  for await (const chunk of createReadStream(join(folder, 'image.zst'), { highWaterMark: 1 << 20, signal })) {
    sum.update(chunk);
    bytes += chunk.length;
    progress(Math.floor((bytes / index.fileBytes) * index.imageBytes));
  }
  if (bytes !== index.fileBytes) throw damaged(name, `its file has ${bytes} of ${index.fileBytes} bytes`);
  if (sum.digest('hex') !== index.fileSha256) throw damaged(name, 'bytes of its file have changed');
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

/** Throws unless the name says of the image what the signed index says. */
function requireFactsOf(index: LibraryIndex, image: LibraryImage): void {
  const facts = Object.entries(factsOf(index));
  const wrong = facts.find(([key, value]) => Reflect.get(image, key) !== value);
  if (wrong === undefined) return;
  const [key, value] = wrong;
  throw damaged(image.name, `its name says ${String(Reflect.get(image, key))} for ${key}, the signed index ${value}`);
}

function damaged(name: string, fact: string): TinsmithError {
  return new TinsmithError('corrupt_image', `the library's image ${name} is damaged: ${fact}: import it again`);
}
