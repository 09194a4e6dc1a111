/**
 * Library images: against `curl | zstd -d | dd` on a full image and on a sparse one, on a disk that holds the image already (0, 1 and
 * 30 % changed), after a cut in the middle, and the import. Needs root, curl, dd, zstd, losetup, mke2fs and blkdiscard.
 *
 *   npm run bench -- library-image [--size-mib 1024] [--sparse-mib 10240] [--sparse-used-mib 1536] [--runs 3]
 *
 * Goals: 1.5 times the pipeline on a full image, 5 times on the sparse one; an unchanged disk at least 3 times a full write; after a cut
 * at most one frame per slot is fetched again.
 */
import { createReadStream, createWriteStream } from 'node:fs';
import { link, mkdir, open, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { parseArgs } from 'node:util';
import { createZstdCompress } from 'node:zlib';
import { FRAME_BYTES } from '#proto/library-index.ts';
import { type ImageLibrary, openImageLibrary } from '#server/library/image-library.ts';
import {
  attachDisk,
  type Contender,
  cleanUpOnSignals,
  costLines,
  inTurns,
  type Line,
  makeImage,
  printLines,
  rateLines,
  serveFolder,
  settle,
  type Timing,
  timePipeline,
  timeScript,
} from './bench-place.ts';

const { values } = parseArgs({
  options: {
    'size-mib': { type: 'string', default: '1024' },
    'sparse-mib': { type: 'string', default: '10240' },
    'sparse-used-mib': { type: 'string', default: '1536' },
    runs: { type: 'string', default: '3' },
  },
});
const MIB = 1 << 20;
const runs = Number(values.runs);
const folder = resolve(import.meta.dirname, '../../.cache/bench/library-image');
const keyFile = join(folder, 'library.pem');
const diskFile = join(folder, 'disk.img');

interface BenchImage {
  readonly name: string;
  readonly sizeBytes: number;
  readonly usedBytes: number;
}

const full: BenchImage = {
  name: `full-${values['size-mib']}`,
  sizeBytes: Number(values['size-mib']) * MIB,
  usedBytes: Number(values['size-mib']) * MIB * 0.8,
};
const sparse: BenchImage = {
  name: `sparse-${values['sparse-mib']}`,
  sizeBytes: Number(values['sparse-mib']) * MIB,
  usedBytes: Number(values['sparse-used-mib']) * MIB,
};

async function library(): Promise<ImageLibrary> {
  const settingsFile = join(folder, 'settings.json');
  const settings: Record<string, string> = JSON.parse(await readFile(settingsFile, 'utf8').catch(() => '{}'));
  return openImageLibrary({
    folder: join(folder, 'library'),
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

/** The image as a .zst for the pipeline and in the library; made once. Returns the rate of the import, if there was one. */
async function prepare({ name, sizeBytes, usedBytes }: BenchImage, images: ImageLibrary): Promise<readonly Line[]> {
  const zst = join(folder, `${name}.zst`);
  const isThere = (await images.list()).some((image) => image.name === name);
  if (isThere && (await stat(zst).catch(() => undefined)) !== undefined) return [];
  const raw = join(folder, `${name}.raw`);
  console.error(`making ${name} …`);
  await makeImage(raw, sizeBytes, usedBytes);
  await pipeline(createReadStream(raw, { highWaterMark: MIB }), createZstdCompress(), createWriteStream(`${zst}.part`));
  await rename(`${zst}.part`, zst);
  const startedAt = performance.now();
  await images.add(name, createReadStream(raw, { highWaterMark: MIB }), {
    source: 'bench',
    level: 3,
    signal: new AbortController().signal,
    progress: () => undefined,
  });
  const seconds = (performance.now() - startedAt) / 1000;
  await rm(raw);
  return [{ name: `${name} import (level 3)`, unit: 'MB/s', value: sizeBytes / 1e6 / seconds }];
}

interface Place {
  readonly base: string;
  readonly device: string;
}

function write({ name }: BenchImage, { base, device }: Place, stopAt?: string): Promise<Timing> {
  const argv = [`${base}/folders/`, name, keyFile, device, ...(stopAt === undefined ? [] : [stopAt])];
  return timeScript('./library-image-agent.ts', argv);
}

async function againstPipeline(image: BenchImage, place: Place): Promise<readonly Line[]> {
  const contenders: Contender[] = [
    ['library', () => write(image, place)],
    ['zstd -dc', () => timePipeline('zstd -dc', `${place.base}/${image.name}.zst`, place.device)],
  ];
  // A disk full of something else: nothing of the image lies there, and zeros have to be made.
  const fresh = async (): Promise<void> => {
    await dirty(place.device, image.sizeBytes);
    await settle(place.device, diskFile);
  };
  const timings = await inTurns(contenders, runs, fresh);
  return [...rateLines(image.name, timings, image.sizeBytes), ...costLines(image.name, timings.get('library') ?? [])];
}

/** One block of every frame becomes something else. */
async function dirty(device: string, sizeBytes: number, share = 1): Promise<void> {
  await using file = await open(device, 'r+');
  const block = Buffer.alloc(4096, 0xa5);
  const step = Math.round(FRAME_BYTES / share);
  for (let at = FRAME_BYTES >> 1; at < sizeBytes; at += step) await file.write(block, 0, block.length, at);
  await file.sync();
}

async function reimage(image: BenchImage, place: Place): Promise<readonly Line[]> {
  await dirty(place.device, image.sizeBytes);
  const whole = await write(image, place);
  const lines: Line[] = [];
  for (const share of [0, 0.01, 0.3]) {
    const timings: Timing[] = [];
    for (let round = 0; round < runs; round++) {
      if (share > 0) await dirty(place.device, image.sizeBytes, share);
      await settle(place.device, diskFile);
      timings.push(await write(image, place));
    }
    const seconds = Math.min(...timings.map((timing) => timing.seconds));
    const name = `${image.name} ${share * 100} % changed`;
    lines.push({ name: `${name}, times a full write`, unit: 'ratio', value: whole.seconds / seconds });
    lines.push({ name: `${name}, fetched`, unit: 'MB', value: (timings[0]?.receivedBytes ?? 0) / 1e6 });
  }
  return lines;
}

async function resume(image: BenchImage, place: Place): Promise<readonly Line[]> {
  await dirty(place.device, image.sizeBytes);
  const whole = await write(image, place);
  await dirty(place.device, image.sizeBytes);
  await write(image, place, '0.5');
  const rest = await write(image, place);
  const name = `${image.name} after a cut at 50 %`;
  return [
    {
      name: `${name}, fetched of a full write`,
      unit: 'ratio',
      value: (rest.receivedBytes ?? 0) / (whole.receivedBytes ?? 1),
    },
  ];
}

await using cleanup = new AsyncDisposableStack();
cleanUpOnSignals(cleanup);
await mkdir(folder, { recursive: true });
const images = await library();
await writeFile(keyFile, images.publicKey);
const lines = [...(await prepare(full, images)), ...(await prepare(sparse, images))];
await linkNames(images);
const base = await serveFolder(folder, cleanup);
const device = await attachDisk(diskFile, Math.max(full.sizeBytes, sparse.sizeBytes) + 64 * MIB, cleanup);
const place = { base, device };
printLines([
  ...lines,
  ...(await againstPipeline(full, place)),
  ...(await againstPipeline(sparse, place)),
  ...(await reimage(full, place)),
  ...(await resume(full, place)),
]);

/** `folders/NAME` and `folders/sha256-DIGEST`, as the server's routes give them: the file server here knows files only. */
async function linkNames(from: ImageLibrary): Promise<void> {
  for (const { name, digest } of await from.list()) {
    const blob = await from.folderOf(name);
    if (blob === undefined) continue;
    for (const alias of [name, `sha256-${digest}`]) {
      const target = join(folder, 'folders', alias);
      await rm(target, { recursive: true, force: true });
      await mkdir(target, { recursive: true });
      for (const file of ['image.zst', 'index.json', 'index.sig']) await link(join(blob, file), join(target, file));
    }
  }
}
