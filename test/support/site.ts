/** `tinsmith serve` as a process on loopback, its API and CLI, and machines made of folders whose agents run in this process. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { rmSync } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { PowerRequest } from '#agent/actions/action-context.ts';
import { runActionWithPolicy } from '#agent/actions/run-action.ts';
import { runAgentProcess } from '#agent/agent-process.ts';
import { readBootSettings } from '#agent/boot-settings.ts';
import { type FolderMachine, folderMachine } from '#agent/machine/folder-machine.ts';
import type { ApplyResponse, EventView, WorkflowView } from '#server/api/types.ts';
import { type CliResult, runCliProcess } from './cli-process.ts';
import { holdQuietPort } from './quiet-port.ts';
import { macOf } from './records.ts';

const PROJECT = resolve(import.meta.dirname, '../..');
const MAIN = join(PROJECT, 'server/main.ts');
const NODE_COMPILE_CACHE = join(PROJECT, 'node_modules/.cache/tinsmith');
const DISK_BYTES = 16 << 20;
const PARTS = ['tftp', 'http', 'metadata', 'grpc', 'admin'] as const;

type Ports = Readonly<Record<(typeof PARTS)[number], number>>;

export interface SiteMachine {
  readonly machine: FolderMachine;
  /** How the machine goes down in the end. */
  readonly end: Promise<PowerRequest>;
  /** Environments of the actions that its agent was told to run. */
  readonly environments: readonly Readonly<Record<string, string>>[];
  readonly disk: () => Promise<Buffer>;
}

export class Site implements AsyncDisposable {
  readonly folder: string;
  readonly #ports: Ports;
  readonly #ending = new AbortController();
  readonly #machines: Promise<unknown>[] = [];
  #server: ChildProcess | undefined;
  #said = '';

  private constructor(folder: string, ports: Ports) {
    this.folder = folder;
    this.#ports = ports;
  }

  static async start(settings: Readonly<Record<string, string>>): Promise<Site> {
    const folder = await mkdtemp(join(tmpdir(), 'tinsmith-site-'));
    const site = new Site(folder, await freePorts());
    try {
      await site.startServer(settings);
    } catch (thrown) {
      await site[Symbol.asyncDispose]();
      throw thrown;
    }
    return site;
  }

  get #api(): string {
    return `http://127.0.0.1:${this.#ports.admin}`;
  }

  /** What the server that runs now has logged. */
  get said(): string {
    return this.#said;
  }

  async startServer(settings: Readonly<Record<string, string>>): Promise<void> {
    const flags = {
      'data-dir': join(this.folder, 'data'),
      address: '127.0.0.1',
      'dhcp-mode': 'off',
      'metadata-legacy-port': '0',
      'boot-kernel-args': 'quiet',
      ...Object.fromEntries(PARTS.map((part) => [`${part}-port`, String(this.#ports[part])])),
      ...settings,
    };
    const argv = Object.entries(flags).flatMap(([name, value]) => [`--${name}`, value]);
    const server = spawn(process.execPath, [MAIN, 'serve', ...argv], {
      env: { ...process.env, NODE_COMPILE_CACHE },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.#server = server;
    // A test that runs out of time disposes of nothing.
    process.once('exit', () => {
      server.kill('SIGKILL');
      rmSync(this.folder, { recursive: true, force: true });
    });
    this.#said = '';
    const ready = Promise.withResolvers<void>();
    for (const stream of [server.stdout, server.stderr]) {
      stream.on('data', (text: Buffer) => {
        this.#said += text.toString();
        if (this.#said.includes('server.started')) ready.resolve();
      });
    }
    server.once('exit', (code) => {
      // There is nothing to wait for any more.
      if (this.#server === server) this.#server = undefined;
      ready.reject(new Error(`the server ended with ${code}: ${this.#said}`));
    });
    await ready.promise;
  }

  /** By SIGKILL nothing is flushed, nobody is told. */
  async killServer(signal: 'SIGKILL' | 'SIGTERM' = 'SIGKILL'): Promise<void> {
    const server = this.#server;
    if (server === undefined) return;
    this.#server = undefined;
    const exited = once(server, 'exit');
    server.kill(signal);
    await exited;
  }

  async call<T>(method: string, path: string, body?: unknown): Promise<T> {
    const token = (await readFile(join(this.folder, 'data/admin.token'), 'utf8')).trim();
    const headers = {
      authorization: `Bearer ${token}`,
      ...(body !== undefined && { 'content-type': 'application/json' }),
    };
    const init = { method, headers, ...(body !== undefined && { body: JSON.stringify(body) }) };
    const response = await fetch(`${this.#api}/api/v1${path}`, init);
    const text = await response.text();
    assert.ok(response.ok, text);
    return JSON.parse(text);
  }

  async cli(...argv: string[]): Promise<CliResult> {
    const environment = { TINSMITH_SERVER: this.#api, TINSMITH_TOKEN_FILE: join(this.folder, 'data/admin.token') };
    return runCliProcess(undefined, argv, { environment, cwd: this.folder });
  }

  /** Hardware `m<number>` with a workflow of that name: image2disk, or `builtIn`, with this environment, then reboot. */
  async install(
    number: number,
    environment: Readonly<Record<string, string>>,
    builtIn = 'image2disk',
  ): Promise<ApplyResponse> {
    const text = manifests(number, environment, builtIn);
    return this.call('POST', '/apply', { files: [{ name: 'm.yaml', text }] });
  }

  /** Boots machine `m<number>`: its agent really runs the actions, on a disk that is a file. */
  async boot(number: number): Promise<SiteMachine> {
    const mac = macOf(number);
    const script = await (await fetch(`http://127.0.0.1:${this.#ports.http}/ipxe/${mac}/boot.ipxe`)).text();
    const [, commandLine = ''] = /^kernel \S+ (.*)$/m.exec(script.replaceAll(/^.*?(?=kernel http)/gm, '')) ?? [];
    const runDir = await mkdtemp(join(this.folder, 'run-'));
    const settings = readBootSettings(commandLine, { TINSMITH_RUN_DIR: runDir });
    const machine = folderMachine({
      folder: await mkdtemp(join(this.folder, 'm-')),
      disks: { '/dev/vda': DISK_BYTES },
    });
    const environments: Readonly<Record<string, string>>[] = [];
    const end = runAgentProcess({
      settings,
      bootId: BOOT_ID,
      machine,
      runAction: (call, context) => {
        environments.push(call.environment);
        return runActionWithPolicy(call, context);
      },
      uptime: () => performance.now() / 1000,
      say: () => undefined,
      signal: this.#ending.signal,
    });
    this.#machines.push(end.catch(() => undefined)); // whoever booted it decides whether its end matters
    return { machine, end, environments, disk: () => readFile(machine.diskFile('/dev/vda')) };
  }

  async workflow(name: string): Promise<WorkflowView> {
    return this.call('GET', `/workflows/${name}`);
  }

  async events(workflow: string, name: string): Promise<readonly EventView[]> {
    const { items } = await this.call<{ items: readonly EventView[] }>('GET', `/events?workflow=${workflow}&limit=500`);
    return items.filter((event) => event.name === name);
  }

  /** Asks until the answer is there; fails after a while with what it was instead. */
  async until<T>(ask: () => Promise<T>, isRight: (answer: T) => boolean): Promise<T> {
    let answer = await ask();
    for (let turn = 0; turn < 1200 && !isRight(answer); turn += 1) {
      await delay(50);
      answer = await ask();
    }
    assert.ok(isRight(answer), `still ${JSON.stringify(answer)}`);
    return answer;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#ending.abort(new Error('the test is over'));
    await Promise.all(this.#machines);
    await this.killServer();
    await rm(this.folder, { recursive: true, force: true });
  }
}

const BOOT_ID = '11111111-2222-3333-4444-555555555555';

async function freePorts(): Promise<Ports> {
  await using held = new AsyncDisposableStack();
  const next = async (): Promise<number> => held.use(await holdQuietPort()).port;
  return {
    tftp: await next(),
    http: await next(),
    metadata: await next(),
    grpc: await next(),
    admin: await next(),
  };
}

function manifests(number: number, environment: Readonly<Record<string, string>>, builtIn: string): string {
  const mac = macOf(number);
  const name = `m${number}`;
  const write = action(builtIn, { DEST_DISK: '/dev/vda', ...environment });
  const data = { name, tasks: [{ name: 'install', worker: mac, actions: [write, action('reboot', {})] }] };
  return [
    record('Hardware', `m${number}`, { interfaces: [{ netboot: { allowPXE: true }, dhcp: { mac } }] }),
    record('Template', name, { data: JSON.stringify(data) }),
    record('Workflow', name, { templateRef: name, hardwareRef: `m${number}` }),
  ].join('\n---\n');
}

function action(name: string, environment: Readonly<Record<string, string>>): object {
  return { name, image: name, timeout: 60, environment };
}

function record(kind: string, name: string, spec: object): string {
  return JSON.stringify({ apiVersion: 'tinkerbell.org/v1alpha1', kind, metadata: { name }, spec });
}
