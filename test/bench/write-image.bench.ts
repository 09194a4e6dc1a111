/**
 * The agent's write path against what an administrator would type: `curl | zstd -d | dd`. Both write the same image from the same
 * server to the same loop device, taking turns in changing order. Both are timed from the start of their processes to the
 * end of the last one, with the image on the disk; before each run dirty pages are written and the disk's cached pages are
 * dropped, while the image stays in the server's cache. Needs root, curl, dd, gzip, zstd, losetup and mke2fs.
 *
 *   npm run bench -- write-image [--size-mib 1024] [--runs 3]
 *
 * Goals: zst at least as fast as the pipeline, gz at least twice as fast.
 */
import { execFile, spawn } from 'node:child_process';
import { createReadStream, createWriteStream } from 'node:fs';
import { copyFile, mkdir, readdir, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { loadavg } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs, promisify } from 'node:util';
import { createGzip, createZstdCompress } from 'node:zlib';

const { values } = parseArgs({
  options: { 'size-mib': { type: 'string', default: '1024' }, runs: { type: 'string', default: '3' } },
});
const sizeBytes = Number(values['size-mib']) * 1024 * 1024;
const runs = Number(values.runs);
const root = resolve(import.meta.dirname, '../..');
const folder = join(root, '.cache/bench/write-image');
const run = promisify(execFile);

interface Timing {
  readonly seconds: number;
  readonly peakRssMiB?: number;
  readonly cpuSeconds?: number;
}

/** Root file system of this machine, as much of it as fits: sorted, so that the same machine makes the same image. */
async function makeImage(image: string): Promise<void> {
  const tree = join(folder, 'tree');
  await rm(tree, { recursive: true, force: true });
  let left = sizeBytes * 0.8;
  const copy = async (from: string): Promise<void> => {
    for (const entry of (await readdir(from, { withFileTypes: true })).toSorted((a, b) => (a.name < b.name ? -1 : 1))) {
      const path = join(from, entry.name);
      if (entry.isDirectory()) await copy(path);
      if (!entry.isFile()) continue;
      const { size } = await stat(path);
      if (size > left || size > 64 << 20) continue;
      left -= size + 4096;
      await mkdir(dirname(join(tree, path)), { recursive: true });
      await copyFile(path, join(tree, path));
    }
  };
  for (const part of ['/usr/lib', '/usr/bin', '/usr/share']) await copy(part);
  await writeFile(image, '');
  await truncate(image, sizeBytes);
  await run('mke2fs', ['-q', '-t', 'ext4', '-F', '-d', tree, image]);
  await rm(tree, { recursive: true });
}

async function makeFiles(): Promise<void> {
  await mkdir(folder, { recursive: true });
  const image = join(folder, 'image.raw');
  const present = await stat(image).catch(() => undefined);
  if (present?.size !== sizeBytes) {
    for (const name of await readdir(folder)) await rm(join(folder, name), { recursive: true });
    console.error('making the image …');
    await makeImage(image);
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

async function serve(cleanup: AsyncDisposableStack): Promise<string> {
  const server = spawn(process.execPath, [fileURLToPath(import.meta.resolve('./serve-folder.ts')), folder], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  cleanup.defer(() => {
    server.kill();
  });
  for await (const line of server.stdout.setEncoding('utf8')) return `http://127.0.0.1:${String(line).trim()}`;
  throw new Error('the file server did not start');
}

async function attachDisk(cleanup: AsyncDisposableStack): Promise<string> {
  const file = join(folder, 'disk.img');
  await writeFile(file, '');
  await truncate(file, sizeBytes + (64 << 20));
  cleanup.defer(() => rm(file));
  const { stdout } = await run('losetup', ['--find', '--show', file]);
  const device = stdout.trim();
  cleanup.defer(async () => {
    await run('losetup', ['--detach', device]);
  });
  return device;
}

/** The same start for everyone: nothing left to write, nothing of the disk in memory. */
async function settle(device: string): Promise<void> {
  await run('sync', []);
  await run('blockdev', ['--flushbufs', device]);
  await run('dd', [`if=${join(folder, 'disk.img')}`, 'iflag=nocache', 'count=0', 'status=none']);
}

async function agent(url: string, device: string): Promise<Timing> {
  const startedAt = performance.now();
  const { stdout } = await run(process.execPath, [
    fileURLToPath(import.meta.resolve('./write-image-agent.ts')),
    url,
    device,
  ]);
  // The start of Node counts, as that of curl and dd does.
  const seconds = (performance.now() - startedAt) / 1000;
  return { ...(JSON.parse(stdout) as Timing), seconds };
}

async function native(decoder: string, url: string, device: string): Promise<Timing> {
  const startedAt = performance.now();
  const dd = `dd of=${device} bs=4M iflag=fullblock oflag=direct conv=fsync status=none`;
  await run('bash', ['-c', `set -o pipefail; curl -fsS ${url} | ${decoder} | ${dd}`]);
  return { seconds: (performance.now() - startedAt) / 1000 };
}

async function isInstalled(program: string): Promise<boolean> {
  return run('sh', ['-c', `command -v ${program}`]).then(
    () => true,
    () => false,
  );
}

interface Line {
  readonly name: string;
  readonly unit: string;
  readonly value: number;
}

const best = (sorted: number[]): number | undefined => sorted[0];

const median = (sorted: number[]): number | undefined => sorted[sorted.length >> 1];

/** Runs all contenders in turn, `runs` times, after one round that does not count. */
async function compare(
  format: string,
  decoders: readonly string[],
  place: { base: string; device: string },
): Promise<Line[]> {
  const url = `${place.base}/image.${format}`;
  const contenders: [string, () => Promise<Timing>][] = [['agent', () => agent(url, place.device)]];
  for (const decoder of decoders) contenders.push([decoder, () => native(decoder, url, place.device)]);
  const timings = new Map<string, Timing[]>(contenders.map(([name]) => [name, []]));
  for (let round = 0; round <= runs; round++) {
    const first = round % contenders.length;
    for (const [name, go] of [...contenders.slice(first), ...contenders.slice(0, first)]) {
      await settle(place.device);
      const timing = await go();
      if (round > 0) timings.get(name)?.push(timing);
    }
  }
  const rate = (name: string, pick: (sorted: number[]) => number | undefined): number => {
    const seconds = (timings.get(name) ?? []).map((timing) => timing.seconds).toSorted((a, b) => a - b);
    return sizeBytes / 1e6 / (pick(seconds) ?? Number.NaN);
  };
  const lines: Line[] = [];
  for (const [name] of contenders) {
    lines.push({ name: `${format} ${name} best`, unit: 'MB/s', value: rate(name, best) });
    lines.push({ name: `${format} ${name} median`, unit: 'MB/s', value: rate(name, median) });
    if (name === 'agent') continue;
    lines.push({
      name: `${format} agent / ${name} best`,
      unit: 'ratio',
      value: rate('agent', best) / rate(name, best),
    });
    lines.push({
      name: `${format} agent / ${name} median`,
      unit: 'ratio',
      value: rate('agent', median) / rate(name, median),
    });
  }
  lines.push({ name: `${format} load average`, unit: '', value: loadavg()[0] ?? Number.NaN });
  const own = timings.get('agent') ?? [];
  lines.push({
    name: `${format} agent peak RSS`,
    unit: 'MiB',
    value: Math.max(...own.map((timing) => timing.peakRssMiB ?? 0)),
  });
  lines.push({
    name: `${format} agent CPU`,
    unit: 's',
    value: Math.min(...own.map((timing) => timing.cpuSeconds ?? 0)),
  });
  return lines;
}

await using cleanup = new AsyncDisposableStack();
// An interrupted run must not leave a loop device behind, either.
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => {
    cleanup.disposeAsync().finally(() => process.exit(130));
  });
}
await makeFiles();
const base = await serve(cleanup);
const device = await attachDisk(cleanup);
const gzDecoders = ['gzip -dc', ...((await isInstalled('igzip')) ? ['igzip -dc'] : [])];
const lines = [
  ...(await compare('zst', ['zstd -dc'], { base, device })),
  ...(await compare('gz', gzDecoders, { base, device })),
];
for (const { name, unit, value } of lines) console.error(`${name.padEnd(36)} ${value.toFixed(2).padStart(9)} ${unit}`);
console.log(JSON.stringify(lines));
