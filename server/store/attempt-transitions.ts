import type { Updateable } from 'kysely';
import { type ErrorCode, TinsmithError } from '#proto/errors.ts';
import { type ActionEvent, actionLife, takesMachineDown } from '../life/action-life.ts';
import { workflowLife } from '../life/workflow-life.ts';
import { isWipe } from '../life/workflow-purpose.ts';
import type { ActionResult, LogLine, TaskRef } from '../provision/engine.ts';
import { markLeaving, noteSequence } from './agent-sessions.ts';
import type { Change, Changes } from './change.ts';
import { hardwareRow } from './hardware-rows.ts';
import { makeReady } from './installed-transitions.ts';
import type { ActionRunTable } from './schema.ts';
import { hasWork, moveMachine, NO_SYSTEM, switchNetboot } from './stage-transitions.ts';
import type { ActionRef, StoredSequence, Transitions } from './transitions-contract.ts';
import {
  type ActionRunRow,
  actionRowsOf,
  findWorkflowRow,
  hardwareOfWorkflow,
  unfinishedOf,
  type WorkflowRow,
} from './workflow-rows.ts';
import { endRun, isSpent, updateWorkflow } from './workflow-transitions.ts';

type Verbs = 'taskAccepted' | 'actionStarted' | 'actionFinished' | 'actionLog' | 'actionProgress';

/**
 * What agents report. Every report is stored with its sequence, so one that arrives twice changes nothing; one of an older
 * attempt, for a run that has ended, or of another process than the one that accepted the task, is stored (and thereby
 * acknowledged) without any effect.
 */
export function attemptTransitions(changes: Changes): Pick<Transitions, Verbs> {
  return {
    taskAccepted: (ref, stored, cause) =>
      changes.run(cause, async (change) => {
        const report = await currentReport(change, ref, stored);
        if (report !== undefined) await acceptTask(change, report, stored);
      }),

    actionStarted: (ref, at, stored, cause) =>
      changes.run(cause, async (change) => {
        const report = await currentReport(change, ref, stored);
        if (report?.isAccepted === true) await startAction(change, report, ref.action, at);
      }),

    actionFinished: (ref, result, stored, cause) =>
      changes.run(cause, async (change) => {
        const report = await currentReport(change, ref, stored);
        if (report?.isAccepted === true) await finishAction(change, report, { action: ref.action, result, stored });
      }),

    actionLog: (ref, lines, stored, cause) =>
      changes.run(cause, async (change) => {
        if (await noteSequence(change, stored)) await keepLog(change, ref, lines, stored.hardware);
      }),

    actionProgress: (ref, hardware, progress) =>
      changes.runRelaxed({ actor: 'agent' }, async (change) => {
        const run = await findWorkflowRow(change.trx, ref.workflow);
        if (run === undefined || run.attempt !== ref.attempt || run.task !== ref.task) return;
        if (machineOf(run) !== hardware) return;
        const row = (await taskActions(change, run))[ref.action];
        if (row?.state !== 'running') return; // late: the action has ended
        await updateAction(change, row, {
          progress_json: JSON.stringify({ ...progress, toldAt: change.at.getTime() }),
        });
        const data = { attempt: ref.attempt, task: ref.task, action: ref.action, ...progress };
        change.show({ name: 'action.progress', workflow: run.name, hardware, data });
      }),
  };
}

/** A report that counts: of the newest attempt of a run that goes on, by the machine that the task belongs to. */
interface CurrentReport {
  readonly run: WorkflowRow;
  readonly hardware: string;
  /** Rows of the task. */
  readonly actions: readonly ActionRunRow[];
  /** The reporting agent process is the one that accepted the task, and has not been lost since. */
  readonly isAccepted: boolean;
}

/** Throws `forbidden` for a machine that reports on another machine's task. */
async function currentReport(change: Change, ref: TaskRef, stored: StoredSequence): Promise<CurrentReport | undefined> {
  if (!(await noteSequence(change, stored))) return undefined;
  const run = await findWorkflowRow(change.trx, ref.workflow);
  if (run === undefined || run.attempt !== ref.attempt || run.task !== ref.task) return undefined;
  if (workflowLife.isFinal(run.state)) return undefined;
  const hardware = machineOf(run);
  if (hardware !== stored.hardware) {
    throw new TinsmithError(
      'forbidden',
      `the agent of Hardware ${stored.hardware} reported on a task of Workflow ${run.name} that belongs to Hardware ${hardware}`,
    );
  }
  return {
    run,
    hardware,
    actions: await taskActions(change, run),
    isAccepted: run.accepted_session === stored.session,
  };
}

function machineOf(run: WorkflowRow): string {
  const name = hardwareOfWorkflow(run)[run.task];
  if (name === undefined)
    throw new TinsmithError('internal', `Workflow ${run.name} has no machine for task ${run.task}`);
  return name;
}

async function taskActions(change: Change, run: WorkflowRow): Promise<readonly ActionRunRow[]> {
  return (await actionRowsOf(change.trx, run.id, run.attempt)).filter(({ task }) => task === run.task);
}

async function acceptTask(change: Change, report: CurrentReport, { session }: StoredSequence): Promise<void> {
  const { run, hardware, actions } = report;
  if (run.accepted_session !== null || isSpent(actions)) return; // accepted before, or lost since
  const others = await unfinishedOf(change.trx, hardware);
  if (others.some(({ id, state }) => id !== run.id && state !== 'pending')) return; // the machine runs another one
  const at = change.at.getTime();
  await updateWorkflow(change, run.id, {
    state: workflowLife.next(run.state, 'start'),
    state_at: at,
    accepted_session: session,
    accepted_at: at,
    task_begun: 1,
    started_at: run.started_at ?? at,
  });
  const data = { attempt: run.attempt, task: run.task, name: actions[0]?.task_name ?? '' };
  await change.emit({ name: 'workflow.started', workflow: run.name, hardware, data });
  await moveToProvisioning(change, run, hardware);
}

/** From now on the disk holds no known system, until the run succeeds. */
async function moveToProvisioning(change: Change, run: WorkflowRow, hardware: string): Promise<void> {
  await moveMachine(change, await hardwareRow(change.trx, hardware), 'startRun', {
    set: { installed_at: null, ...NO_SYSTEM },
    workflow: run.name,
    data: { attempt: run.attempt },
  });
}

async function startAction(change: Change, report: CurrentReport, action: number, at: Date): Promise<void> {
  const { run, hardware, actions } = report;
  const row = actionRow(report, action);
  if (row.state !== 'pending') return; // reported before
  if (!(await isInOrder(change, report, action))) return;
  const startedAt = between(at.getTime(), lastMoment(run, actions), change.at.getTime());
  const state = actionLife.next(row.state, 'start');
  await updateAction(change, row, { state, started_at: startedAt });
  await change.emit({
    name: 'action.started',
    workflow: run.name,
    hardware,
    data: { attempt: run.attempt, task: run.task, action, name: row.name },
  });
  // Somebody fetched the boot script while the agent works: its report tells where the machine is.
  const machine = await hardwareRow(change.trx, hardware);
  if (machine.stage !== 'provisioning') await moveToProvisioning(change, run, hardware);
}

interface Finished {
  readonly action: number;
  readonly result: ActionResult;
  readonly stored: StoredSequence;
}

async function finishAction(change: Change, report: CurrentReport, finished: Finished): Promise<void> {
  const { run, hardware, actions } = report;
  const { action, result } = finished;
  const row = actionRow(report, action);
  if (actionLife.isFinal(row.state)) return; // reported before
  if (!(await isInOrder(change, report, action))) return;
  await endAction(change, report, row, result);
  if (result.outcome !== 'succeeded') {
    const fact = result.error?.message ?? `it ended with exit code ${result.exitCode}`;
    const message = `action ${row.name} (${action + 1} of ${actions.length}) on ${hardware}: ${fact}`;
    await endRun(change, run, 'fail', { code: result.error?.code ?? OUTCOMES[result.outcome].code, message });
    return;
  }
  if (action !== actions.length - 1) return;
  if (takesMachineDown(row.image)) await markLeaving(change, finished.stored.session);
  await finishTask(change, report);
}

/** What each outcome does to an action, and the code of its error where the agent names none. */
const OUTCOMES = {
  succeeded: { step: 'succeed', code: 'internal' },
  failed: { step: 'fail', code: 'command_failed' },
  timedOut: { step: 'timeOut', code: 'timed_out' },
  cancelled: { step: 'cancel', code: 'cancelled' },
} as const satisfies Record<ActionResult['outcome'], { readonly step: ActionEvent; readonly code: ErrorCode }>;

async function endAction(
  change: Change,
  { run, hardware, actions }: CurrentReport,
  row: ActionRunRow,
  result: ActionResult,
): Promise<void> {
  const startedAt = row.started_at ?? lastMoment(run, actions);
  const finishedAt = between(result.at.getTime(), startedAt, change.at.getTime());
  const state = actionLife.next(row.state, OUTCOMES[result.outcome].step);
  const { error, exitCode, tries } = result;
  await updateAction(change, row, {
    state,
    started_at: startedAt,
    finished_at: finishedAt,
    exit_code: exitCode,
    tries,
    error_code: error?.code ?? null,
    error_message: error?.message ?? null,
  });
  await change.emit({
    name: 'action.finished',
    workflow: run.name,
    hardware,
    data: {
      attempt: run.attempt,
      task: run.task,
      action: row.action,
      name: row.name,
      state,
      exitCode,
      tries,
      durationMs: finishedAt - startedAt,
      ...(error === undefined ? {} : { code: error.code, message: error.message }),
    },
  });
}

async function finishTask(change: Change, { run, hardware }: CurrentReport): Promise<void> {
  const at = change.at.getTime();
  const machines = hardwareOfWorkflow(run);
  const isLastTask = run.task === machines.length - 1;
  if (isLastTask) {
    const state = workflowLife.next(run.state, 'succeed');
    await updateWorkflow(change, run.id, { state, state_at: at, finished_at: at });
    const data = { attempt: run.attempt, durationMs: at - (run.started_at ?? at) };
    await change.emit({ name: 'workflow.succeeded', workflow: run.name, hardware, data });
  } else {
    const next = { task: run.task + 1, task_begun: 0, accepted_session: null, accepted_at: null };
    await updateWorkflow(change, run.id, next);
    const data = { attempt: run.attempt, task: next.task };
    await change.emit({
      name: 'workflow.advanced',
      workflow: run.name,
      hardware: machines[next.task] ?? hardware,
      data,
    });
  }
  if (machines.slice(run.task + 1).includes(hardware)) return; // it has another task to do
  if (isWipe(JSON.parse(run.labels_json))) {
    // It is what it was when it was found: it boots into the agent and waits.
    const set = { installed_at: null, ...NO_SYSTEM };
    const machine = await hardwareRow(change.trx, hardware);
    await moveMachine(change, machine, 'wiped', { set, workflow: run.name, event: 'machine.wiped' });
    return;
  }
  await moveMachine(change, await hardwareRow(change.trx, hardware), 'runSucceeded', {
    set: { installed_at: at },
    workflow: run.name,
  });
  const installed = await hardwareRow(change.trx, hardware);
  if (installed.ready_by === 'installed') await makeReady(change, installed, 'installed');
  // The next workflow of the queue needs the boot environment again.
  if (await hasWork(change, hardware, run.id)) return;
  await switchNetboot(change, await hardwareRow(change.trx, hardware), false);
}

/** Actions run one after the other: a report that leaves one out ends the run, whatever its agent believes. */
async function isInOrder(change: Change, { run, hardware, actions }: CurrentReport, action: number): Promise<boolean> {
  const missing = actions.slice(0, action).find(({ state }) => state !== 'succeeded');
  if (missing === undefined) return true;
  const message = `the agent of ${hardware} reported action ${action + 1} before action ${missing.action + 1} (${missing.name}) had succeeded`;
  await endRun(change, run, 'fail', { code: 'internal', message });
  return false;
}

/** Lines and bytes of one action that are kept: a chatty program must not fill the disk. */
const LOG_LIMIT = { lines: 10_000, bytes: 4 * 1024 * 1024 };

/** Lines that an action printed while its run was ended are kept, too: they often say why. Those of older attempts are not. */
async function keepLog(
  change: Change,
  { workflow, attempt, task, action }: ActionRef,
  lines: readonly LogLine[],
  hardware: string,
): Promise<void> {
  const run = await findWorkflowRow(change.trx, workflow);
  if (run === undefined || run.attempt !== attempt || hardwareOfWorkflow(run)[task] !== hardware) return;
  const rows = await actionRowsOf(change.trx, run.id, attempt);
  const row = rows.find((each) => each.task === task && each.action === action);
  if (row === undefined) return;
  let { log_lines: count, log_bytes: bytes } = row;
  const kept: LogLine[] = [];
  for (const line of lines) {
    if (count > LOG_LIMIT.lines || bytes > LOG_LIMIT.bytes) break; // one beyond the limit: the notice is written
    count += 1;
    bytes += Buffer.byteLength(line.text) + 1;
    const isBeyond = count > LOG_LIMIT.lines || bytes > LOG_LIMIT.bytes;
    kept.push(isBeyond ? { at: line.at, stream: 'agent', text: 'truncated: this action printed too much' } : line);
  }
  if (kept.length === 0) return;
  for (const { at, stream, text } of kept) {
    await change.trx
      .insertInto('log_line')
      .values({ workflow_id: run.id, attempt, task, action, at: at.getTime(), stream, text })
      .execute();
  }
  await updateAction(change, row, { log_lines: count, log_bytes: bytes });
  const shown = kept.map(({ at, stream, text }) => ({ at: at.toISOString(), stream, text }));
  change.show({ name: 'action.log', workflow, hardware, data: { attempt, task, action, lines: shown } });
}

/** Throws `invalid_input` for an action that the task does not have. */
function actionRow({ run, actions }: CurrentReport, action: number): ActionRunRow {
  const row = actions[action];
  if (row !== undefined) return row;
  throw new TinsmithError(
    'invalid_input',
    `an agent reported action ${action} of Workflow ${run.name}: its task has ${actions.length} actions`,
  );
}

async function updateAction(change: Change, row: ActionRunRow, set: Updateable<ActionRunTable>): Promise<void> {
  await change.trx
    .updateTable('action_run')
    .set(set)
    .where('workflow_id', '=', row.workflow_id)
    .where('attempt', '=', row.attempt)
    .where('task', '=', row.task)
    .where('action', '=', row.action)
    .execute();
}

/** Latest moment of the task that is known: when it was accepted or its newest action ended. */
function lastMoment(run: WorkflowRow, actions: readonly ActionRunRow[]): number {
  return Math.max(run.accepted_at ?? 0, ...actions.map(({ finished_at: at }) => at ?? 0));
}

/** Machines' clocks are often wrong: their times count only as far as they fit between what the server saw. */
function between(value: number, earliest: number, latest: number): number {
  return Math.min(Math.max(value, earliest), latest);
}
