import type { RenderedTemplate } from '../manifests/template-kind.ts';
import type { Change } from './change.ts';

/** Next attempt number of a workflow of this name; never one that was given out before, also not before it was deleted. */
export async function raiseFence({ trx }: Change, workflow: string): Promise<number> {
  const former = await trx
    .selectFrom('attempt_fence')
    .select('attempt')
    .where('workflow', '=', workflow)
    .executeTakeFirst();
  const attempt = (former?.attempt ?? 0) + 1;
  await trx
    .insertInto('attempt_fence')
    .values({ workflow, attempt })
    .onConflict((conflict) => conflict.column('workflow').doUpdateSet({ attempt }))
    .execute();
  return attempt;
}

interface NewAttempt {
  readonly workflowId: number;
  readonly attempt: number;
  readonly firstTask: number;
  readonly rendered: RenderedTemplate;
}

/** Makes the pending action rows of an attempt, from one task on. */
export async function insertAttemptRows(
  { trx }: Change,
  { workflowId, attempt, firstTask, rendered }: NewAttempt,
): Promise<void> {
  for (const [task, { name: taskName, actions }] of rendered.tasks.entries()) {
    if (task < firstTask) continue;
    for (const [action, { name, image }] of actions.entries()) {
      await trx
        .insertInto('action_run')
        .values({
          workflow_id: workflowId,
          attempt,
          task,
          action,
          task_name: taskName,
          name,
          image,
          state: 'pending',
          log_lines: 0,
          log_bytes: 0,
        })
        .execute();
    }
  }
}
