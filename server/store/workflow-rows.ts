import type { Selectable } from 'kysely';
import { TinsmithError } from '#proto/errors.ts';
import { type WorkflowState, workflowLife } from '../life/workflow-life.ts';
import type { Reader } from './hardware-rows.ts';
import type { ActionRunTable, WorkflowTable } from './schema.ts';
import type { SecretBox } from './secret-box.ts';
import type { ActionRun, GivenImage, Workflow } from './store.ts';

export type WorkflowRow = Selectable<WorkflowTable>;
export type ActionRunRow = Selectable<ActionRunTable>;

/** States in which a workflow holds its machines. */
export const UNFINISHED: readonly WorkflowState[] = workflowLife.states.filter((state) => !workflowLife.isFinal(state));

/** Rows of one SQL statement stay below SQLite's limit of variables. */
const CHUNK = 500;

/** Purpose of a workflow's rendered template in the secret box. */
export function renderedPurpose(workflow: string): string {
  return `rendered template of Workflow ${workflow}`;
}

/** Throws `not_found`. */
export async function workflowRow(db: Reader, name: string): Promise<WorkflowRow> {
  const row = await findWorkflowRow(db, name);
  if (row === undefined) throw new TinsmithError('not_found', `there is no Workflow named ${name}`);
  return row;
}

export async function findWorkflowRow(db: Reader, name: string): Promise<WorkflowRow | undefined> {
  return db.selectFrom('workflow').selectAll().where('name', '=', name).executeTakeFirst();
}

/** Unfinished workflows of a machine, oldest first. */
export async function unfinishedOf(db: Reader, hardware: string): Promise<readonly WorkflowRow[]> {
  return db
    .selectFrom('workflow')
    .selectAll()
    .where('state', 'in', UNFINISHED)
    .where('id', 'in', (of) =>
      of.selectFrom('workflow_hardware').select('workflow_id').where('hardware', '=', hardware),
    )
    .orderBy('id')
    .execute();
}

/** Of the newest attempts of unfinished workflows. */
export async function givenImages(db: Reader): Promise<readonly GivenImage[]> {
  const rows = await db
    .selectFrom('given_image')
    .innerJoin('workflow', (join) =>
      join.onRef('workflow.id', '=', 'workflow_id').onRef('workflow.attempt', '=', 'given_image.attempt'),
    )
    .select(['workflow.name as workflow', 'given_image.task', 'digest'])
    .where('workflow.state', 'in', UNFINISHED)
    .orderBy('workflow.id')
    .execute();
  return rows.map((row) => ({ ...row }));
}

/** Action rows of one attempt, in order. */
export async function actionRowsOf(db: Reader, workflowId: number, attempt: number): Promise<readonly ActionRunRow[]> {
  return db
    .selectFrom('action_run')
    .selectAll()
    .where('workflow_id', '=', workflowId)
    .where('attempt', '=', attempt)
    .orderBy('task')
    .orderBy('action')
    .execute();
}

/** Rows as the records that everybody reads, each with the actions of its newest attempt. */
export async function workflowsOfRows(
  db: Reader,
  box: SecretBox,
  rows: readonly WorkflowRow[],
): Promise<readonly Workflow[]> {
  const actions = new Map<number, ActionRun[]>();
  for (let start = 0; start < rows.length; start += CHUNK) {
    const ids = rows.slice(start, start + CHUNK).map((row) => row.id);
    const found = await db
      .selectFrom('action_run')
      .innerJoin('workflow', (join) =>
        join.onRef('workflow.id', '=', 'workflow_id').onRef('workflow.attempt', '=', 'action_run.attempt'),
      )
      .selectAll('action_run')
      .where('workflow_id', 'in', ids)
      .orderBy('action_run.task')
      .orderBy('action_run.action')
      .execute();
    for (const row of found) {
      const run = actionRunOfRow(row);
      const runs = actions.get(row.workflow_id);
      if (runs === undefined) actions.set(row.workflow_id, [run]);
      else runs.push(run);
    }
  }
  return rows.map((row) => workflowOfRow(row, box, actions.get(row.id) ?? []));
}

export function hardwareOfWorkflow(row: WorkflowRow): readonly string[] {
  return JSON.parse(row.hardware_json);
}

export function renderedOfWorkflow(row: WorkflowRow, box: SecretBox): Workflow['rendered'] {
  return JSON.parse(box.open(renderedPurpose(row.name), row.rendered_sealed));
}

function workflowOfRow(row: WorkflowRow, box: SecretBox, actions: readonly ActionRun[]): Workflow {
  return {
    name: row.name,
    labels: JSON.parse(row.labels_json),
    annotations: JSON.parse(row.annotations_json),
    spec: JSON.parse(row.spec_json),
    version: row.version,
    createdAt: new Date(row.created_at),
    queueOrder: row.id,
    state: row.state,
    stateAt: new Date(row.state_at),
    hardware: hardwareOfWorkflow(row),
    rendered: renderedOfWorkflow(row, box),
    attempt: row.attempt,
    attemptsOfRun: row.attempts_of_run,
    task: row.task,
    actions,
    ...(row.accepted_session === null || row.accepted_at === null
      ? {}
      : { accepted: { session: row.accepted_session, at: new Date(row.accepted_at) } }),
    ...(row.started_at === null ? {} : { startedAt: new Date(row.started_at) }),
    ...(row.finished_at === null ? {} : { finishedAt: new Date(row.finished_at) }),
    ...(row.error_code === null ? {} : { error: { code: row.error_code, message: row.error_message ?? '' } }),
  };
}

export function actionRunOfRow(row: ActionRunRow): ActionRun {
  return {
    attempt: row.attempt,
    task: row.task,
    action: row.action,
    taskName: row.task_name,
    name: row.name,
    image: row.image,
    state: row.state,
    ...(row.started_at === null ? {} : { startedAt: new Date(row.started_at) }),
    ...(row.finished_at === null ? {} : { finishedAt: new Date(row.finished_at) }),
    ...(row.exit_code === null ? {} : { exitCode: row.exit_code }),
    ...(row.tries === null ? {} : { tries: row.tries }),
    ...(row.error_code === null ? {} : { error: { code: row.error_code, message: row.error_message ?? '' } }),
    ...(row.progress_json === null ? {} : { progress: JSON.parse(row.progress_json) }),
  };
}
