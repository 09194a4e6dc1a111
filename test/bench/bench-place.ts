/**
 * What the benchmarks of the write path share: a realistic image, a server, a loop device, fair starts, and lines of results. Both
 * sides of a comparison get the same image from the same server onto the same device, in turns. Loop devices are past the page cache (as O_DIRECT
 * is on a real disk): what a write costs is the disk's time and no copy by these processors.
 */
import { execFile, spawn } from 'node:child_process';
import { copyFile, mkdir, readdir, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { loadavg } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { build } from 'esbuild';

export const run = promisify(execFile);

export interface Timing {
  readonly seconds: number;
  readonly peakRssMiB?: number;
  readonly buffersMiB?: number;
  readonly cpuSeconds?: number;
  /** Over the network. */
  readonly receivedBytes?: number;
  /** Of the image: on the disk when it ended, and there before it began. */
  readonly doneBytes?: number;
  readonly keptBytes?: number;
}

export interface Line {
  readonly name: string;
  readonly unit: string;
  readonly value: number;
  /** What the project promises. */
  readonly goal?: { readonly atLeast: number } | { readonly atMost: number };
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
  return serve('./serve-folder.ts', [folder], cleanup);
}

/** A server of ours on loopback, in a process of its own, that prints its port; resolves to its base URL. */
export async function serve(name: string, argv: readonly string[], cleanup: AsyncDisposableStack): Promise<string> {
  const script = fileURLToPath(import.meta.resolve(name));
  const server = spawn(process.execPath, [script, ...argv], { stdio: ['ignore', 'pipe', 'inherit'] });
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
  const { stdout } = await run('losetup', ['--find', '--show', '--direct-io=on', file]);
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

/** A script beside this one, bundled as the agent is; once a process. */
const bundles = new Map<string, Promise<string>>();

async function bundle(script: string): Promise<string> {
  const outfile = fileURLToPath(import.meta.resolve(`../../.cache/bench/bundles/${script}.mjs`));
  const entryPoints = [fileURLToPath(import.meta.resolve(`./${script}`))];
  // Packages of the old kind ask for `require`; esbuild itself is nothing that a timed script needs.
  const banner = { js: "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);" };
  const settings = { platform: 'node', format: 'esm', target: 'node24', logLevel: 'error' } as const;
  await build({ entryPoints, outfile, bundle: true, external: ['esbuild'], banner, ...settings });
  // Looked for beside whoever starts it, by the name of its source.
  const worker = fileURLToPath(import.meta.resolve('#agent/write/hash-worker.ts'));
  await build({ entryPoints: [worker], outfile: join(dirname(outfile), 'hash-worker.ts'), ...settings });
  return outfile;
}

/** A script that prints one line of JSON. If it tells the seconds of its work, those count: an agent or a server runs long before. */
export async function timeScript(script: string, argv: readonly string[]): Promise<Timing> {
  const bundled = bundles.get(script) ?? bundle(script);
  bundles.set(script, bundled);
  const file = await bundled;
  const startedAt = performance.now();
  const { stdout } = await run(process.execPath, [file, ...argv]);
  const seconds = (performance.now() - startedAt) / 1000;
  return { seconds, ...(JSON.parse(stdout) as Partial<Timing>) };
}

/** What an administrator would type: `curl URL | DECODER | dd`. */
export function timePipeline(decoder: string, url: string, device: string): Promise<Timing> {
  const dd = `dd of=${device} bs=4M iflag=fullblock oflag=direct conv=fsync status=none`;
  return timeShell(`curl -fsS ${url} | ${decoder} | ${dd}`);
}

export async function timeShell(command: string): Promise<Timing> {
  const startedAt = performance.now();
  await run('bash', ['-c', `set -o pipefail; ${command}`]);
  return { seconds: (performance.now() - startedAt) / 1000 };
}

export async function isInstalled(program: string): Promise<boolean> {
  return run('sh', ['-c', `command -v ${program}`]).then(
    () => true,
    () => false,
  );
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

/** Of the seconds, the one in the middle. */
export function median(timings: readonly Timing[] = []): number {
  const seconds = timings.map((timing) => timing.seconds).toSorted((a, b) => a - b);
  return seconds[seconds.length >> 1] ?? Number.NaN;
}

/** Median rates, and the ratio of the first contender to each of the others. */
export function rateLines(
  title: string,
  timings: ReadonlyMap<string, readonly Timing[]>,
  sizeBytes: number,
  goals: Readonly<Record<string, number>> = {},
): readonly Line[] {
  const [own = ''] = timings.keys();
  const rate = (name: string): number => sizeBytes / 1e6 / median(timings.get(name));
  const rates = [...timings.keys()].map(
    (name): Line => ({ name: `${title}: ${name}`, unit: 'MB/s', value: rate(name) }),
  );
  const ratios = [...timings.keys()].slice(1).map((name): Line => {
    const goal = goals[name];
    const line = { name: `${title}: ${own} / ${name}`, unit: 'ratio', value: rate(own) / rate(name) };
    return goal === undefined ? line : { ...line, goal: { atLeast: goal } };
  });
  return [...rates, ...ratios];
}

/** What the agent's own processes took, and how busy the machine was. */
export function costLines(title: string, own: readonly Timing[]): readonly Line[] {
  return [
    { name: `${title}: load average`, unit: '', value: loadavg()[0] ?? Number.NaN },
    { name: `${title}: agent peak RSS`, unit: 'MiB', value: Math.max(...own.map(({ peakRssMiB = 0 }) => peakRssMiB)) },
    { name: `${title}: agent buffers`, unit: 'MiB', value: Math.max(...own.map(({ buffersMiB = 0 }) => buffersMiB)) },
    { name: `${title}: agent CPU`, unit: 's', value: Math.min(...own.map(({ cpuSeconds = 0 }) => cpuSeconds)) },
  ];
}

/** For people on standard error, as JSON on standard output. */
export function printLines(lines: readonly Line[]): void {
  for (const { name, unit, value, goal } of lines) {
    const wanted = goal === undefined ? '' : 'atLeast' in goal ? `  goal ≥ ${goal.atLeast}` : `  goal ≤ ${goal.atMost}`;
    console.error(`${name.padEnd(56)} ${value.toFixed(2).padStart(9)} ${unit}${wanted}`);
  }
  console.log(JSON.stringify(lines));
}
