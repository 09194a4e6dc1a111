/**
 * Clusters on a real server with real agents: store, enroll and agent service on sockets, the controller beside them, and
 * machines that are powered on, installed, restarted and told to fail.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { pino } from 'pino';
import type { TaskRunOptions } from '#agent/task-run.ts';
import { TinsmithError } from '#proto/errors.ts';
import type { Bootstrapper, ClusterSecrets } from '#server/cluster/bootstrap/bootstrapper.ts';
import { bootstrapperFor } from '#server/cluster/bootstrap/bootstrappers.ts';
import { kubernetesApi } from '#server/cluster/bootstrap/kubernetes-api.ts';
import { runClusterController } from '#server/cluster/cluster-controller.ts';
import type { ClusterOptions } from '#server/cluster/cluster-options.ts';
import type { ClusterParts } from '#server/cluster/cluster-parts.ts';
import type { KubernetesNodes } from '#server/cluster/kubernetes-nodes.ts';
import { CLUSTER_LABEL, PURPOSE_LABEL } from '#server/life/workflow-purpose.ts';
import type { ClusterDefinition } from '#server/manifests/cluster-kind.ts';
import type { Store } from '#server/store/store.ts';
import type { Transitions } from '#server/store/transitions-contract.ts';
import { type AgentWorld, startAgentWorld, succeeded } from './agent-world.ts';
import { newCluster } from './cluster-records.ts';
import { hardwareManifest, plannedWorkflow } from './records.ts';

const OPERATOR = { actor: 'operator' } as const;
const DEADLINE_MS = 90_000;
/** What a system says that cannot join its cluster. */
export const START_FAILURE = 'kubeadm: exit code 1';

export interface ClusterWorld extends AsyncDisposable {
  readonly agents: AgentWorld;
  readonly store: Store;
  readonly transitions: Transitions;
  /** What was asked of Kubernetes, in order. */
  readonly asked: string[];
  /** Kubernetes answers: false refuses everything as unreachable. */
  readonly kubernetes: { isUp: boolean };
  /** Machines `m<number>` of a type. */
  addMachines(type: string, ...numbers: readonly number[]): Promise<void>;
  createCluster(definition: ClusterDefinition, options?: Partial<ClusterOptions>): Promise<void>;
  changeCluster(definition: ClusterDefinition, options?: Partial<ClusterOptions>): Promise<void>;
  powerOn(number: number, behaviour?: MachineBehaviour): PoweredMachine;
  /** As if the server was killed and started again. */
  restartServer(): Promise<void>;
  /** Waits until `m1 ready, m2 provisioning` and the like is what the nodes of `c1` are, in any order. */
  reach(nodes: string): Promise<void>;
  reachCluster(state: string): Promise<void>;
  /** Waits until a workflow of that name was ordered. */
  reachWorkflow(name: string): Promise<void>;
}

export interface MachineBehaviour {
  /** Installations that fail before one succeeds. */
  readonly failures?: number;
  /** Systems that say that their first start failed, before one comes up. */
  readonly startFailures?: number;
  /** Waited for in the middle of every installation. */
  readonly pause?: () => Promise<void>;
}

export interface PoweredMachine {
  /** Somebody presses its button: its agent is gone, and it boots again. */
  cycle(): Promise<void>;
  /** Actions that it ran to their end. */
  readonly ran: string[];
}

export interface ClusterWorldOptions {
  /** The product's own bootstrappers; `kubernetesUrl` names the API server that takes the endpoint's place. */
  readonly real?: { readonly kubernetesUrl: (secrets: ClusterSecrets) => Promise<string> | string };
}

export async function startClusterWorld({ real }: ClusterWorldOptions = {}): Promise<ClusterWorld> {
  await using stack = new AsyncDisposableStack();
  const agents = stack.use(await startAgentWorld({ decides: true }));
  const { store, transitions } = agents.opened;
  const asked: string[] = [];
  const kubernetes = { isUp: true };
  const parts = { ...clusterParts(agents, asked, kubernetes), ...(real && realParts(agents, real)) };
  let controller = startController(parts);
  stack.defer(() => controller.stop());
  const machines = new AbortController();
  const powered: Promise<void>[] = [];
  stack.defer(async () => {
    machines.abort();
    await Promise.all(powered);
  });
  const owned = stack.move();
  return {
    agents,
    store,
    transitions,
    asked,
    kubernetes,
    async addMachines(type, ...numbers) {
      const hardware = numbers.map((number) => ({ ...hardwareManifest(`m${number}`, number), labels: { type } }));
      await transitions.apply({ hardware, templates: [], workflows: [] }, OPERATOR);
    },
    async createCluster(definition, options) {
      const made = newCluster(definition, options);
      const at = new Date();
      const secrets = real === undefined ? made.secrets : await bootstrapperFor(definition).makeSecrets(definition, at);
      await transitions.createCluster({ ...made, secrets }, OPERATOR);
    },
    async changeCluster(definition, options = {}) {
      const before = await store.cluster(definition.cluster.name);
      if (before === undefined) throw new Error('there is no such cluster');
      const change = { definition, options: { ...before.options, ...options }, version: before.version };
      await transitions.changeCluster(before.name, change, OPERATOR);
    },
    powerOn(number, behaviour = {}) {
      const machine = new SimulatedMachine(agents, number, behaviour);
      powered.push(machine.live(machines.signal));
      return machine;
    },
    async restartServer() {
      await controller.stop();
      await agents.stopService();
      await agents.startService();
      controller = startController(parts);
    },
    reach: (nodes) =>
      until(nodes, async () => {
        const found = (await store.nodes('c1')).map(({ hardware, state }) => `${hardware} ${state}`);
        return { isReached: isSameSet(found, nodes), found: found.join(', ') };
      }),
    reachCluster: (state) =>
      until(state, async () => {
        const cluster = await store.cluster('c1');
        const found = cluster?.state ?? 'gone';
        return { isReached: found === state, found: `${found} ${cluster?.failure ?? ''}` };
      }),
    reachWorkflow: (name) =>
      until(name, async () => ({ isReached: (await store.workflow(name)) !== undefined, found: 'no such workflow' })),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

function startController(parts: ClusterParts): { stop(): Promise<void> } {
  const stopping = new AbortController();
  const running = runClusterController(parts, stopping.signal, { tickMs: 100 });
  return {
    async stop() {
      stopping.abort();
      await running;
    },
  };
}

function clusterParts(agents: AgentWorld, asked: string[], kubernetes: { readonly isUp: boolean }): ClusterParts {
  const ask = (what: string): void => {
    if (!kubernetes.isUp) throw new TinsmithError('unavailable', 'the API server at 10.9.0.200:6443 does not answer');
    asked.push(what);
  };
  const nodes: KubernetesNodes = {
    addToken: async () => ask('add token'),
    removeNode: async ({ name, role }) => ask(`remove ${role} ${name}`),
  };
  return {
    store: agents.opened.store,
    transitions: agents.opened.transitions,
    clock: () => new Date(Date.now() + agents.clock.offsetMs),
    log: pino({ level: 'silent' }),
    metadataUrl: 'http://10.9.0.254:7172',
    candidates: (group, hardware) =>
      hardware.filter(({ labels }) => labels['type'] === group.machineConfig.hardwareSelector?.['type']),
    renderNode({ definition, group, hardware, workflow }) {
      const cluster = definition.cluster.name;
      const planned = plannedWorkflow(workflow, [hardware.name], { images: ['image2disk', 'reboot'] });
      const labels = { [CLUSTER_LABEL]: cluster, [PURPOSE_LABEL]: 'install' };
      const template = {
        name: `${cluster}-${group.name}`,
        labels,
        annotations: {},
        data: '',
        source: 'Template',
      } as const;
      return { template, workflow: { ...planned, manifest: { ...planned.manifest, labels } } };
    },
    bootstrapperFor: () => recordingBootstrapper,
    kubernetesOf: () => nodes,
  };
}

/** Its own bootstrappers and its own client of Kubernetes, which is sent to a server of the test. */
function realParts(
  { clock }: AgentWorld,
  { kubernetesUrl }: NonNullable<ClusterWorldOptions['real']>,
): Pick<ClusterParts, 'bootstrapperFor' | 'kubernetesOf'> {
  const now = (): Date => new Date(Date.now() + clock.offsetMs);
  return {
    bootstrapperFor,
    kubernetesOf({ definition }, secrets) {
      const access = bootstrapperFor(definition).access(definition, secrets);
      if (access === undefined) return undefined;
      const api = async () => kubernetesApi({ ...access, url: await kubernetesUrl(secrets) }, { clock: now });
      return {
        addToken: async (token, signal) => (await api()).addToken(token, signal),
        removeNode: async (node, signal) => (await api()).removeNode(node, signal),
      };
    },
  };
}

/** User data that tells what it was made for. */
const recordingBootstrapper: Bootstrapper = {
  name: 'recording',
  summary: 'For tests.',
  makeSecrets: async () => ({}),
  userData: ({ step, token, hardware }) => ({
    text: `${step} ${hardware.name} ${token.token}`,
    holdsKeys: true,
    readyBy: 'metadata',
  }),
  kubeconfig: async () => undefined,
  access: () => undefined,
};

/** A machine that boots the agent while it is told to boot from the network, and its disk otherwise. */
class SimulatedMachine implements PoweredMachine {
  readonly ran: string[] = [];
  readonly #world: AgentWorld;
  readonly #number: number;
  readonly #behaviour: MachineBehaviour;
  #failures: number;
  #startFailures: number;
  #button = Promise.withResolvers<void>();

  constructor(world: AgentWorld, number: number, behaviour: MachineBehaviour) {
    this.#world = world;
    this.#number = number;
    this.#behaviour = behaviour;
    this.#failures = behaviour.failures ?? 0;
    this.#startFailures = behaviour.startFailures ?? 0;
  }

  async cycle(): Promise<void> {
    this.#button.resolve();
  }

  async live(signal: AbortSignal): Promise<void> {
    const name = `m${this.#number}`;
    const { store, transitions } = this.#world.opened;
    const off = new Promise<'off'>((resolve) => signal.addEventListener('abort', () => resolve('off'), { once: true }));
    let isOn = true;
    while (!signal.aborted) {
      const pressed = this.#button.promise.then(() => 'pressed' as const);
      const isFromNetwork = isOn && (await store.hardware(name))?.netboot === true;
      if (isFromNetwork) {
        const agent = this.#world.startAgent(await this.#world.settings(this.#number), { runAction: this.#runAction });
        const end = await Promise.race([agent.end.catch(() => 'reboot' as const), pressed, off]);
        await agent.kill();
        if (end === 'reboot') continue;
        isOn = end !== 'poweroff';
        if (isOn && end !== 'pressed') return;
      } else if (isOn) {
        await this.#startSystem(transitions, name);
      }
      if ((await Promise.race([pressed, off])) === 'off') return;
      this.#button = Promise.withResolvers();
      isOn = true;
    }
  }

  /** As cloud-init does: it asks for its data, and at its end it calls home. */
  async #startSystem(transitions: Transitions, name: string): Promise<void> {
    const cause = { actor: 'machine' } as const;
    if (this.#startFailures > 0) {
      this.#startFailures -= 1;
      return transitions.noteBootstrapFailed(name, START_FAILURE, cause);
    }
    for (const how of ['metadata', 'phoneHome'] as const) await transitions.noteReady(name, how, cause);
  }

  readonly #runAction: TaskRunOptions['runAction'] = async ({ builtIn }, { requestPower }) => {
    await this.#behaviour.pause?.();
    if (builtIn === 'image2disk' && this.#failures > 0) {
      this.#failures -= 1;
      const error = new TinsmithError('write_failed', 'cannot write /dev/vda: it has bad sectors');
      return { outcome: 'failed', exitCode: 74, error, tries: 1 };
    }
    this.ran.push(builtIn);
    if (builtIn === 'reboot') requestPower('reboot');
    if (builtIn === 'poweroff') requestPower('poweroff');
    return succeeded;
  };
}

async function until(
  wanted: string,
  look: () => Promise<{ readonly isReached: boolean; readonly found: string }>,
): Promise<void> {
  const deadline = Date.now() + DEADLINE_MS;
  for (;;) {
    const { isReached, found } = await look();
    if (isReached) return;
    if (Date.now() > deadline) throw new Error(`not reached: ${wanted}; found: ${found}`);
    await delay(15);
  }
}

function isSameSet(found: readonly string[], wanted: string): boolean {
  const names = wanted === '' ? [] : wanted.split(', ');
  return found.toSorted().join() === names.toSorted().join();
}

/** What happened so far, as far as its name fits: `node.ready m1`. */
export async function eventNames({ store }: ClusterWorld, pattern: RegExp): Promise<readonly string[]> {
  return (await store.events())
    .filter(({ name }) => pattern.test(name))
    .map(({ name, hardware }) => `${name} ${hardware ?? ''}`.trim());
}
