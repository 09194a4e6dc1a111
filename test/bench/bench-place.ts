/**
 * What the benchmarks of the write path share: a realistic image, a server, a loop device, fair starts, and lines of results. Both
 * sides of a comparison get the same image from the same server onto the same device, in turns, whole processes timed.
 */
import { execFile, spawn } from 'node:child_process';
import { copyFile, mkdir, readdir, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { loadavg } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

export const run = promisify(execFile);

export interface Timing {
  readonly seconds: number;
  readonly peakRssMiB?: number;
  readonly buffersMiB?: number;
  readonly cpuSeconds?: number;
  readonly receivedBytes?: number;
}

export interface Line {
  readonly name: string;
  readonly unit: string;
  readonly value: number;
}

/** The root file system of this machine, `usedBytes` of it, in an ext4 image: sorted, so that one machine makes one image. */
export async function makeImage(image: string, sizeBytes: number, usedBytes: number): Promise<void> {
  const tree = `${image}.tree`;
  await rm(tree, { recursive: true, force: true });
  let left = usedBytes;
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

/** Serves the folder on loopback by the product's own handler, in a process of its own; resolves to its base URL. */
export async function serveFolder(folder: string, cleanup: AsyncDisposableStack): Promise<string> {
  const script = fileURLToPath(import.meta.resolve('./serve-folder.ts'));
  const server = spawn(process.execPath, [script, folder], { stdio: ['ignore', 'pipe', 'inherit'] });
  cleanup.defer(() => {
    server.kill();
  });
  for await (const line of server.stdout.setEncoding('utf8')) return `http://127.0.0.1:${String(line).trim()}`;
  throw new Error('the file server did not start');
}

/** A loop device over a sparse file; both go with the cleanup. */
export async function attachDisk(file: string, sizeBytes: number, cleanup: AsyncDisposableStack): Promise<string> {
  await writeFile(file, '');
  await truncate(file, sizeBytes);
  cleanup.defer(() => rm(file));
  const { stdout } = await run('losetup', ['--find', '--show', file]);
  const device = stdout.trim();
  cleanup.defer(async () => {
    await run('losetup', ['--detach', device]);
  });
  return device;
}

/** An interrupted run must not leave a loop device behind, either. */
export function cleanUpOnSignals(cleanup: AsyncDisposableStack): void {
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.once(signal, () => {
      cleanup.disposeAsync().finally(() => process.exit(130));
    });
  }
}

/** The same start for everyone: nothing left to write, nothing of the disk in memory. */
export async function settle(device: string, file: string): Promise<void> {
  await run('sync', []);
  await run('blockdev', ['--flushbufs', device]);
  await run('dd', [`if=${file}`, 'iflag=nocache', 'count=0', 'status=none']);
}

/** A script of ours that prints one line of JSON; the start of Node counts, as that of curl and dd does. */
export async function timeScript(script: string, argv: readonly string[]): Promise<Timing> {
  const startedAt = performance.now();
  const { stdout } = await run(process.execPath, [fileURLToPath(import.meta.resolve(script)), ...argv]);
  const seconds = (performance.now() - startedAt) / 1000;
  return { ...(JSON.parse(stdout) as Timing), seconds };
}

/** What an administrator would type. */
export async function timePipeline(decoder: string, url: string, device: string): Promise<Timing> {
  const startedAt = performance.now();
  const dd = `dd of=${device} bs=4M iflag=fullblock oflag=direct conv=fsync status=none`;
  await run('bash', ['-c', `set -o pipefail; curl -fsS ${url} | ${decoder} | ${dd}`]);
  return { seconds: (performance.now() - startedAt) / 1000 };
}

export type Contender = readonly [name: string, go: () => Promise<Timing>];

/** Runs all contenders in turn, `runs` times and in changing order, after one round that does not count. */
export async function inTurns(
  contenders: readonly Contender[],
  runs: number,
  before: () => Promise<void>,
): Promise<ReadonlyMap<string, readonly Timing[]>> {
  const timings = new Map<string, Timing[]>(contenders.map(([name]) => [name, []]));
  for (let round = 0; round <= runs; round++) {
    const first = round % contenders.length;
    for (const [name, go] of [...contenders.slice(first), ...contenders.slice(0, first)]) {
      await before();
      const timing = await go();
      if (round > 0) timings.get(name)?.push(timing);
    }
  }
  return timings;
}

/** Rates, and the ratio of the first contender to each of the others; best and median. */
export function rateLines(
  title: string,
  timings: ReadonlyMap<string, readonly Timing[]>,
  sizeBytes: number,
): readonly Line[] {
  const [own = ''] = timings.keys();
  const pick = (name: string, which: 'best' | 'median'): number => {
    const seconds = (timings.get(name) ?? []).map((timing) => timing.seconds).toSorted((a, b) => a - b);
    return sizeBytes / 1e6 / (seconds[which === 'best' ? 0 : seconds.length >> 1] ?? Number.NaN);
  };
  return [...timings.keys()].flatMap((name) =>
    (['best', 'median'] as const).flatMap((which) => {
      const rate = { name: `${title} ${name} ${which}`, unit: 'MB/s', value: pick(name, which) };
      const ratio = { name: `${title} ${own} / ${name} ${which}`, unit: 'ratio', value: pick(own, which) / rate.value };
      return name === own ? [rate] : [rate, ratio];
    }),
  );
}

/** What the agent's own processes took, and how busy the machine was. */
export function costLines(title: string, own: readonly Timing[]): readonly Line[] {
  return [
    { name: `${title} load average`, unit: '', value: loadavg()[0] ?? Number.NaN },
    { name: `${title} agent peak RSS`, unit: 'MiB', value: Math.max(...own.map(({ peakRssMiB = 0 }) => peakRssMiB)) },
    { name: `${title} agent buffers`, unit: 'MiB', value: Math.max(...own.map(({ buffersMiB = 0 }) => buffersMiB)) },
    { name: `${title} agent CPU`, unit: 's', value: Math.min(...own.map(({ cpuSeconds = 0 }) => cpuSeconds)) },
  ];
}

/** For people on standard error, as JSON on standard output. */
export function printLines(lines: readonly Line[]): void {
  for (const { name, unit, value } of lines)
    console.error(`${name.padEnd(44)} ${value.toFixed(2).padStart(9)} ${unit}`);
  console.log(JSON.stringify(lines));
}
