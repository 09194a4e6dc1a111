/**
 * The agent's write path against what an administrator would type: `curl | zstd -d | dd`. Needs root, curl, dd, gzip, zstd, losetup and
 * mke2fs; igzip joins in where it is installed.
 *
 *   npm run bench -- write-image [--size-mib 1024] [--runs 3]
 *
 * Goals: zst at least as fast as the pipeline, gz at least twice as fast as with gzip and as fast as with igzip.
 */
import { createReadStream, createWriteStream } from 'node:fs';
import { copyFile, mkdir, readdir, rm, stat } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { parseArgs } from 'node:util';
import { createGzip, createZstdCompress } from 'node:zlib';
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
  run,
  serveFolder,
  settle,
  timePipeline,
  timeScript,
} from './bench-place.ts';

const { values } = parseArgs({
  options: { 'size-mib': { type: 'string', default: '1024' }, runs: { type: 'string', default: '3' } },
});
const sizeBytes = Number(values['size-mib']) * 1024 * 1024;
const runs = Number(values.runs);
const folder = resolve(import.meta.dirname, '../../.cache/bench/write-image');
const diskFile = join(folder, 'disk.img');

async function makeFiles(): Promise<void> {
  await mkdir(folder, { recursive: true });
  const image = join(folder, 'image.raw');
  const present = await stat(image).catch(() => undefined);
  if (present?.size !== sizeBytes) {
    for (const name of await readdir(folder)) await rm(join(folder, name), { recursive: true });
    console.error('making the image …');
    await makeImage(image, sizeBytes, sizeBytes * 0.8);
  }
  for (const [name, compress] of [
    ['image.zst', () => createZstdCompress()],
    ['image.gz', () => createGzip({ level: 6 })],
  ] as const) {
    const file = join(folder, name);
    if ((await stat(file).catch(() => undefined)) !== undefined) continue;
    console.error(`making ${name} …`);
    await pipeline(createReadStream(image, { highWaterMark: 1 << 20 }), compress(), createWriteStream(`${file}.part`));
    await copyFile(`${file}.part`, file);
    await rm(`${file}.part`);
  }
}

async function isInstalled(program: string): Promise<boolean> {
  return run('sh', ['-c', `command -v ${program}`]).then(
    () => true,
    () => false,
  );
}

async function compare(format: string, decoders: readonly string[], url: string, device: string): Promise<Line[]> {
  const agent: Contender = ['agent', () => timeScript('./write-image-agent.ts', [url, device])];
  const pipelines = decoders.map((decoder): Contender => [decoder, () => timePipeline(decoder, url, device)]);
  const timings = await inTurns([agent, ...pipelines], runs, () => settle(device, diskFile));
  return [...rateLines(format, timings, sizeBytes), ...costLines(format, timings.get('agent') ?? [])];
}

await using cleanup = new AsyncDisposableStack();
cleanUpOnSignals(cleanup);
await makeFiles();
const base = await serveFolder(folder, cleanup);
const device = await attachDisk(diskFile, sizeBytes + (64 << 20), cleanup);
const gzDecoders = ['gzip -dc', ...((await isInstalled('igzip')) ? ['igzip -dc'] : [])];
printLines([
  ...(await compare('zst', ['zstd -dc'], `${base}/image.zst`, device)),
  ...(await compare('gz', gzDecoders, `${base}/image.gz`, device)),
]);
