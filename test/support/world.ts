/**
 * A whole site for end-to-end tests and the demo: a lab, `tinsmith serve` inside it, its CLI and its event log.
 *
 *   await using world = await startWorld({ name: 'life' });
 *   await world.cli('apply', '-f', file);
 *   await using vm = await world.powerOn({ firmware: 'bios', mac, disk });
 *   await world.waitForEvent({ name: 'machine.installed', hardware: 'node-1' }, 120_000);
 */
import assert from 'node:assert/strict';
import { createWriteStream, existsSync, rmSync, type WriteStream } from 'node:fs';
import { copyFile, link, mkdir, mkdtemp, open, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join, resolve } from 'node:path';
import { cleanAtExit } from './lab/clean-at-exit.ts';
import { type Lab, type LabProcess, startLab } from './lab/lab.ts';
import type { VmOptions } from './lab/qemu-arguments.ts';
import type { VirtualMachine } from './lab/virtual-machine.ts';

export const PROJECT = resolve(import.meta.dirname, '../..');
const BUILD = join(PROJECT, 'build');
const MAIN = join(PROJECT, 'server/main.ts');
const API = 'http://127.0.0.1:7180';

/**
 * Whatever a test waits for comes within this: a guard against hanging, not a measure. Most things take a minute; on a loaded
 * computer with emulated machines they take several.
 */
export const PATIENCE_MS = 600_000;

/** An event as the API shows it. */
export interface SeenEvent {
  readonly id: number;
  readonly at: string;
  readonly name: string;
  readonly hardware?: string;
  readonly workflow?: string;
  readonly data: Readonly<Record<string, unknown>>;
}

export interface Answer {
  readonly code: number | string;
  readonly stdout: string;
  readonly stderr: string;
}

export interface WorldOptions {
  /** Short, [a-z0-9]. */
  readonly name: string;
  /** Flags of `tinsmith serve`, without dashes. */
  readonly settings?: Readonly<Record<string, string>>;
  /** Files that machines get at /images/. */
  readonly images?: readonly string[];
  /** Folder with vmlinuz and initramfs; default: the one that `npm run build` made. */
  readonly bootFolder?: string;
}

export async function startWorld(options: WorldOptions): Promise<World> {
  const folder = await mkdtemp(join(tmpdir(), `tinsmith-${options.name}-`));
  const logs = join(BUILD, 'e2e', options.name);
  await rm(logs, { recursive: true, force: true });
  await mkdir(logs, { recursive: true });
  const place = { name: options.name, directory: join(folder, 'lab'), logDirectory: logs };
  const lab = await startLab(place).catch(async (error: unknown) => {
    await rm(folder, { recursive: true, force: true });
    throw error;
  });
  // A test that runs out of time, or is ended by a signal, disposes of nothing; its disks are large.
  lab.onEnd(cleanAtExit(() => rmSync(folder, { recursive: true, force: true })));
  const world = new World(lab, folder, options);
  try {
    await world.prepare();
    await world.startServer();
    return world;
  } catch (error) {
    await world[Symbol.asyncDispose]();
    throw error;
  }
}

export class World implements AsyncDisposable {
  readonly lab: Lab;
  readonly folder: string;
  readonly dataFolder: string;
  readonly imagesFolder: string;
  /** Every event of this world's server, live-only ones included, in order of arrival. */
  readonly seen: SeenEvent[] = [];
  readonly #options: WorldOptions;
  readonly #serverLog: WriteStream;
  #said = '';
  #server: LabProcess | undefined;
  #changed = Promise.withResolvers<void>();

  constructor(lab: Lab, folder: string, options: WorldOptions) {
    this.lab = lab;
    this.folder = folder;
    this.#options = options;
    this.dataFolder = join(folder, 'data');
    this.imagesFolder = join(this.dataFolder, 'images');
    this.#serverLog = createWriteStream(join(lab.logDirectory, 'server.log'));
  }

  async prepare(): Promise<void> {
    await mkdir(this.imagesFolder, { recursive: true });
    for (const image of this.#options.images ?? []) await this.addImage(image);
  }

  /** Makes a file available at `http://<server>:7171/images/<name>`. */
  async addImage(file: string, name = basename(file)): Promise<string> {
    const target = join(this.imagesFolder, name);
    await link(file, target).catch(() => copyFile(file, target)); // Another file system: copied instead.
    return `http://${this.lab.address}:7171/images/${name}`;
  }

  get tokenFile(): string {
    return join(this.dataFolder, 'admin.token');
  }

  /** What its servers have logged so far. */
  get said(): string {
    return this.#said;
  }

  async startServer(): Promise<void> {
    assert.equal(this.#server, undefined);
    const settings = {
      'data-dir': this.dataFolder,
      'boot-dir': this.#options.bootFolder ?? join(BUILD, 'initramfs'),
      interface: this.lab.bridge,
      'boot-kernel-args': 'console=ttyS0',
      'log-level': 'debug',
      ...this.#options.settings,
    };
    const flags = Object.entries(settings).flatMap(([name, value]) => [`--${name}`, value]);
    const from = this.#said.length;
    const ready = Promise.withResolvers<void>();
    const onOutput = (text: string): void => {
      this.#said += text;
      this.#serverLog.write(text);
      if (this.#said.includes('server.started', from)) ready.resolve();
    };
    const isFirst = !existsSync(this.tokenFile);
    const server = this.lab.exec([process.execPath, MAIN, 'serve', ...flags], { onOutput });
    this.#server = server;
    const ended = server.exited.then((code) => {
      throw new Error(`the server ended with ${code} before it was ready: ${this.#said.slice(from)}`);
    });
    await Promise.race([ready.promise, ended]);
    ended.catch(() => {}); // Later it ends because a test or the world ends it.
    if (isFirst) this.#tailEvents();
  }

  /** SIGKILL: nothing is flushed, nobody is told. */
  async killServer(): Promise<void> {
    const server = this.#server;
    assert.ok(server);
    this.#server = undefined;
    server.kill('SIGKILL');
    await server.exited;
  }

  /** Runs a command of the CLI inside the namespace. */
  async cli(...argv: readonly string[]): Promise<Answer> {
    let stdout = '';
    let stderr = '';
    const command = this.startCli(argv);
    command.child.stdout?.on('data', (text: string) => (stdout += text));
    command.child.stderr?.on('data', (text: string) => (stderr += text));
    return { code: await command.exited, stdout, stderr };
  }

  startCli(argv: readonly string[], onOutput?: (text: string) => void): LabProcess {
    const env = { ...process.env, TINSMITH_SERVER: API, TINSMITH_TOKEN_FILE: this.tokenFile };
    return this.lab.exec([process.execPath, MAIN, ...argv], { env, ...(onOutput && { onOutput }) });
  }

  /** Applies manifests given as text; throws with everything the CLI said when it refuses. */
  async apply(files: Readonly<Record<string, string>>): Promise<void> {
    const paths: string[] = [];
    for (const [name, text] of Object.entries(files)) paths.push('-f', await this.write(name, text));
    const answer = await this.cli('apply', ...paths);
    assert.equal(answer.code, 0, answer.stderr);
  }

  /** Writes a file for the CLI to read, and returns its path. */
  async write(name: string, text: string): Promise<string> {
    const path = join(this.folder, name);
    await writeFile(path, text);
    return path;
  }

  /** A record as `get -o json` shows it. */
  async record(kind: string, name: string): Promise<Record<string, unknown>> {
    const answer = await this.cli('get', kind, name, '-o', 'json');
    assert.equal(answer.code, 0, answer.stderr);
    return JSON.parse(answer.stdout);
  }

  /** Resolves with the first event, from the beginning, that has these fields. Fails with the server's log. */
  async waitForEvent(
    wanted: Partial<Omit<SeenEvent, 'data'>> & { readonly data?: Readonly<Record<string, unknown>> },
    timeoutMs: number,
    from = 0,
  ): Promise<SeenEvent> {
    const deadline = AbortSignal.timeout(timeoutMs);
    const late = new Promise<never>((_, reject) => {
      deadline.addEventListener('abort', () => reject(new Error('late')), { once: true });
    });
    late.catch(() => {}); // Only matters while it is raced below.
    for (;;) {
      const found = this.seen.slice(from).find((event) => matches(event, wanted));
      if (found !== undefined) return found;
      try {
        await Promise.race([this.#changed.promise, late]);
      } catch {
        throw new Error(`no event ${JSON.stringify(wanted)} within ${timeoutMs} ms\n${this.story()}`);
      }
    }
  }

  /** An empty disk: a sparse raw file. */
  async emptyDisk(name: string, sizeBytes: number): Promise<string> {
    const path = join(this.folder, name);
    const file = await open(path, 'w');
    await file.truncate(sizeBytes);
    await file.close();
    return path;
  }

  async powerOn(options: VmOptions): Promise<VirtualMachine> {
    return this.lab.startVm(options);
  }

  /** What happened, for a failed test: events and the end of the server's log. Logs stay in build/e2e/NAME until the next run. */
  story(): string {
    const events = this.seen
      .filter((event) => event.name !== 'action.progress')
      .map((event) => `${event.at} ${event.name} ${event.hardware ?? ''} ${JSON.stringify(event.data)}`);
    return ['--- events', ...events.slice(-60), '--- server log', ...this.#said.split('\n').slice(-60)].join('\n');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.lab[Symbol.asyncDispose]();
    this.#serverLog.end();
  }

  #tailEvents(): void {
    let rest = '';
    this.lab.exec([process.execPath, join(PROJECT, 'test/support/event-tail.ts'), API, this.tokenFile], {
      onOutput: (text) => {
        const lines = (rest + text).split('\n');
        rest = lines.pop() ?? '';
        for (const line of lines) if (line.startsWith('{')) this.seen.push(JSON.parse(line));
        this.#changed.resolve();
        this.#changed = Promise.withResolvers<void>();
      },
    });
  }
}

function matches(event: SeenEvent, wanted: { readonly [key: string]: unknown }): boolean {
  return Object.entries(wanted).every(([key, value]) =>
    key === 'data'
      ? Object.entries(value as Record<string, unknown>).every(([name, datum]) => event.data[name] === datum)
      : event[key as keyof SeenEvent] === value,
  );
}
