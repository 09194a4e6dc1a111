/**
 * Agents and operators that do what comes into their heads: the same seed does the same again. Used against the engine's
 * model test and by the process that is killed in the crash test.
 */

import { TinsmithError } from '#proto/errors.ts';
import type { AgentCommand, AgentReport, AgentSession, TaskRef, WorkflowEngine } from '#server/provision/engine.ts';
import type { Store } from '#server/store/store.ts';
import type { Transitions } from '#server/store/transitions-contract.ts';
import { clusterDefinition, newCluster, nodeClaim, nodeStart, nodeWorkflow } from './cluster-records.ts';
import { agentSession, hardwareManifest, macOf, plannedWorkflow, someInventory } from './records.ts';

export interface RandomWorld {
  readonly store: Store;
  readonly transitions: Transitions;
  readonly now: () => Date;
  engine(): WorkflowEngine;
  /** Time goes by, with sweeps; the given agents give signs of life. */
  pass(ms: number, alive: readonly AgentSession[]): Promise<void>;
  restartServer(): void;
}

const MACHINES = ['m1', 'm2', 'm3'] as const;
const CLUSTERS = ['c1', 'c2'] as const;
const OPERATOR = { actor: 'operator' } as const;
const MACHINE = { actor: 'machine' } as const;
/** What hostile timing may rightly be answered with; `forbidden`: a session so old that it is forgotten. */
const EXPECTED = new Set(['conflict', 'not_found', 'unauthenticated', 'forbidden']);
/** An operator's verbs on nodes in the wrong order. */
const REFUSED_STEP = /^a node that is [a-z]+ cannot /;

/** mulberry32: small, and the same everywhere. */
export function randomNumbers(seed: number): (below: number) => number {
  let state = seed >>> 0;
  return (below) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
  };
}

interface SimulatedAgent {
  readonly session: AgentSession;
  sequence: number;
  isConnected: boolean;
  task?: TaskRef;
  actions: number;
  /** Reports of the current task that were made: accept, then start and finish of each action. */
  step: number;
  last?: { readonly sequence: number; readonly report: AgentReport };
}

export class RandomLife {
  readonly #world: RandomWorld;
  readonly #random: (below: number) => number;
  readonly #prefix: string;
  readonly #agents = new Map<string, SimulatedAgent>();
  readonly #former: SimulatedAgent[] = [];
  #count = 0;
  /** Actions that an agent rightly reported as done: `workflow attempt task action`. */
  readonly done = new Set<string>();
  readonly story: string[] = [];

  constructor(world: RandomWorld, seed: number, prefix = '') {
    this.#world = world;
    this.#random = randomNumbers(seed);
    this.#prefix = prefix;
  }

  async begin(): Promise<void> {
    const hardware = MACHINES.map((name, index) => hardwareManifest(name, index + 1));
    await this.#world.transitions.apply({ hardware, templates: [], workflows: [] }, OPERATOR);
    for (const name of CLUSTERS) {
      if ((await this.#world.store.cluster(name)) !== undefined) continue; // of an earlier run on this database
      await this.#world.transitions.createCluster(newCluster(clusterDefinition({ name })), OPERATOR);
    }
  }

  /** One random deed. Throws only what must not happen. */
  async step(): Promise<void> {
    const deeds = [
      ...Array<() => Promise<void>>(12).fill(() => this.#work()),
      ...Array<() => Promise<void>>(3).fill(() => this.#boot()),
      ...Array<() => Promise<void>>(2).fill(() => this.#reconnect()),
      ...Array<() => Promise<void>>(2).fill(() => this.#create()),
      () => this.#repeat(),
      () => this.#reportLate(),
      () => this.#operate(),
      () => this.#operate(),
      () => this.#cluster(),
      () => this.#cluster(),
      () => this.#power(),
      () => this.#elapse(),
      async () => this.#restart(),
    ];
    const deed = deeds[this.#random(deeds.length)];
    try {
      await deed?.();
    } catch (thrown) {
      if (!(thrown instanceof TinsmithError)) throw thrown;
      if (!EXPECTED.has(thrown.code) && !REFUSED_STEP.test(thrown.message)) throw thrown;
      this.#tell(`  refused: ${thrown.message}`);
    }
  }

  /** Everybody behaves from now on, until nothing is left to do; at most `rounds` times. */
  async settle(rounds: number): Promise<void> {
    for (let round = 0; round < rounds; round += 1) {
      await this.#world.pass(40_000, []);
      for (const machine of MACHINES) await this.#hello(machine, this.#newAgent(machine));
      for (let turn = 0; turn < 12; turn += 1) {
        for (const agent of this.#agents.values()) await this.#workOf(agent, false);
      }
    }
  }

  /** Highest sequence of each session whose report was answered. */
  acknowledged(): ReadonlyMap<string, number> {
    return new Map([...this.#agents.values(), ...this.#former].map((agent) => [agent.session.session, agent.sequence]));
  }

  #tell(line: string): void {
    this.story.push(line);
  }

  #pick<T>(values: readonly T[]): T | undefined {
    return values[this.#random(Math.max(values.length, 1))];
  }

  #newAgent(machine: string): SimulatedAgent {
    this.#count += 1;
    const session = agentSession(machine, `${this.#prefix}s${this.#count}`);
    return { session, sequence: 0, isConnected: false, actions: 0, step: 0 };
  }

  async #create(): Promise<void> {
    const waiting = await this.#world.store.listWorkflows({ states: ['pending', 'running', 'waiting'] });
    if (waiting.length >= 5) return;
    this.#count += 1;
    const name = `${this.#prefix}w${this.#random(6)}`;
    const hardware = Array.from({ length: 1 + this.#random(3) }, () => MACHINES[this.#random(3)] ?? 'm1');
    const images =
      [['image2disk'], ['image2disk', 'cexec'], ['image2disk', 'writefile', 'reboot']][this.#random(3)] ?? [];
    const planned = plannedWorkflow(name, hardware, {
      images,
      ...(this.#random(4) === 0 ? { globalTimeoutMs: 200_000 } : {}),
    });
    // Every workflow is its own, so that a name that exists is a conflict and not `unchanged`.
    const manifest = { ...planned.manifest, spec: { ...planned.manifest.spec, templateRef: `t${this.#count}` } };
    this.#tell(`create ${name} on ${hardware.join()} with ${images.join()}`);
    await this.#world.transitions.apply(
      { hardware: [], templates: [], workflows: [{ ...planned, manifest }] },
      OPERATOR,
    );
  }

  async #operate(): Promise<void> {
    const workflow = this.#pick(await this.#world.store.listWorkflows());
    if (workflow === undefined) return;
    const verb = this.#random(4);
    this.#tell(`${['cancel', 'retry', 'delete', 'netboot'][verb]} ${workflow.name} (${workflow.state})`);
    if (verb === 0) await this.#world.transitions.cancelWorkflow(workflow.name, 'operator', OPERATOR);
    if (verb === 1) await this.#world.transitions.retryWorkflow(workflow.name, OPERATOR);
    if (verb === 2) await this.#world.transitions.deleteWorkflow(workflow.name, OPERATOR);
    if (verb === 3)
      await this.#world.transitions.setNetboot(this.#pick(MACHINES) ?? 'm1', this.#random(2) === 0, OPERATOR);
  }

  /** Two clusters that want the same machines: each step of a node's life, in any order. */
  async #cluster(): Promise<void> {
    const { transitions, store } = this.#world;
    const hardware = this.#pick(MACHINES) ?? 'm1';
    const cluster = this.#pick(CLUSTERS) ?? 'c1';
    const verb = this.#random(7);
    this.#count += 1;
    const name = `${this.#prefix}n${this.#count}`;
    this.#tell(
      `${['claim', 'start', 'note', 'fail', 'release', 'withdraw', 'give back'][verb]} ${hardware} for ${cluster}`,
    );
    const workflow = (await store.node(hardware))?.workflow ?? '';
    if (verb === 0) await transitions.claimNode(nodeClaim(hardware, { cluster }), OPERATOR);
    if (verb === 1) await transitions.startNode(nodeStart(hardware, name, { cluster }), OPERATOR);
    if (verb === 2) {
      await transitions.installNode(hardware, workflow, OPERATOR);
      await transitions.readyNode(hardware, OPERATOR);
    }
    if (verb === 3) await transitions.failNode(hardware, workflow, 'operator', OPERATOR);
    const wipe = nodeWorkflow(hardware, name, 'wipe', cluster);
    const reason = 'a random deed';
    if (verb === 4) await transitions.startRelease({ hardware, reason, wipe }, OPERATOR);
    if (verb === 5) await transitions.withdrawNode({ hardware, wipe: false }, OPERATOR);
    if (verb === 6) await transitions.releaseNode(hardware, OPERATOR);
  }

  /** A boot script is fetched, by the machine or somebody else; sometimes with a token that is then used or misused. */
  async #power(): Promise<void> {
    const index = this.#random(3);
    const hardware = MACHINES[index] ?? 'm1';
    this.#count += 1;
    const hash = `${this.#prefix}token${this.#count}`;
    const expiresAt = new Date(this.#world.now().getTime() + 60_000);
    this.#tell(`boot script of ${hardware}`);
    await this.#world.transitions.startBoot({ hardware, token: { hash, mac: macOf(index + 1), expiresAt } }, MACHINE);
    const request = {
      tokenHash: hash,
      nonce: 'n',
      keyHash: 'k',
      bootId: 'b',
      agentVersion: '1',
      inventory: someInventory,
    };
    const mac = macOf(this.#random(4) === 0 ? 99 : index + 1);
    if (this.#random(2) === 0) await this.#world.transitions.enroll({ ...request, mac }, MACHINE);
    await this.#world.transitions.noteReady(hardware, this.#random(2) === 0 ? 'metadata' : 'phoneHome', MACHINE);
  }

  async #boot(): Promise<void> {
    const machine = this.#pick(MACHINES) ?? 'm1';
    await this.#hello(machine, this.#newAgent(machine));
  }

  async #reconnect(): Promise<void> {
    const agent = this.#pick([...this.#agents.values()]);
    if (agent === undefined) return;
    if (this.#random(2) === 0) {
      this.#tell(`${agent.session.session} disconnects`);
      agent.isConnected = false;
      await this.#world.engine().agentDisconnected(agent.session);
      return;
    }
    await this.#hello(agent.session.hardware, agent);
  }

  async #hello(machine: string, agent: SimulatedAgent): Promise<void> {
    const former = this.#agents.get(machine);
    if (former !== undefined && former !== agent) this.#former.push(former);
    this.#agents.set(machine, agent);
    agent.isConnected = true;
    this.#tell(`hello of ${agent.session.session} on ${machine} holding ${JSON.stringify(agent.task)}`);
    this.#obey(agent, await this.#world.engine().agentConnected(agent.session, agent.task));
  }

  #obey(agent: SimulatedAgent, commands: readonly AgentCommand[]): void {
    for (const command of commands) {
      if (command.kind === 'cancel' && isSame(agent.task, command.task)) {
        this.#tell(`  ${agent.session.session} is told to cancel`);
        delete agent.task;
      }
      if (command.kind === 'runTask' && agent.task === undefined) {
        this.#tell(`  ${agent.session.session} gets ${JSON.stringify(command.task)}`);
        Object.assign(agent, { task: command.task, actions: command.actions.length, step: 0 });
      }
    }
  }

  async #work(): Promise<void> {
    const agent = this.#pick([...this.#agents.values()]);
    if (agent !== undefined) await this.#workOf(agent, this.#random(8) === 0);
  }

  /** The next report of an agent's task. */
  async #workOf(agent: SimulatedAgent, isFailing: boolean): Promise<void> {
    if (!agent.isConnected) return;
    this.#obey(agent, await this.#world.engine().commandsFor(agent.session));
    if (agent.task === undefined) return;
    const report = this.#nextReport(agent, agent.task, isFailing);
    this.#tell(`${agent.session.session} ${JSON.stringify(report)}`);
    if (report.kind === 'actionFinished' && !isFailing) {
      const { workflow, attempt, task } = report.task;
      this.done.add(`${workflow} ${attempt} ${task} ${report.action}`);
    }
    await this.#send(agent, report);
    agent.step += 1;
    if (report.kind === 'actionFinished' && (isFailing || report.action === agent.actions - 1)) delete agent.task;
  }

  /** Accept, then start and finish of each action. */
  #nextReport({ step }: SimulatedAgent, task: TaskRef, isFailing: boolean): AgentReport {
    const at = this.#world.now();
    const action = Math.floor((step - 1) / 2);
    if (step === 0) return { kind: 'taskAccepted', task };
    if (step % 2 === 1) return { kind: 'actionStarted', task, action, at };
    const result = { outcome: isFailing ? 'failed' : 'succeeded', at, exitCode: isFailing ? 1 : 0, tries: 1 } as const;
    return { kind: 'actionFinished', task, action, result };
  }

  async #send(agent: SimulatedAgent, report: AgentReport): Promise<void> {
    const sequence = agent.sequence + 1;
    await this.#world.engine().report(agent.session, sequence, report);
    agent.sequence = sequence;
    agent.last = { sequence, report };
  }

  async #repeat(): Promise<void> {
    const agent = this.#pick([...this.#agents.values(), ...this.#former]);
    if (agent?.last === undefined) return;
    this.#tell(`${agent.session.session} repeats ${agent.last.report.kind}`);
    await this.#world.engine().report(agent.session, agent.last.sequence, agent.last.report);
  }

  /** An agent process that was replaced still talks of what it held. */
  async #reportLate(): Promise<void> {
    const agent = this.#pick(this.#former);
    if (agent?.task === undefined) return;
    const { task } = agent;
    this.#tell(`${agent.session.session} reports late on ${JSON.stringify(task)}`);
    const result = { outcome: 'succeeded', at: this.#world.now(), exitCode: 0, tries: 1 } as const;
    await this.#send(agent, { kind: 'actionFinished', task, action: 0, result });
  }

  async #elapse(): Promise<void> {
    const seconds = [1, 10, 40, 120][this.#random(4)] ?? 1;
    const alive = [...this.#agents.values()].filter(({ isConnected }) => isConnected && this.#random(3) > 0);
    this.#tell(`${seconds} s pass, alive: ${alive.map(({ session }) => session.session).join()}`);
    await this.#world.pass(
      seconds * 1_000,
      alive.map(({ session }) => session),
    );
  }

  #restart(): void {
    this.#tell('the server restarts');
    this.#world.restartServer();
    for (const agent of this.#agents.values()) agent.isConnected = false;
  }
}

function isSame(left: TaskRef | undefined, right: TaskRef): boolean {
  return left?.workflow === right.workflow && left.attempt === right.attempt && left.task === right.task;
}
