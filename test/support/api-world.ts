/** The admin API over real HTTP on the real store in memory, and a machine's life to fill it with. */
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { pino } from 'pino';
import { ensureAdminToken } from '#server/api/admin-token.ts';
import type { ImageServing } from '#server/api/image-types.ts';
import { startApi } from '#server/api/start-api.ts';
import type { ErrorBody } from '#server/api/types.ts';
import type { PlanHost } from '#server/cluster/plan-host.ts';
import { imageJobs } from '#server/library/image-jobs.ts';
import { openImageLibrary } from '#server/library/image-library.ts';
import { usersOf } from '#server/library/image-use.ts';
import type { ActionResult } from '#server/provision/engine.ts';
import { openSqliteStore } from '#server/store/sqlite-store.ts';
import type { Store } from '#server/store/store.ts';
import type { Transitions } from '#server/store/transitions-contract.ts';
import {
  agentSession,
  hardwareManifest,
  macOf,
  plannedWorkflow,
  type SteppingClock,
  someInventory,
  steppingClock,
  succeededAt,
} from './records.ts';

export interface ApiWorld extends AsyncDisposable {
  readonly store: Store;
  readonly transitions: Transitions;
  readonly clock: SteppingClock;
  readonly url: string;
  readonly token: string;
  readonly tokenFile: string;
  /** Lines that the server logged. */
  readonly logged: readonly string[];
  /** With the token; `headers` replace or (empty) remove. */
  call(method: string, path: string, options?: CallOptions): Promise<ApiAnswer>;
}

export interface CallOptions {
  readonly body?: unknown;
  readonly rawBody?: string;
  readonly headers?: Readonly<Record<string, string | undefined>>;
}

export interface ApiAnswer {
  readonly status: number;
  readonly headers: NodeJS.Dict<string | string[]>;
  readonly text: string;
  /** Parsed by whoever knows its shape. */
  json<T>(): T;
  error(): ErrorBody['error'];
}

interface WorldOptions {
  /** The host that cluster plans are made on; default: one whose network is silent. */
  readonly planHost?: PlanHost;
  readonly port?: number;
  /** Default: a new one. */
  readonly token?: string;
  readonly heartbeatMs?: number;
  /** Who fetches images. */
  readonly serving?: Partial<ImageServing>;
  /** Replaces verbs, to see how their failures are answered. */
  readonly transitions?: Partial<Transitions>;
}

/** A host beside the test machines, in a network where nobody answers. */
const TEST_HOST: PlanHost = {
  metadataUrl: 'http://10.9.0.254:7172',
  ports: [{ port: 7172, protocol: 'tcp', what: 'metadata and user data' }],
  addresses: () => ['10.9.0.254'],
  probe: async (addresses) => new Map(addresses.map((address) => [address, { isTaken: false }])),
};

export async function startApiWorld(options: WorldOptions = {}): Promise<ApiWorld> {
  const folder = await mkdtemp(join(tmpdir(), 'tinsmith-api-'));
  await using stack = new AsyncDisposableStack();
  stack.defer(() => rm(folder, { recursive: true, force: true }));
  const clock = steppingClock();
  const opened = stack.use(await openSqliteStore({ path: ':memory:', clock: clock.now }));
  const logged: string[] = [];
  if (options.token !== undefined) await writeFile(join(folder, 'admin.token'), options.token);
  const token = await ensureAdminToken(folder);
  const library = await openImageLibrary({ folder: join(folder, 'library'), store: opened.store, clock: clock.now });
  const jobs = stack.use(
    imageJobs({
      library,
      clock: clock.now,
      onAdded: ({ name }) => opened.transitions.noteImage('image.added', { image: name }, { actor: 'operator' }),
      onFailed: ({ message }, { name }) =>
        opened.transitions.noteImage('image.failed', { image: name, error: message }, { actor: 'operator' }),
      usersOf: (name, digest) => usersOf(name, digest, opened.store),
    }),
  );
  const api = stack.use(
    await startApi({
      images: {
        library,
        jobs,
        serving: () => ({ streams: 8, egress: 0, machines: [], sharing: [], ...options.serving }),
      },
      clock: clock.now,
      planHost: options.planHost ?? TEST_HOST,
      store: opened.store,
      transitions: { ...opened.transitions, ...options.transitions },
      version: '1.2.3',
      actionTimeoutMs: 3_600_000,
      token,
      address: '127.0.0.1',
      port: options.port ?? 0,
      ...(options.heartbeatMs !== undefined && { heartbeatMs: options.heartbeatMs }),
      log: pino({ level: 'debug' }, { write: (line: string) => void logged.push(line) }),
    }),
  );
  const owned = stack.move();
  return {
    store: opened.store,
    transitions: opened.transitions,
    clock,
    url: api.url,
    token,
    tokenFile: join(folder, 'admin.token'),
    logged,
    call: (method, path, given = {}) =>
      callApi(api.url + path, method, { ...given, headers: { authorization: `Bearer ${token}`, ...given.headers } }),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

/** By node:http, because fetch does not let a test choose the Host header. */
async function callApi(url: string, method: string, { body, rawBody, headers = {} }: CallOptions): Promise<ApiAnswer> {
  const payload = rawBody ?? (body === undefined ? undefined : JSON.stringify(body));
  const type = payload === undefined ? {} : { 'content-type': 'application/json' };
  const sent = Object.entries({ ...type, ...headers }).filter(
    (pair): pair is [string, string] => pair[1] !== undefined,
  );
  const outgoing = request(url, { method, headers: Object.fromEntries(sent) });
  outgoing.end(payload);
  const [response] = await once(outgoing, 'response');
  const received = await text(response);
  return {
    status: response.statusCode,
    headers: response.headers,
    text: received,
    json: () => JSON.parse(received),
    error: () => JSON.parse(received).error,
  };
}

const cause = { actor: 'agent', from: '10.9.0.1' } as const;

/** Applies a Hardware `name` and a Workflow of the same name with two actions. */
export async function addMachine({ transitions }: ApiWorld, name: string, number = 1): Promise<void> {
  const spec = { userData: '#secret-user-data' };
  await transitions.apply(
    {
      hardware: [hardwareManifest(name, number, spec)],
      templates: [{ name: `${name}-template`, labels: {}, annotations: {}, data: 'tasks: []', source: 'Template' }],
      workflows: [plannedWorkflow(name, [name])],
    },
    { actor: 'operator' },
  );
}

/** Boots and enrols the machine; its agent accepts the task. */
export async function bootMachine({ transitions, clock }: ApiWorld, name: string, number = 1): Promise<void> {
  const expiresAt = new Date(clock.now().getTime() + 600_000);
  clock.advance(3000);
  await transitions.startBoot(
    { hardware: name, token: { hash: `hash-${name}`, mac: macOf(number), expiresAt } },
    cause,
  );
  clock.advance(9000);
  await transitions.enroll(
    {
      tokenHash: `hash-${name}`,
      mac: macOf(number),
      nonce: 'nonce',
      keyHash: 'key',
      bootId: 'boot',
      agentVersion: '0.1.0',
      inventory: someInventory,
    },
    cause,
  );
  await transitions.agentConnected(agentSession(name, `session-${name}`), cause);
  clock.advance(500);
  await transitions.taskAccepted({ workflow: name, attempt: 1, task: 0 }, sequenceOf(name, 1), cause);
}

/** Runs action 0 or 1 to its end, with progress and a log line; every step takes 10 seconds. */
export async function runAction(world: ApiWorld, name: string, action: 0 | 1, failure?: string): Promise<void> {
  const { transitions, clock } = world;
  const ref = { workflow: name, attempt: 1, task: 0, action };
  const first = 2 + action * 10;
  await transitions.actionStarted(ref, clock.now(), sequenceOf(name, first), cause);
  for (const share of [0.25, 0.5, 1]) {
    clock.advance(3000);
    await transitions.actionProgress(ref, name, { done: share * 1e9, total: 1e9, perSecond: 1e8, unit: 'bytes' });
  }
  const lines = [{ at: clock.now(), stream: 'stdout', text: `line of action ${action} \u001b[31m` }] as const;
  await transitions.actionLog(ref, lines, sequenceOf(name, first + 1), cause);
  clock.advance(1000);
  const result: ActionResult =
    failure === undefined
      ? succeededAt(clock.now())
      : {
          outcome: 'failed',
          at: clock.now(),
          exitCode: 1,
          tries: 1,
          error: { code: 'checksum_mismatch', message: failure },
        };
  await transitions.actionFinished(ref, result, sequenceOf(name, first + 2), cause);
}

function sequenceOf(name: string, sequence: number) {
  return { session: `session-${name}`, sequence, hardware: name };
}
