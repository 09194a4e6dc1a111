/** An engine on a store in memory, a clock that is moved by hand, and agents that say what a test wants them to say. */
import assert from 'node:assert/strict';
import type {
  ActionResult,
  AgentCommand,
  AgentSession,
  FirstUseImages,
  TaskRef,
  WorkflowEngine,
} from '#server/provision/engine.ts';
import type { LibraryDigestOf } from '#server/provision/named-images.ts';
import { SWEEP_INTERVAL_MS, workflowEngine } from '#server/provision/workflow-engine.ts';
import { openSqliteStore } from '#server/store/sqlite-store.ts';
import type { Store, Workflow } from '#server/store/store.ts';
import type { PlannedWorkflow, Transitions } from '#server/store/transitions-contract.ts';
import {
  agentSession,
  hardwareManifest,
  plannedWorkflow,
  type SteppingClock,
  steppingClock,
  type WorkflowOptions,
} from './records.ts';

export const OPERATOR = { actor: 'operator' } as const;
export const LEASE_MS = 30_000;
export const MAX_ATTEMPTS = 3;

export type RunTask = Extract<AgentCommand, { kind: 'runTask' }>;

export interface EngineWorld extends AsyncDisposable {
  readonly clock: SteppingClock;
  readonly store: Store;
  readonly transitions: Transitions;
  engine(): WorkflowEngine;
  /** A new server process on the same database: whatever the engine held in memory is gone. */
  restartServer(): void;
  apply(...workflows: readonly PlannedWorkflow[]): Promise<void>;
  workflow(name: string): Promise<Workflow>;
  /** Moves the clock in sweeps; `alive` agents give signs of life, the others are silent. */
  pass(ms: number, ...alive: readonly FakeAgent[]): Promise<void>;
}

/** Machines `m1`, `m2`, `m3`; `images` and `libraryDigestOf` stand for the library. */
export async function startEngineWorld(
  images?: FirstUseImages,
  libraryDigestOf?: LibraryDigestOf,
): Promise<EngineWorld> {
  const clock = steppingClock();
  const opened = await openSqliteStore({ path: ':memory:', clock: clock.now });
  const { store, transitions } = opened;
  const start = () =>
    workflowEngine({
      store,
      transitions,
      clock: clock.now,
      leaseMs: LEASE_MS,
      maxAttempts: MAX_ATTEMPTS,
      ...(images && { images }),
      ...(libraryDigestOf && { libraryDigestOf }),
    });
  let engine = start();
  const hardware = ['m1', 'm2', 'm3'].map((name, index) => hardwareManifest(name, index + 1));
  await transitions.apply({ hardware, templates: [], workflows: [] }, OPERATOR);
  return {
    clock,
    store,
    transitions,
    engine: () => engine,
    restartServer() {
      engine = start();
    },
    async apply(...workflows) {
      await transitions.apply({ hardware: [], templates: [], workflows }, OPERATOR);
    },
    async workflow(name) {
      const workflow = await store.workflow(name);
      assert.ok(workflow, `Workflow ${name} exists`);
      return workflow;
    },
    async pass(ms, ...alive) {
      for (let left = ms; left > 0; left -= SWEEP_INTERVAL_MS) {
        clock.advance(SWEEP_INTERVAL_MS);
        for (const agent of alive) agent.heartbeat();
        await engine.sweep();
      }
    },
    [Symbol.asyncDispose]: () => opened[Symbol.asyncDispose](),
  };
}

let agents = 0;

/** One agent process on one boot. */
export class FakeAgent {
  readonly session: AgentSession;
  readonly #world: EngineWorld;
  #sequence = 0;

  constructor(world: EngineWorld, hardware: string, bootId?: string) {
    agents += 1;
    this.#world = world;
    this.session = agentSession(hardware, `session-${agents}`, bootId);
  }

  async hello(running?: TaskRef): Promise<readonly AgentCommand[]> {
    return this.#world.engine().agentConnected(this.session, running);
  }

  /** Says hello and returns the one task it gets. */
  async helloForTask(running?: TaskRef): Promise<RunTask> {
    return theTask(await this.hello(running));
  }

  async commands(): Promise<readonly AgentCommand[]> {
    return this.#world.engine().commandsFor(this.session);
  }

  heartbeat(): void {
    this.#world.engine().heartbeat(this.session);
  }

  async leave(): Promise<void> {
    await this.#world.engine().agentDisconnected(this.session);
  }

  async accept(task: TaskRef): Promise<void> {
    this.#sequence += 1;
    await this.#world.engine().report(this.session, this.#sequence, { kind: 'taskAccepted', task });
  }

  async start(task: TaskRef, action: number): Promise<void> {
    this.#sequence += 1;
    const at = this.#world.clock.now();
    await this.#world.engine().report(this.session, this.#sequence, { kind: 'actionStarted', task, action, at });
  }

  async finish(task: TaskRef, action: number, result: Partial<ActionResult> = {}): Promise<void> {
    this.#sequence += 1;
    const at = this.#world.clock.now();
    await this.#world.engine().report(this.session, this.#sequence, {
      kind: 'actionFinished',
      task,
      action,
      result: { outcome: 'succeeded', at, exitCode: 0, tries: 1, ...result },
    });
  }

  /** Says hello and accepts the one task it gets. */
  async acceptTask(): Promise<TaskRef> {
    const { task } = await this.helloForTask();
    await this.accept(task);
    return task;
  }

  /** Accepts a task and reports every action of it as done. */
  async complete({ task, actions }: RunTask): Promise<void> {
    await this.accept(task);
    for (const index of actions.keys()) {
      await this.start(task, index);
      await this.finish(task, index);
    }
  }
}

/** An agent of machine `m1` that has accepted the task of a new workflow `w`. */
export async function agentWithTask(
  world: EngineWorld,
  options: WorkflowOptions = {},
): Promise<{ readonly agent: FakeAgent; readonly task: TaskRef }> {
  await world.apply(plannedWorkflow('w', ['m1'], options));
  const agent = new FakeAgent(world, 'm1');
  return { agent, task: await agent.acceptTask() };
}

/** As `agentWithTask`, in the middle of its first action. */
export async function agentAtWork(
  world: EngineWorld,
  options: WorkflowOptions = {},
): Promise<{ readonly agent: FakeAgent; readonly task: TaskRef }> {
  const { agent, task } = await agentWithTask(world, options);
  await agent.start(task, 0);
  return { agent, task };
}

/** The one `runTask` among commands. */
export function theTask(commands: readonly AgentCommand[]): RunTask {
  const tasks = commands.filter((command) => command.kind === 'runTask');
  assert.equal(tasks.length, 1, `one task expected among ${JSON.stringify(commands)}`);
  const [task] = tasks;
  assert.ok(task);
  return task;
}

export function kindsOf(commands: readonly AgentCommand[]): readonly string[] {
  return commands.map(({ kind }) => kind);
}
