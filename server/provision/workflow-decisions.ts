import { actionNameOf } from '#proto/actions/catalog.ts';
import type { LibraryFacts } from '#proto/actions/facts.ts';
import { libraryName } from '#proto/actions/image2disk.ts';
import { LONGEST_UNCOUNTED_WAIT_MS } from '#proto/agent-service-definition.ts';
import { type ErrorCode, TinsmithError } from '#proto/errors.ts';
import { actionLife, isRepeatable } from '../life/action-life.ts';
import { workflowLife } from '../life/workflow-life.ts';
import { hardwareFacts } from '../manifests/hardware-facts.ts';
import type { RenderedTask } from '../manifests/template-kind.ts';
import type { Hardware, Workflow } from '../store/store.ts';
import type { AgentCommand, TaskAction, TaskRef } from './engine.ts';

/** Why a run must end. */
export interface RunFault {
  readonly code: ErrorCode;
  readonly message: string;
}

/** What a machine's agent should do next, or what must be decided before it can. */
export type NextStep =
  | { readonly kind: 'nothing' }
  | { readonly kind: 'run'; readonly workflow: Workflow }
  /** Its attempt was lost and may be repeated. */
  | { readonly kind: 'attemptAgain'; readonly workflow: Workflow }
  | { readonly kind: 'fail'; readonly workflow: Workflow; readonly fault: RunFault };

/**
 * What is next for a machine. `queue`: every unfinished workflow of this machine and of the machines that share one with
 * it. A workflow starts when all its machines are free and none of them has an older one waiting; so two workflows never
 * run on one machine, and workflows that need the same machines in another order never wait for each other.
 */
export function nextStep(hardware: string, queue: readonly Workflow[], maxAttempts: number): NextStep {
  const mine = queue.filter((workflow) => machineOf(workflow) === hardware);
  const active = mine.find(({ state }) => state !== 'pending');
  if (active !== undefined) return nextOfActive(active, maxAttempts);
  const [first] = mine
    .filter((workflow) => workflow.spec.disabled !== true && !queue.some((other) => goesBefore(other, workflow)))
    .toSorted((a, b) => a.queueOrder - b.queueOrder);
  return first === undefined ? { kind: 'nothing' } : { kind: 'run', workflow: first };
}

function nextOfActive(workflow: Workflow, maxAttempts: number): NextStep {
  if (workflow.accepted !== undefined) return { kind: 'nothing' };
  if (!isSpent(workflow)) return { kind: 'run', workflow };
  const fault = repeatFault(workflow, maxAttempts);
  return fault === undefined ? { kind: 'attemptAgain', workflow } : { kind: 'fail', workflow, fault };
}

function goesBefore(other: Workflow, workflow: Workflow): boolean {
  if (other.name === workflow.name || other.spec.disabled === true) return false;
  if (!other.hardware.some((name) => workflow.hardware.includes(name))) return false;
  return other.state !== 'pending' || other.queueOrder < workflow.queueOrder;
}

/** Name of the Hardware that the current task belongs to. */
export function machineOf(workflow: Workflow): string {
  const name = workflow.hardware[workflow.task];
  if (name === undefined) {
    throw new TinsmithError('internal', `Workflow ${workflow.name} has no machine for task ${workflow.task}`);
  }
  return name;
}

export function refOf({ name, attempt, task }: Workflow): TaskRef {
  return { workflow: name, attempt, task };
}

export function isSameRef(left: TaskRef | undefined, right: TaskRef | undefined): boolean {
  return left?.workflow === right?.workflow && left?.attempt === right?.attempt && left?.task === right?.task;
}

/** Whether every action of the newest attempt has ended although the run goes on: the attempt was lost. */
export function isSpent({ state, actions }: Workflow): boolean {
  return !workflowLife.isFinal(state) && actions.every((action) => actionLife.isFinal(action.state));
}

/** A task that an agent process (by its session) has in its hands. */
export interface HeldTask {
  readonly session: string;
  readonly task: TaskRef;
}

/** Whether an agent should go on with what it holds: the newest attempt of a run that goes on, accepted by nobody else. */
export function isCurrent(workflow: Workflow | undefined, { session, task }: HeldTask): boolean {
  if (workflow === undefined || workflowLife.isFinal(workflow.state) || isSpent(workflow)) return false;
  return isSameRef(refOf(workflow), task) && (workflow.accepted?.session ?? session) === session;
}

/**
 * Whether the run that a machine should have is gone, seen when its agent says hello: another boot, another agent process or
 * one that forgot it holds something else, or nothing.
 */
export function isLostAtHello(workflow: Workflow, session: string, running: TaskRef | undefined): boolean {
  if (workflow.state !== 'running' || workflow.accepted === undefined) return false;
  return workflow.accepted.session !== session || !isSameRef(refOf(workflow), running);
}

/** Why a lost attempt may not be followed by another one: too many already, or an action that is unsafe to run again. */
export function repeatFault(workflow: Workflow, maxAttempts: number): RunFault | undefined {
  const machine = machineOf(workflow);
  const lost = workflow.actions.find((action) => action.state === 'lost');
  const where = lost === undefined ? '' : ` during action ${lost.name}`;
  if (workflow.attemptsOfRun >= maxAttempts) {
    const message = `the agent of ${machine} went away${where} in attempt ${workflow.attemptsOfRun} of ${maxAttempts}: see the machine's console, then retry the workflow`;
    return { code: 'lost', message };
  }
  const unsafe = currentTask(workflow).actions.find(({ image }) => !isRepeatable(image));
  if (unsafe === undefined) return undefined;
  const message = `the agent of ${machine} went away${where}, and the task cannot begin again by itself because action ${unsafe.name} is not repeatable: retry the workflow`;
  return { code: 'lost', message };
}

/** What a sweep knows of the agent that runs a workflow's current task. */
export interface AgentView {
  /** Time that went by since a moment that the store noted, without pauses of the server and jumps of its clock. */
  readonly elapsedMs: (since: Date) => number;
  /** No sign of life for the whole lease. */
  readonly isLeaseOver: boolean;
  /** Its stream is open for long enough to have delivered what it knew: only then its silence counts. */
  readonly isSettled: boolean;
}

export type Overdue =
  | { readonly kind: 'lost'; readonly reason: string }
  | { readonly kind: 'timedOut'; readonly message: string }
  | { readonly kind: 'failed'; readonly fault: RunFault };

/** What a sweep must end. An agent that is away for a moment may have good news: it is heard first, or its lease ends. */
export function overdue(workflow: Workflow, agent: AgentView): Overdue | undefined {
  const isRunning = workflow.state === 'running' && workflow.accepted !== undefined;
  if (isRunning && agent.isLeaseOver) {
    return { kind: 'lost', reason: `no sign of life from the agent of ${machineOf(workflow)}` };
  }
  if (isRunning && !agent.isSettled) return undefined;
  return globalTimeout(workflow, agent) ?? actionTimeout(workflow, agent) ?? idleTimeout(workflow, agent);
}

/** Counts everything, what its machines waited for their turn as well: it is the one limit that nothing moves. */
function globalTimeout(
  { startedAt, rendered, name, actions }: Workflow,
  { elapsedMs }: AgentView,
): Overdue | undefined {
  const limitMs = rendered.globalTimeoutMs;
  if (startedAt === undefined || limitMs === undefined || elapsedMs(startedAt) < limitMs) return undefined;
  const waitedMs = actions.reduce((sum, { progress }) => sum + (progress?.waitedMs ?? 0), 0);
  const besides = waitedMs < 1000 ? '' : `, of which it waited ${Math.round(waitedMs / 1000)} s for its turn`;
  const message = `Workflow ${name} took longer than its global timeout of ${limitMs / 1000} s${besides}`;
  return { kind: 'timedOut', message };
}

/** The agent enforces time-outs itself; the server waits this much longer for each try, then it does. */
const TIMEOUT_GRACE_MS = 30_000;

function actionTimeout(workflow: Workflow, { elapsedMs }: AgentView): Overdue | undefined {
  const running = workflow.actions.find(({ state }) => state === 'running');
  const action = running === undefined ? undefined : currentTask(workflow).actions[running.action];
  if (running?.startedAt === undefined || action === undefined) return undefined;
  // What the agent says is believed to a bound: what it waited for its turn is not the action's time.
  const waitedMs = Math.min(LONGEST_UNCOUNTED_WAIT_MS, running.progress?.waitedMs ?? 0);
  const limitMs = (action.timeoutMs + TIMEOUT_GRACE_MS) * (action.retries + 1) + waitedMs;
  if (elapsedMs(running.startedAt) < limitMs) return undefined;
  const message = `action ${action.name} on ${machineOf(workflow)} took longer than its timeout of ${action.timeoutMs / 1000} s and its agent did not end it`;
  return { kind: 'failed', fault: { code: 'timed_out', message } };
}

/** How long an agent may take from one action to the next: it syncs and unmounts in between. */
const IDLE_LIMIT_MS = 600_000;

/** An agent that accepted the task, gives signs of life and does nothing would hold its machine for ever. */
function idleTimeout(workflow: Workflow, { elapsedMs }: AgentView): Overdue | undefined {
  const { accepted, actions } = workflow;
  if (accepted === undefined || actions.some(({ state }) => state === 'running')) return undefined;
  const moments = [accepted.at, ...actions.flatMap(({ finishedAt }) => finishedAt ?? [])];
  if (moments.some((moment) => elapsedMs(moment) < IDLE_LIMIT_MS)) return undefined;
  const next = actions.find(({ state }) => state === 'pending')?.name ?? 'the next one';
  const message = `the agent of ${machineOf(workflow)} is connected but did not begin action ${next} for ${IDLE_LIMIT_MS / 1000} s: restart the machine and retry the workflow`;
  return { kind: 'failed', fault: { code: 'timed_out', message } };
}

export function currentTask(workflow: Workflow): RenderedTask {
  const task = workflow.rendered.tasks[workflow.task];
  if (task === undefined) throw new TinsmithError('internal', `Workflow ${workflow.name} has no task ${workflow.task}`);
  return task;
}

/** The command for a workflow's current task; `images`: digests by action, see TaskImages. Throws `unknown_action`. */
export function runTask(
  workflow: Workflow,
  hardware: Hardware,
  library?: LibraryFacts,
  images?: ReadonlyMap<number, string>,
): AgentCommand {
  const task = currentTask(workflow);
  return {
    kind: 'runTask',
    task: refOf(workflow),
    name: task.name,
    actions: task.actions.map(({ name, image, timeoutMs, environment, command, retries }, index) => ({
      name,
      ...withLibraryImage({ builtIn: actionNameOf(image), environment }, images?.get(index)),
      timeoutMs,
      command,
      retries,
    })),
    facts: { ...hardwareFacts(hardware), ...(library && { library }) },
  };
}

/** Meant for the URL: its proxies, and the sum of the file there, which was checked when it was imported. */
const OF_URL = new Set(['IMG_URL', 'IMG_SHA256', 'HTTP_PROXY', 'HTTPS_PROXY', 'NO_PROXY']);
/** Meant for qemu-img: what the library has is the disk's content. */
const OF_FORMAT = new Set(['FORMAT', 'EXTRA_ARGS']);

/** An image of the library is written by image2disk, whatever format it had. */
function withLibraryImage(
  { builtIn, environment }: Pick<TaskAction, 'builtIn' | 'environment'>,
  digest: string | undefined,
): Pick<TaskAction, 'builtIn' | 'environment'> {
  if (digest === undefined) return { builtIn, environment };
  // Whatever else it says is meant for the library.
  if (libraryName(environment['IMG_URL'] ?? '') !== undefined)
    return { builtIn, environment: { ...environment, IMG_URL: `library:sha256-${digest}` } };
  const kept = Object.entries(environment).filter(
    ([name]) => !OF_URL.has(name.toUpperCase()) && !(builtIn === 'qemuimg2disk' && OF_FORMAT.has(name)),
  );
  return {
    builtIn: 'image2disk',
    environment: { ...Object.fromEntries(kept), IMG_URL: `library:sha256-${digest}` },
  };
}
