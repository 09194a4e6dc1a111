import type { Updateable } from 'kysely';
import { type ErrorCode, TinsmithError } from '#proto/errors.ts';
import { type ActionEvent, actionLife } from '../life/action-life.ts';
import type { EventName } from '../life/events.ts';
import { machineLife } from '../life/machine-life.ts';
import { newRun, type WorkflowEvent, workflowLife } from '../life/workflow-life.ts';
import { insertAttemptRows, raiseFence } from './attempt-rows.ts';
import type { Change, Changes } from './change.ts';
import { hardwareRow } from './hardware-rows.ts';
import type { WorkflowTable } from './schema.ts';
import { moveMachine, releaseNetboot, switchNetboot } from './stage-transitions.ts';
import type { Transitions } from './transitions-contract.ts';
import {
  type ActionRunRow,
  actionRowsOf,
  findWorkflowRow,
  hardwareOfWorkflow,
  renderedOfWorkflow,
  type WorkflowRow,
  workflowRow,
  workflowsOfRows,
} from './workflow-rows.ts';

type Verbs = 'cancelWorkflow' | 'retryWorkflow' | 'attemptLost' | 'nextAttempt' | 'failWorkflow' | 'timeOutWorkflow';

/** How a run ends other than by its own reports, how it is lost and how it begins again. */
export function workflowTransitions(changes: Changes): Pick<Transitions, Verbs> {
  return {
    cancelWorkflow: (name, reason, cause) =>
      changes.run(cause, async (change) => {
        const row = await workflowRow(change.trx, name);
        if (row.state === 'cancelled') return; // the same request again
        if (workflowLife.isFinal(row.state)) {
          throw new TinsmithError('conflict', `cannot cancel Workflow ${name}: it is ${row.state} already`);
        }
        await endRun(change, row, 'cancel', { code: 'cancelled', message: reason });
      }),

    retryWorkflow: (name, cause) =>
      changes.run(cause, async (change) => {
        const row = await workflowRow(change.trx, name);
        await beginRun(change, row);
      }),

    attemptLost: (ref, reason, cause) =>
      changes.run(cause, async (change) => {
        const row = await findWorkflowRow(change.trx, ref.workflow);
        // Late or repeated: the attempt is not the newest, or was lost or ended already.
        if (row === undefined || row.attempt !== ref.attempt || row.state !== 'running') return;
        await loseAttempt(change, row, reason);
      }),

    nextAttempt: (ref, cause) =>
      changes.run(cause, async (change) => {
        const row = await workflowRow(change.trx, ref.workflow);
        const actions = await actionRowsOf(change.trx, row.id, row.attempt);
        // Repeated: the next attempt exists already.
        if (row.attempt === ref.attempt && row.state === 'waiting' && isSpent(actions)) {
          await beginAttempt(change, row);
        }
        const [workflow] = await workflowsOfRows(change.trx, change.box, [await workflowRow(change.trx, row.name)]);
        if (workflow === undefined) throw new TinsmithError('internal', `Workflow ${row.name} vanished`);
        return workflow;
      }),

    failWorkflow: (name, error, cause) =>
      changes.run(cause, async (change) => {
        const row = await workflowRow(change.trx, name);
        if (!workflowLife.isFinal(row.state)) await endRun(change, row, 'fail', error);
      }),

    timeOutWorkflow: (name, message, cause) =>
      changes.run(cause, async (change) => {
        const row = await workflowRow(change.trx, name);
        if (!workflowLife.isFinal(row.state)) await endRun(change, row, 'timeOut', { code: 'timed_out', message });
      }),
  };
}

interface RunError {
  readonly code: ErrorCode;
  readonly message: string;
}

const END_EVENTS = {
  fail: 'workflow.failed',
  timeOut: 'workflow.timedOut',
  cancel: 'workflow.cancelled',
} as const satisfies Partial<Record<WorkflowEvent, EventName>>;

/** Ends a run without success: its actions, its machines and itself. */
export async function endRun(
  change: Change,
  row: WorkflowRow,
  step: keyof typeof END_EVENTS,
  error: RunError,
): Promise<void> {
  const at = change.at.getTime();
  await updateWorkflow(change, row.id, {
    state: workflowLife.next(row.state, step),
    state_at: at,
    finished_at: at,
    error_code: error.code,
    error_message: error.message,
  });
  const skipped = await closeActions(change, row, actionStep(step, error.code));
  const { code, message } = error;
  const [first] = hardwareOfWorkflow(row).slice(row.task);
  await change.emit({
    name: END_EVENTS[step],
    workflow: row.name,
    ...(first === undefined ? {} : { hardware: first }),
    data: { attempt: row.attempt, task: row.task, code, message, skipped },
  });
  await releaseMachines(change, row, `Workflow ${row.name}: ${message}`);
}

function actionStep(step: keyof typeof END_EVENTS, code: ErrorCode): ActionEvent {
  if (step !== 'fail') return step;
  if (code === 'timed_out') return 'timeOut';
  return code === 'lost' ? 'lose' : 'fail';
}

/** Running actions of the newest attempt take `step`, pending ones are skipped. Resolves to how many were skipped. */
async function closeActions(change: Change, row: WorkflowRow, step: ActionEvent): Promise<number> {
  const hardware = hardwareOfWorkflow(row);
  const actions = await actionRowsOf(change.trx, row.id, row.attempt);
  for (const action of actions.filter(({ state }) => state === 'running')) {
    const state = actionLife.next(action.state, step);
    await change.trx
      .updateTable('action_run')
      .set({ state, finished_at: change.at.getTime() })
      .where('workflow_id', '=', row.id)
      .where('attempt', '=', row.attempt)
      .where('task', '=', action.task)
      .where('action', '=', action.action)
      .execute();
    const machine = hardware[action.task];
    await change.emit({
      name: 'action.finished',
      workflow: row.name,
      ...(machine === undefined ? {} : { hardware: machine }),
      data: { attempt: row.attempt, task: action.task, action: action.action, name: action.name, state },
    });
  }
  const { numUpdatedRows } = await change.trx
    .updateTable('action_run')
    .set({ state: actionLife.next('pending', 'skip') })
    .where('workflow_id', '=', row.id)
    .where('attempt', '=', row.attempt)
    .where('state', '=', 'pending')
    .executeTakeFirstOrThrow();
  return Number(numUpdatedRows);
}

/**
 * A machine that had begun and had more to do holds no known system: it is failed, and keeps its netboot so that `retry`
 * works after a power cycle (its agent is then told that there is nothing to do). One that had not begun goes back to its disk.
 */
async function releaseMachines(change: Change, row: WorkflowRow, failure: string): Promise<void> {
  const hardware = hardwareOfWorkflow(row);
  const begunTasks = row.task + row.task_begun;
  for (const name of new Set(hardware.slice(row.task))) {
    const machine = await hardwareRow(change.trx, name);
    if (!hardware.slice(0, begunTasks).includes(name)) {
      await releaseNetboot(change, machine);
    } else if (machineLife.allows(machine.stage, 'runFailed')) {
      await moveMachine(change, machine, 'runFailed', {
        set: { failure },
        workflow: row.name,
        data: { reason: failure },
      });
    }
  }
}

async function loseAttempt(change: Change, row: WorkflowRow, reason: string): Promise<void> {
  await updateWorkflow(change, row.id, {
    state: workflowLife.next(row.state, 'lose'),
    state_at: change.at.getTime(),
    accepted_session: null,
    accepted_at: null,
  });
  const skipped = await closeActions(change, row, 'lose');
  const machine = hardwareOfWorkflow(row)[row.task];
  await change.emit({
    name: 'workflow.lost',
    workflow: row.name,
    ...(machine === undefined ? {} : { hardware: machine }),
    data: { attempt: row.attempt, task: row.task, reason, skipped },
  });
}

/** Whether every action of an attempt has ended: it was lost, and only a next one can go on. */
export function isSpent(actions: readonly Pick<ActionRunRow, 'state'>[]): boolean {
  return actions.every(({ state }) => actionLife.isFinal(state));
}

async function beginAttempt(change: Change, row: WorkflowRow): Promise<void> {
  const attempt = await raiseFence(change, row.name);
  await updateWorkflow(change, row.id, { attempt, attempts_of_run: row.attempts_of_run + 1 });
  await insertAttemptRows(change, {
    workflowId: row.id,
    attempt,
    firstTask: row.task,
    rendered: renderedOfWorkflow(row, change.box),
  });
  await emitRetried(change, row, { attempt, task: row.task, automatic: true });
}

async function beginRun(change: Change, row: WorkflowRow): Promise<void> {
  const state = newRun(row.state);
  const attempt = await raiseFence(change, row.name);
  await updateWorkflow(change, row.id, {
    state,
    state_at: change.at.getTime(),
    attempt,
    attempts_of_run: 1,
    task: 0,
    task_begun: 0,
    accepted_session: null,
    accepted_at: null,
    started_at: null,
    finished_at: null,
    error_code: null,
    error_message: null,
  });
  const rendered = renderedOfWorkflow(row, change.box);
  await insertAttemptRows(change, { workflowId: row.id, attempt, firstTask: 0, rendered });
  await emitRetried(change, row, { attempt, task: 0, automatic: false });
  for (const name of new Set(hardwareOfWorkflow(row))) {
    const machine = await hardwareRow(change.trx, name);
    if (row.disabled === 0) await switchNetboot(change, machine, true);
  }
}

async function emitRetried(
  change: Change,
  row: WorkflowRow,
  data: { readonly attempt: number; readonly task: number; readonly automatic: boolean },
): Promise<void> {
  const machine = hardwareOfWorkflow(row)[data.task];
  await change.emit({
    name: 'workflow.retried',
    workflow: row.name,
    ...(machine === undefined ? {} : { hardware: machine }),
    data,
  });
}

/** Writes fields of a workflow as its next version. */
export async function updateWorkflow(change: Change, id: number, set: Updateable<WorkflowTable>): Promise<void> {
  await change.trx
    .updateTable('workflow')
    .set((of) => ({ ...set, version: of('version', '+', 1) }))
    .where('id', '=', id)
    .execute();
}
