/**
 * Our file server against nginx with sendfile, the same file from the page cache over loopback: whole, and in ranges of 4 MiB as agents
 * ask for frames, by one curl and by eight. Needs curl; Debian's nginx-light is installed if nginx is missing and we are root.
 *
 *   npm run bench -- serve [--size-mib 1024] [--runs 2]
 */
import { spawn } from 'node:child_process';
import { mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { dirname, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { fullImage, packed, pathOf } from './bench-images.ts';
import {
  type Contender,
  cleanUpOnSignals,
  inTurns,
  isInstalled,
  type Line,
  printLines,
  rateLines,
  run,
  serveFolder,
  type Timing,
  timeShell,
} from './bench-place.ts';

const { values } = parseArgs({
  options: { 'size-mib': { type: 'string', default: '1024' }, runs: { type: 'string', default: '2' } },
});
const RANGE_BYTES = 4 << 20;

/** A server of the folder, and which processes it is made of. */
interface Server {
  readonly base: string;
  readonly pids: readonly number[];
}

async function installNginx(): Promise<void> {
  if (await isInstalled('nginx')) return;
  console.error('installing nginx-light …');
  await run('apt-get', ['install', '-y', '--no-install-recommends', 'nginx-light']);
}

async function startNginx(folder: string, cleanup: AsyncDisposableStack): Promise<Server> {
  await installNginx();
  const port = await freePort();
  const place = join(folder, 'nginx');
  await mkdir(place, { recursive: true });
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((kind) => `${kind}_temp_path ${place};`);
  const settings = `user root; worker_processes auto; daemon off; pid ${place}/pid; error_log ${place}/error.log;
events { worker_connections 256; }
http { access_log off; sendfile on; tcp_nopush on; sendfile_max_chunk 2m; ${temporary.join(' ')}
  server { listen 127.0.0.1:${port}; root ${folder}; } }\n`;
  await writeFile(join(place, 'nginx.conf'), settings);
  const server = spawn('nginx', ['-c', join(place, 'nginx.conf'), '-e', join(place, 'error.log')], {
    stdio: 'inherit',
  });
  cleanup.defer(() => void server.kill());
  const base = `http://127.0.0.1:${port}`;
  for (let tries = 0; tries < 100; tries++) {
    if (await fetch(base).catch(() => undefined)) return { base, pids: await familyOf(server.pid ?? 0) };
    await delay(50);
  }
  throw new Error('nginx did not start');
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  const address = server.address();
  await new Promise((resolve) => {
    server.close(resolve);
  });
  return typeof address === 'object' && address !== null ? address.port : 0;
}

async function startOurs(folder: string, cleanup: AsyncDisposableStack): Promise<Server> {
  const before = new Set(await familyOf(process.pid));
  const base = await serveFolder(folder, cleanup);
  return { base, pids: (await familyOf(process.pid)).filter((pid) => !before.has(pid)) };
}

/** A process and its children. */
async function familyOf(pid: number): Promise<readonly number[]> {
  const tasks = await readdir(`/proc/${pid}/task`);
  const lists = await Promise.all(tasks.map((task) => readFile(`/proc/${pid}/task/${task}/children`, 'utf8')));
  return [pid, ...lists.join(' ').split(' ').filter(Boolean).map(Number)];
}

/** Of user and system time, in seconds: proc(5). */
async function cpuSeconds({ pids }: Server): Promise<number> {
  const stats = await Promise.all(pids.map((pid) => readFile(`/proc/${pid}/stat`, 'utf8')));
  const ticks = stats.map((text) => {
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
    return Number(fields[11]) + Number(fields[12]);
  });
  return ticks.reduce((sum, count) => sum + count, 0) / 100;
}

async function timed(server: Server, command: string): Promise<Timing> {
  const before = await cpuSeconds(server);
  const timing = await timeShell(command);
  return { ...timing, cpuSeconds: (await cpuSeconds(server)) - before };
}

/** Some curls at once; any that fails fails all. */
function atOnce(count: number, command: string): string {
  return `pids=; for i in $(seq ${count}); do ${command} & pids="$pids $!"; done; for pid in $pids; do wait $pid; done`;
}

/** For `curl -K`: the file in ranges, over one connection. */
async function rangesFile(url: string, sizeBytes: number, name: string): Promise<string> {
  const file = pathOf(`${name}.curl`);
  const requests: string[] = [];
  for (let at = 0; at < sizeBytes; at += RANGE_BYTES) {
    const last = Math.min(at + RANGE_BYTES, sizeBytes) - 1;
    requests.push(`url = "${url}"\nrange = ${at}-${last}\noutput = /dev/null\nfail\nsilent\nshow-error\n`);
  }
  await writeFile(file, requests.join('next\n'));
  return file;
}

/** Median CPU seconds for each GB that went out. */
function cpuLines(title: string, timings: ReadonlyMap<string, readonly Timing[]>, bytes: number): readonly Line[] {
  const each = [...timings].map(([name, list]) => {
    const sorted = list.map(({ cpuSeconds: seconds = 0 }) => seconds).toSorted((a, b) => a - b);
    return { name: `${title}: ${name} CPU`, unit: 's/GB', value: (sorted[sorted.length >> 1] ?? 0) / (bytes / 1e9) };
  });
  const [own, other] = each;
  if (own === undefined || other === undefined) return each;
  return [...each, { name: `${title}: CPU of nginx / ours`, unit: 'share', value: other.value / own.value }];
}

await using cleanup = new AsyncDisposableStack();
cleanUpOnSignals(cleanup);
const image = await fullImage(Number(values['size-mib']));
await packed(image);
const folder = dirname(pathOf(image.raw));
const servers = { ours: await startOurs(folder, cleanup), nginx: await startNginx(folder, cleanup) };
const zst = `folders/${image.name}/image.zst`;
const lines: Line[] = [];
for (const count of [1, 8]) {
  for (const kind of ['whole', 'ranges'] as const) {
    const path = kind === 'whole' ? image.raw : zst;
    const { size } = await stat(pathOf(path));
    const contenders: Contender[] = [];
    for (const [name, server] of Object.entries(servers)) {
      const url = `${server.base}/${path}`;
      const what = kind === 'whole' ? `-fsS -o /dev/null ${url}` : `-K ${await rangesFile(url, size, name)}`;
      contenders.push([name, () => timed(server, atOnce(count, `curl ${what}`))]);
    }
    // From memory, for both.
    const warm = (): Promise<unknown> => timeShell(`cat ${pathOf(path)} > /dev/null`);
    const timings = await inTurns(contenders, Number(values.runs), async () => void (await warm()));
    const title = `serve: ${kind}, ${count === 1 ? 'one client' : `${count} clients`}`;
    lines.push(...rateLines(title, timings, size * count), ...cpuLines(title, timings, size * count));
  }
}
printLines(lines);
