import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Logger, pino } from 'pino';
import type { PowerRequest } from '#agent/actions/action-context.ts';
import type { ActionRunResult } from '#agent/actions/run-action.ts';
import { type AgentProcessOptions, runAgentProcess } from '#agent/agent-process.ts';
import type { BootSettings } from '#agent/boot-settings.ts';
import type { Machine } from '#agent/machine/machine.ts';
import { type CertificateAuthority, openCertificateAuthority } from '#server/enroll/certificate-authority.ts';
import { createEnrollService } from '#server/enroll/enroll-service.ts';
import { type AgentService, startAgentService } from '#server/provision/agent-service.ts';
import type { WorkflowEngine } from '#server/provision/engine.ts';
import { PeerTracker } from '#server/provision/peer-tracker.ts';
import { workflowEngine } from '#server/provision/workflow-engine.ts';
import { mintBootToken } from '#server/store/boot-token.ts';
import { openSqliteStore, type SqliteStore } from '#server/store/sqlite-store.ts';
import { quietPort } from './quiet-port.ts';
import { RecordingEngine } from './recording-engine.ts';
import { hardwareManifest, macOf } from './records.ts';

const silent: Logger = pino({ level: 'silent' });

/** A server's enroll and provision rooms on real sockets, with a real store, and agents that run in this process. */
export interface AgentWorld extends AsyncDisposable {
  readonly opened: SqliteStore;
  readonly ca: CertificateAuthority;
  readonly engine: RecordingEngine;
  /** Changes with every `restart` unless it is asked to stay. */
  readonly port: number;
  readonly http: string;
  /** The clock of store, CA and service. */
  readonly clock: { offsetMs: number };
  /** Runs after an enrollment was stored, before it is answered. */
  readonly hooks: { afterEnroll: () => void };
  /** A folder for one machine's memory; removed at the end. */
  runDir(): Promise<string>;
  /** A boot token for machine number `number` (`m1`, `m2`, …), which is made if it does not exist. */
  mint(number: number, lifeMs?: number): Promise<string>;
  /** What a booted machine would know. */
  settings(number: number, changes?: Partial<BootSettings>): Promise<BootSettings>;
  stopService(): Promise<void>;
  /** On the port it had before. */
  startService(): Promise<void>;
  /** A whole agent in this process, ended with the world. */
  startAgent(settings: BootSettings, changes?: Partial<AgentProcessOptions>): RunningAgent;
}

export interface AgentWorldOptions {
  /** A machine that falls silent for six of them loses its stream: by default nothing that a busy computer does can look like it. */
  readonly heartbeatMs?: number;
  /** The product's own engine on the world's store, a new one with every start of the service; `engine` is then idle. */
  readonly decides?: boolean;
  /** Whether agents hear of one another. */
  readonly peers?: boolean;
  readonly onActionEnd?: (address: string) => void;
}

export interface RunningAgent {
  readonly end: Promise<PowerRequest>;
  readonly said: string[];
  /** Ends it as a crash would: nothing is told to the server. */
  kill(): Promise<void>;
}

export const BOOT_ID = '11111111-2222-3333-4444-555555555555';

export async function startAgentWorld(options: AgentWorldOptions = {}): Promise<AgentWorld> {
  await using stack = new AsyncDisposableStack();
  const clock = { offsetMs: 0 };
  const now = (): Date => new Date(Date.now() + clock.offsetMs);
  const folder = await mkdtemp(join(tmpdir(), 'tinsmith-agents-'));
  stack.defer(() => rm(folder, { recursive: true, force: true }));
  const opened = stack.use(await openSqliteStore({ path: ':memory:', clock: now }));
  const ca = await openCertificateAuthority({ store: opened.store, clock: now });
  const http = await serveAuthority(stack, ca);
  const engine = new RecordingEngine();
  const hooks: AgentWorld['hooks'] = { afterEnroll: () => undefined };
  const verbs = createEnrollService({ transitions: opened.transitions, ca });
  const start = async (port: number): Promise<AgentService> =>
    startAgentService({
      port,
      address: '127.0.0.1',
      engine: options.decides === true ? decidingEngine(opened, now) : engine,
      enroll: {
        enroll: async (request, from) => {
          const enrollment = await verbs.enroll(request, from);
          hooks.afterEnroll();
          return enrollment;
        },
        renew: (hardware, publicKey) => verbs.renew(hardware, publicKey),
      },
      ca,
      log: silent,
      heartbeatMs: options.heartbeatMs ?? 10_000,
      clock: now,
      ...(options.peers === true && { peers: new PeerTracker() }),
      ...(options.onActionEnd && { onActionEnd: options.onActionEnd }),
    });
  let service = await start(await quietPort());
  let isRunning = true;
  const port = service.port;
  const world = {
    stopService: async () => {
      if (isRunning) await service[Symbol.asyncDispose]();
      isRunning = false;
    },
    startService: async () => {
      service = await start(port);
      isRunning = true;
    },
  };
  stack.defer(world.stopService);
  const agents = new Set<RunningAgent>();
  stack.defer(async () => {
    await Promise.all([...agents].map((agent) => agent.kill()));
  });
  const mint = (number: number, lifeMs = 60_000): Promise<string> => mintFor(opened, number, now().getTime() + lifeMs);
  const runDir = (): Promise<string> => mkdtemp(join(folder, 'run-'));
  const cleanup = stack.move();
  return {
    ...world,
    opened,
    ca,
    engine,
    port,
    http,
    clock,
    hooks,
    runDir,
    mint,
    settings: async (number, changes = {}) => ({
      server: `127.0.0.1:${port}`,
      http,
      token: changes.token ?? (await mint(number)),
      ca: ca.fingerprint,
      mac: macOf(number),
      giveUpMs: 60_000,
      runDir: changes.runDir ?? (await runDir()),
      ...changes,
    }),
    startAgent: (settings, changes) => {
      const agent = startAgent(settings, changes);
      agents.add(agent);
      return agent;
    },
    [Symbol.asyncDispose]: () => cleanup.disposeAsync(),
  };
}

function decidingEngine({ store, transitions }: SqliteStore, clock: () => Date): WorkflowEngine {
  return workflowEngine({ store, transitions, clock, leaseMs: 30_000, maxAttempts: 3 });
}

async function serveAuthority(stack: AsyncDisposableStack, ca: CertificateAuthority): Promise<string> {
  const server = createServer((request, response) => {
    if (request.url === '/ca.der') response.end(ca.certificateDer);
    else response.writeHead(404).end();
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  stack.defer(async () => {
    const closed = once(server, 'close');
    server.close();
    server.closeAllConnections();
    await closed;
  });
  const address = server.address();
  return `http://127.0.0.1:${typeof address === 'object' && address !== null ? address.port : 0}`;
}

async function mintFor({ store, transitions }: SqliteStore, number: number, expiresAt: number): Promise<string> {
  const hardware = `m${number}`;
  if ((await store.hardware(hardware)) === undefined) {
    const change = { hardware: [hardwareManifest(hardware, number)], templates: [], workflows: [] };
    await transitions.apply(change, { actor: 'operator' });
  }
  const { token, hash } = mintBootToken();
  const boot = { hardware, token: { hash, mac: macOf(number), expiresAt: new Date(expiresAt) } };
  await transitions.startBoot(boot, { actor: 'machine' });
  return token;
}

/** A machine without devices: the actions of these tests need none. */
const noMachine = {} as Machine;

function startAgent(settings: BootSettings, changes: Partial<AgentProcessOptions> = {}): RunningAgent {
  const killed = new AbortController();
  const said: string[] = [];
  const end = runAgentProcess({
    settings,
    bootId: BOOT_ID,
    machine: noMachine,
    runAction: async () => succeeded,
    uptime: () => performance.now() / 1000,
    say: (line) => said.push(line),
    signal: killed.signal,
    ...changes,
  });
  // Whoever starts an agent decides whether its end matters.
  end.catch(() => undefined);
  return {
    end,
    said,
    async kill() {
      killed.abort(new Error('killed by the test'));
      await end.catch(() => undefined);
    },
  };
}

export const succeeded: ActionRunResult = { outcome: 'succeeded', exitCode: 0, tries: 1 };
