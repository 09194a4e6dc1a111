import { isDeepStrictEqual } from 'node:util';
import type { LibraryFacts } from '#proto/actions/facts.ts';
import { TinsmithError } from '#proto/errors.ts';
import { workflowLife } from '../life/workflow-life.ts';
import type { Cause, Store, Workflow } from '../store/store.ts';
import type { Transitions } from '../store/transitions-contract.ts';
import type { AgentCommand, AgentReport, AgentSession, FirstUseImages, TaskRef, WorkflowEngine } from './engine.ts';
import { type LibraryDigestOf, namedDigests } from './named-images.ts';
import { MachineChanges } from './workflow-changes.ts';
import {
  currentTask,
  type HeldTask,
  isCurrent,
  isLostAtHello,
  isSameRef,
  machineOf,
  nextStep,
  overdue,
  refOf,
  repeatFault,
  runTask,
} from './workflow-decisions.ts';
import { Leases } from './workflow-leases.ts';

export interface WorkflowEngineOptions {
  readonly store: Store;
  readonly transitions: Transitions;
  readonly clock: () => Date;
  /** Time without a sign of life after which an agent is lost. */
  readonly leaseMs: number;
  /** Attempts of one run; at least 1. */
  readonly maxAttempts: number;
  /** Where agents find library images, and whose signature they need; absent: there is no library. */
  readonly library?: LibraryFacts;
  /** Library images for URLs of other servers; absent: agents fetch them. */
  readonly images?: FirstUseImages;
  /** Digest of what a name of the library stands for now; undefined: it has none of that name. */
  readonly libraryDigestOf?: LibraryDigestOf;
}

/** How often `sweep` should be called. */
export const SWEEP_INTERVAL_MS = 1_000;

const SERVER: Cause = { actor: 'server' };
const UNFINISHED = workflowLife.states.filter((state) => !workflowLife.isFinal(state));
/** A session's progress is stored at most this often; agents send less. */
const PROGRESS_INTERVAL_MS = 200;

export function workflowEngine(options: WorkflowEngineOptions): WorkflowEngine {
  return new Engine(options);
}

/**
 * Decisions about one machine are made one after the other (`#inTurn`); reports are not: they are fenced by attempt and
 * sequence in their own transactions. What is held in memory (leases, who holds what) is told again by each agent's hello,
 * so a restart loses nothing.
 */
class Engine implements WorkflowEngine {
  readonly #options: WorkflowEngineOptions;
  readonly #leases: Leases;
  readonly #changes: MachineChanges;
  readonly #turns = new Map<string, Promise<unknown>>();
  /** Task that the agent of a machine has in its hands, as far as it has told. */
  readonly #held = new Map<string, HeldTask>();
  readonly #progressAt = new Map<string, number>();

  constructor(options: WorkflowEngineOptions) {
    this.#options = options;
    this.#leases = new Leases(options.leaseMs, options.clock());
    this.#changes = new MachineChanges(options.store);
  }

  async agentConnected(session: AgentSession, running: TaskRef | undefined): Promise<readonly AgentCommand[]> {
    const { store, transitions, clock } = this.#options;
    const { hardware } = session;
    return this.#inTurn(hardware, async () => {
      await transitions.agentConnected(session, causeOf(session));
      this.#leases.connect(session, clock());
      this.#hold(session, running);
      for (const workflow of await store.listWorkflows({ hardware, states: ['running'] })) {
        if (machineOf(workflow) !== hardware || !isLostAtHello(workflow, session.session, running)) continue;
        await this.#lose(workflow, `the agent of ${hardware} started again without it`);
      }
      return this.#commands(session);
    });
  }

  async acknowledged(session: string): Promise<number> {
    return (await this.#options.store.agentSession(session))?.acknowledged ?? 0;
  }

  async report(session: AgentSession, sequence: number, report: AgentReport): Promise<void> {
    this.heartbeat(session);
    if (report.kind === 'actionProgress') {
      const { hardware } = session;
      const ref = { ...report.task, action: report.action };
      if (this.#isProgressDue(hardware)) {
        await this.#options.transitions.actionProgress(ref, hardware, report.progress);
      }
      return;
    }
    if (!Number.isSafeInteger(sequence) || sequence < 1) {
      throw new TinsmithError(
        'invalid_input',
        `an agent's ${report.kind} has sequence ${sequence}: it must count from 1`,
      );
    }
    await this.#store(session, sequence, report);
    this.#noteHeld(session, report);
  }

  heartbeat(session: AgentSession): void {
    if (this.#leases.renew(session, this.#options.clock())) this.#changes.notify(session.hardware);
  }

  async agentDisconnected(session: AgentSession): Promise<void> {
    this.#leases.disconnect(session);
    await this.#options.transitions.agentDisconnected(session, causeOf(session));
  }

  async commandsFor(session: AgentSession): Promise<readonly AgentCommand[]> {
    return this.#inTurn(session.hardware, () => this.#commands(session));
  }

  changes(signal: AbortSignal): AsyncIterable<string> {
    return this.#changes.read(signal);
  }

  async sweep(): Promise<void> {
    const { store, clock } = this.#options;
    this.#leases.noteSweep(clock());
    const failures: unknown[] = [];
    for (const workflow of await store.listWorkflows({ states: ['running', 'waiting'] })) {
      const hardware = machineOf(workflow);
      if (overdue(workflow, this.#leases.view(hardware, clock())) === undefined) continue;
      // One machine that cannot be ended must not keep the others from it.
      await this.#inTurn(hardware, () => this.#endOverdue(workflow.name)).catch((thrown: unknown) =>
        failures.push(thrown),
      );
    }
    if (failures.length > 0) throw new AggregateError(failures, `cannot end ${failures.length} overdue workflows`);
  }

  async #store(
    session: AgentSession,
    sequence: number,
    report: Exclude<AgentReport, { kind: 'actionProgress' }>,
  ): Promise<void> {
    const { transitions } = this.#options;
    const { hardware } = session;
    const stored = { session: session.session, sequence, hardware };
    const cause = causeOf(session);
    switch (report.kind) {
      case 'taskAccepted':
        return transitions.taskAccepted(report.task, stored, cause);
      case 'actionStarted':
        return transitions.actionStarted({ ...report.task, action: report.action }, report.at, stored, cause);
      case 'actionLog':
        return transitions.actionLog({ ...report.task, action: report.action }, report.lines, stored, cause);
      case 'actionFinished':
        return transitions.actionFinished({ ...report.task, action: report.action }, report.result, stored, cause);
      case 'inventory':
        return transitions.storeInventory(hardware, report.inventory, cause, stored);
    }
  }

  #noteHeld(session: AgentSession, report: AgentReport): void {
    if (report.kind === 'taskAccepted') {
      this.#hold(session, report.task);
      // It may have been cancelled between the command and its acceptance: then the agent must hear of it.
      this.#changes.notify(session.hardware);
    }
    if (report.kind !== 'actionFinished') return;
    const held = this.#held.get(session.hardware);
    // After a failure the agent leaves the rest out. After the last success it holds nothing that could be cancelled either.
    if (
      report.result.outcome !== 'succeeded' &&
      held?.session === session.session &&
      isSameRef(held.task, report.task)
    ) {
      this.#held.delete(session.hardware);
    }
  }

  #hold(session: AgentSession, task: TaskRef | undefined): void {
    if (!this.#leases.speaksFor(session)) return;
    if (task === undefined) this.#held.delete(session.hardware);
    else this.#held.set(session.hardware, { session: session.session, task });
  }

  async #commands(session: AgentSession): Promise<readonly AgentCommand[]> {
    // An agent process that was replaced by a newer one gets no work.
    if (!this.#leases.speaksFor(session)) return [];
    const commands: AgentCommand[] = [];
    const cancel = await this.#cancelHeld(session);
    if (cancel !== undefined) commands.push(cancel);
    const stored = await this.#options.store.agentSession(session.session);
    if (stored?.isLeaving !== true) {
      const run = await this.#nextTask(session.hardware);
      if (run !== undefined) commands.push(run);
    }
    return commands;
  }

  /** Sent again with every change until the agent reports the end: a command that arrives twice is harmless. */
  async #cancelHeld(session: AgentSession): Promise<AgentCommand | undefined> {
    const held = this.#held.get(session.hardware);
    if (held === undefined || held.session !== session.session) return undefined;
    const workflow = await this.#options.store.workflow(held.task.workflow);
    if (isCurrent(workflow, held)) return undefined;
    if (workflow?.state === 'succeeded' || isDone(workflow, held.task)) {
      this.#held.delete(session.hardware);
      return undefined;
    }
    // An agent may claim to hold anything: it is told nothing of another machine's workflow.
    const isOwn = workflow?.hardware[held.task.task] === session.hardware;
    const reason = (isOwn ? workflow.error?.message : undefined) ?? 'this attempt does not count any more';
    return { kind: 'cancel', task: held.task, reason };
  }

  async #nextTask(hardware: string): Promise<AgentCommand | undefined> {
    const { transitions, maxAttempts } = this.#options;
    for (;;) {
      const step = nextStep(hardware, await this.#queueAround(hardware), maxAttempts);
      switch (step.kind) {
        case 'nothing':
          return undefined;
        case 'attemptAgain':
          await transitions.nextAttempt(refOf(step.workflow), SERVER);
          break;
        case 'fail':
          await transitions.failWorkflow(step.workflow.name, step.fault, SERVER);
          break;
        case 'run': {
          const granted = await this.#grant(step.workflow, hardware);
          if (granted !== 'failed') return granted;
        }
      }
    }
  }

  /** The command for the workflow's task; undefined while it has to wait, or if its machine is gone. */
  async #grant(workflow: Workflow, hardware: string): Promise<AgentCommand | undefined | 'failed'> {
    const { store, transitions, library, images } = this.#options;
    const record = await store.hardware(hardware);
    if (record === undefined) return undefined; // deleted since: its workflow is, too
    const found = images?.forTask(workflow) ?? { kind: 'ready', digests: new Map() };
    // Nothing is granted, so no time-out runs; the event of the image's arrival asks for commands again.
    if (found.kind === 'waiting') return undefined;
    if (found.kind === 'failed') {
      await transitions.failWorkflow(workflow.name, found.fault, SERVER);
      return 'failed';
    }
    try {
      return runTask(workflow, record, library, await this.#giveImages(workflow, found.digests));
    } catch (thrown) {
      const { code, message } = TinsmithError.from(thrown);
      if (code !== 'unknown_action') throw thrown;
      await transitions.failWorkflow(workflow.name, { code, message }, SERVER);
      return 'failed';
    }
  }

  /**
   * Digests of the library's images by the index of the action, those that it names included. They are written down before the agent
   * hears of them, and a name is asked once more after that: what it stood for may be nobody's, and deleted, until then.
   */
  async #giveImages(workflow: Workflow, ofUrls: ReadonlyMap<number, string>): Promise<ReadonlyMap<number, string>> {
    const { transitions, libraryDigestOf } = this.#options;
    const task = currentTask(workflow);
    let digests = new Map([...ofUrls, ...(await namedDigests(task, libraryDigestOf))]);
    for (;;) {
      if (digests.size === 0) return digests;
      await transitions.noteGivenImages(refOf(workflow), [...digests.values()], SERVER);
      const now = new Map([...ofUrls, ...(await namedDigests(task, libraryDigestOf))]);
      if (isDeepStrictEqual(now, digests)) return digests;
      digests = now;
    }
  }

  /** Unfinished workflows of a machine and of the machines that share one with it. */
  async #queueAround(hardware: string): Promise<readonly Workflow[]> {
    const { store } = this.#options;
    const queue = new Map<string, Workflow>();
    const machines = new Set([hardware]);
    for (const workflow of await store.listWorkflows({ hardware, states: UNFINISHED })) {
      queue.set(workflow.name, workflow);
      for (const name of workflow.hardware) machines.add(name);
    }
    machines.delete(hardware);
    for (const name of machines) {
      for (const workflow of await store.listWorkflows({ hardware: name, states: UNFINISHED })) {
        if (!queue.has(workflow.name)) queue.set(workflow.name, workflow);
      }
    }
    return [...queue.values()];
  }

  async #endOverdue(name: string): Promise<void> {
    const { store, transitions, clock } = this.#options;
    const workflow = await store.workflow(name);
    if (workflow === undefined || workflowLife.isFinal(workflow.state)) return;
    // Looked at again: the agent may have come back while this waited for its turn.
    const found = overdue(workflow, this.#leases.view(machineOf(workflow), clock()));
    switch (found?.kind) {
      case 'lost':
        return this.#lose(workflow, found.reason);
      case 'timedOut':
        return transitions.timeOutWorkflow(name, found.message, SERVER);
      case 'failed':
        return transitions.failWorkflow(name, found.fault, SERVER);
      case undefined:
        return undefined;
    }
  }

  /** A run that cannot go on fails at once: its machine may never come back to be told. */
  async #lose(workflow: Workflow, reason: string): Promise<void> {
    const { store, transitions, maxAttempts } = this.#options;
    await transitions.attemptLost(refOf(workflow), reason, SERVER);
    const lost = await store.workflow(workflow.name);
    if (lost?.state !== 'waiting' || lost.attempt !== workflow.attempt) return;
    const fault = repeatFault(lost, maxAttempts);
    if (fault !== undefined) await transitions.failWorkflow(lost.name, fault, SERVER);
  }

  #isProgressDue(hardware: string): boolean {
    const now = this.#options.clock().getTime();
    const last = this.#progressAt.get(hardware);
    if (last !== undefined && now >= last && now - last < PROGRESS_INTERVAL_MS) return false;
    this.#progressAt.set(hardware, now);
    return true;
  }

  /** Runs `work` after whatever else is being decided about this machine. */
  async #inTurn<T>(hardware: string, work: () => Promise<T>): Promise<T> {
    const former = this.#turns.get(hardware) ?? Promise.resolve();
    const mine = former.then(work, work);
    const settled = mine.catch(() => undefined); // the caller gets the failure; the next decision is not concerned
    this.#turns.set(hardware, settled);
    try {
      return await mine;
    } finally {
      if (this.#turns.get(hardware) === settled) this.#turns.delete(hardware);
    }
  }
}

/** Whether the run went on to a later task: the agent has done what it held. */
function isDone(workflow: Workflow | undefined, held: TaskRef): boolean {
  return workflow !== undefined && workflow.attempt === held.attempt && workflow.task > held.task;
}

function causeOf({ from }: AgentSession): Cause {
  return { actor: 'agent', from };
}
