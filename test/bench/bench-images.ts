/**
 * The images of the benchmarks, made once and kept in .cache/bench: `full` is a disk image four fifths full of a distribution, `sparse`
 * a large one with little in it; each raw, compressed as people publish them, and in a library as the product packs it.
 */
import { createReadStream } from 'node:fs';
import { link, mkdir, open, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { FRAME_BYTES } from '#proto/library-index.ts';
import { type ImageLibrary, openImageLibrary } from '#server/library/image-library.ts';
import { attachDisk, makeImage, run, serveFolder } from './bench-place.ts';

const MIB = 1 << 20;
const folder = resolve(import.meta.dirname, '../../.cache/bench/images');

export interface BenchImage {
  readonly name: string;
  readonly sizeBytes: number;
  /** Relative to the folder that is served. */
  readonly raw: string;
}

/** What everybody would type to compress an image, quickly. */
const COMPRESSORS = { zst: 'zstd -q -3 -T0', gz: 'gzip -6', xz: 'xz -1 -T0' } as const;
export type Compression = keyof typeof COMPRESSORS;

export async function fullImage(sizeMib: number): Promise<BenchImage> {
  return benchImage(`full-${sizeMib}`, sizeMib * MIB, sizeMib * MIB * 0.8);
}

export async function sparseImage(sizeMib: number, usedMib: number): Promise<BenchImage> {
  return benchImage(`sparse-${sizeMib}-${usedMib}`, sizeMib * MIB, usedMib * MIB);
}

async function benchImage(name: string, sizeBytes: number, usedBytes: number): Promise<BenchImage> {
  await mkdir(folder, { recursive: true });
  const path = join(folder, `${name}.raw`);
  if ((await stat(path).catch(() => undefined)) === undefined) {
    console.error(`making ${name} …`);
    await makeImage(`${path}.part`, sizeBytes, usedBytes);
    await rename(`${path}.part`, path);
  }
  return { name, sizeBytes, raw: `${name}.raw` };
}

/** An absolute path stays what it is. */
export function pathOf(file: string): string {
  return resolve(folder, file);
}

/** The name of the compressed file beside the image. */
export async function compressed({ name, raw }: BenchImage, compression: Compression): Promise<string> {
  const file = `${name}.${compression}`;
  if ((await stat(pathOf(file)).catch(() => undefined)) !== undefined) return file;
  console.error(`making ${file} …`);
  await run('bash', [
    '-c',
    `${COMPRESSORS[compression]} -c "$1" > "$2.part" && mv "$2.part" "$2"`,
    '-',
    pathOf(raw),
    pathOf(file),
  ]);
  return file;
}

export const keyFile = join(folder, 'library.pem');

/** A library of its own in the folder, or in another one. */
export async function benchLibrary(at = join(folder, 'library')): Promise<ImageLibrary> {
  await mkdir(at, { recursive: true });
  const settingsFile = join(at, 'settings.json');
  const settings: Record<string, string> = JSON.parse(await readFile(settingsFile, 'utf8').catch(() => '{}'));
  return openImageLibrary({
    folder: at,
    clock: () => new Date(),
    store: {
      setting: async (key) => settings[key],
      putSetting: async (key, value) => {
        settings[key] = value;
        await writeFile(settingsFile, JSON.stringify(settings));
      },
    },
  });
}

export async function importInto(library: ImageLibrary, { name, raw }: BenchImage): Promise<void> {
  await library.add(name, createReadStream(pathOf(raw), { highWaterMark: MIB }), {
    source: 'bench',
    level: 3,
    signal: new AbortController().signal,
    progress: () => undefined,
  });
}

/** The image in the library, as agents find it below `folders/`. */
export async function packed(image: BenchImage): Promise<void> {
  const library = await benchLibrary();
  await writeFile(keyFile, library.publicKey);
  const known = (await library.list()).find(({ name }) => name === image.name);
  if (known === undefined) {
    console.error(`importing ${image.name} …`);
    await importInto(library, image);
  }
  await linkNames(library);
}

/** `folders/NAME` and `folders/sha256-DIGEST`, as the server's routes give them: the file server here knows files only. */
async function linkNames(library: ImageLibrary): Promise<void> {
  for (const { name, digest } of await library.list()) {
    const blob = await library.folderOf(name);
    if (blob === undefined) continue;
    for (const alias of [name, `sha256-${digest}`]) {
      const target = pathOf(join('folders', alias));
      await rm(target, { recursive: true, force: true });
      await mkdir(target, { recursive: true });
      for (const file of ['image.zst', 'index.json', 'index.sig']) await link(join(blob, file), join(target, file));
    }
  }
}

export interface BenchPlace {
  /** Of the server that has the images. */
  readonly base: string;
  readonly device: string;
  readonly diskFile: string;
}

/** A file system in memory, on every Linux. */
const MEMORY = '/dev/shm';

/** A server and an empty disk that is a little larger than the image: on this machine's disk, or in memory. */
export async function benchPlace(
  { sizeBytes }: BenchImage,
  cleanup: AsyncDisposableStack,
  on: 'disk' | 'memory' = 'disk',
): Promise<BenchPlace> {
  const diskFile = on === 'disk' ? pathOf('disk.img') : join(MEMORY, `tinsmith-bench-${process.pid}.img`);
  const base = await serveFolder(folder, cleanup);
  return { base, diskFile, device: await attachDisk(diskFile, sizeBytes + 64 * MIB, cleanup) };
}

/** One block of every frame (or of that share of them) becomes something else: nothing of an image lies there any more. */
export async function dirty(device: string, sizeBytes: number, share = 1): Promise<void> {
  await using file = await open(device, 'r+');
  const block = Buffer.alloc(4096, 0xa5);
  const step = Math.round(FRAME_BYTES / share);
  for (let at = FRAME_BYTES >> 1; at < sizeBytes; at += step) await file.write(block, 0, block.length, at);
  await file.sync();
}
