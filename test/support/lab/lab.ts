/**
 * A private site for virtual machines: a network namespace with a bridge, a router that announces IPv6, and QEMU machines
 * on taps. Nothing leaves the namespace. Needs root, iproute2, radvd, qemu-system-x86 and ovmf (scripts/setup.sh).
 *
 *   await using lab = await startLab({ name: 'life' });
 *   await using server = lab.exec([process.execPath, 'server/main.ts', 'serve', …]);
 *   await using vm = await lab.startVm({ firmware: 'bios', mac: '52:54:00:77:00:01', disk });
 *   await vm.waitForConsole(/INSTALLED-OS-UP/, { timeoutMs: 120_000 });
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { rmSync } from 'node:fs';
import { mkdir, mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { cleanAtExit } from './clean-at-exit.ts';
import {
  addTap,
  createNamespace,
  inNamespace,
  namespaceName,
  removeNamespace,
  removeStaleNamespaces,
  SITE,
  writeRouterSettings,
} from './namespace.ts';
import type { VmOptions } from './qemu-arguments.ts';
import { VirtualMachine } from './virtual-machine.ts';

export interface LabOptions {
  /** Short, [a-z0-9]: part of the namespace's name. */
  readonly name: string;
  /** Gets sockets and settings and is kept. Default: a temporary folder that goes with the lab. */
  readonly directory?: string;
  /** Gets what machines say, and is kept. Default: `directory`. */
  readonly logDirectory?: string;
}

export interface ExecOptions {
  readonly env?: NodeJS.ProcessEnv;
  readonly cwd?: string;
  /** Given every piece of standard output and standard error as it comes. */
  readonly onOutput?: (text: string) => void;
}

const GRACE_MS = 5000;
/** A guard against hanging: it takes some milliseconds, and on a busy computer seconds. */
const ROUTER_START_MS = 60_000;

/** A program inside the lab. Disposing ends it: TERM, then KILL after five seconds. */
export class LabProcess implements AsyncDisposable {
  readonly child: ChildProcess;
  /** Resolves with the exit code, or the name of the signal that ended it. */
  readonly exited: Promise<number | string>;

  constructor(child: ChildProcess) {
    this.child = child;
    this.exited = new Promise((resolve, reject) => {
      child.once('error', reject);
      child.once('close', (code, signal) => resolve(code ?? signal ?? 'unknown'));
    });
    this.exited.catch(() => {}); // Whoever awaits it sees the error.
  }

  /** The program itself: `ip netns exec` replaces itself by it. */
  get pid(): number | undefined {
    return this.child.pid;
  }

  kill(signal: NodeJS.Signals = 'SIGTERM'): void {
    this.child.kill(signal);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return;
    this.kill('SIGTERM');
    const timer = setTimeout(() => this.kill('SIGKILL'), GRACE_MS);
    await this.exited.catch(() => {});
    clearTimeout(timer);
  }
}

export class Lab implements AsyncDisposable {
  /** Address of the bridge: the server's, seen from the machines. */
  readonly address = SITE.address;
  readonly bridge = SITE.bridge;
  readonly namespace: string;
  readonly directory: string;
  readonly logDirectory: string;
  readonly #stack = new AsyncDisposableStack();
  #taps = 0;

  constructor(namespace: string, directory: string, logDirectory = directory) {
    this.namespace = namespace;
    this.directory = directory;
    this.logDirectory = logDirectory;
  }

  /** Starts a program inside the namespace. It also ends with the lab. */
  exec(argv: readonly string[], { onOutput, ...options }: ExecOptions = {}): LabProcess {
    const child = spawn('ip', ['netns', 'exec', this.namespace, ...argv], {
      ...options,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    // Read in any case: a program whose output nobody takes stops when the pipe is full.
    for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', onOutput ?? (() => {}));
    return this.#stack.use(new LabProcess(child));
  }

  /** Runs a program inside the namespace to its end. @throws TinsmithError when it ends with another code than 0. */
  async run(argv: readonly string[]): Promise<string> {
    return inNamespace(this.namespace, argv);
  }

  /** Makes a machine, with a tap of its own, and powers it on. It also ends with the lab. */
  async startVm(options: VmOptions): Promise<VirtualMachine> {
    const tap = `tap${this.#taps}`;
    this.#taps += 1;
    await addTap(this.namespace, tap);
    return this.#stack.use(await VirtualMachine.create(this, options, tap));
  }

  /** Ends all machines and programs, newest first, and removes the namespace. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stack.disposeAsync();
  }

  /** Runs when the lab ends, after its machines and programs. */
  onEnd(callback: () => void): void {
    this.#stack.defer(callback);
  }
}

/** Builds the site. Everything goes when the lab is disposed, when the process exits, and on SIGINT and SIGTERM. */
export async function startLab({ name, directory, logDirectory }: LabOptions): Promise<Lab> {
  if (!/^[a-z0-9]{1,20}$/.test(name)) throw new Error(`cannot name a lab "${name}": use up to 20 of a-z and 0-9`);
  await removeStaleNamespaces(name);
  const namespace = namespaceName(name);
  const place = directory === undefined ? await mkdtemp(join(tmpdir(), 'tinsmith-lab-')) : resolve(directory);
  await mkdir(place, { recursive: true });
  const lab = new Lab(namespace, place, logDirectory);
  lab.onEnd(
    cleanAtExit(() => {
      removeNamespace(namespace);
      if (directory === undefined) rmSync(place, { recursive: true, force: true });
    }),
  );
  try {
    await createNamespace(namespace);
    await startRouter(lab);
    return lab;
  } catch (error) {
    await lab[Symbol.asyncDispose]();
    throw error;
  }
}

async function startRouter(lab: Lab): Promise<void> {
  const settings = await writeRouterSettings(lab.directory);
  const pidFile = join(lab.directory, 'radvd.pid');
  let output = '';
  const onOutput = (text: string): unknown => (output += text);
  const router = lab.exec(
    ['radvd', '--nodaemon', '--config', settings, '--pidfile', pidFile, '--logmethod', 'stderr'],
    { onOutput },
  );
  const ended = router.exited.then((code) => {
    throw new Error(`the lab's router ended with ${code}: ${output.trim()}`);
  });
  // It has started once it has said which version it is; without a word for long something is wrong.
  const said = once(router.child.stderr ?? router.child, 'data', { signal: AbortSignal.timeout(ROUTER_START_MS) });
  await Promise.race([said, ended]);
  ended.catch(() => {}); // Later it ends because the lab does.
}
