import type { TaskRef } from '../provision/engine.ts';
import type { Change, Changes } from './change.ts';
import type { Transitions } from './transitions-contract.ts';
import { findWorkflowRow } from './workflow-rows.ts';

type Verbs = 'noteImage' | 'noteWorkflowImage' | 'noteGivenImages' | 'showImageProgress';

/** What happened in the image library, whose state is its folder: kept as events only, but for who was given what of it. */
export function imageTransitions(changes: Changes): Pick<Transitions, Verbs> {
  return {
    noteImage: (name, data, cause) => changes.run(cause, (change) => change.emit({ name, data })),
    noteWorkflowImage: (name, draft, cause) => changes.run(cause, (change) => change.emit({ name, ...draft })),
    noteGivenImages: (ref, digests, cause) => changes.run(cause, (change) => noteGiven(change, ref, digests)),
    showImageProgress: (draft, cause) =>
      changes.runRelaxed(cause, async (change) => change.show({ name: 'workflow.imageProgress', ...draft })),
  };
}

async function noteGiven(
  { trx }: Change,
  { workflow, attempt, task }: TaskRef,
  digests: readonly string[],
): Promise<void> {
  const row = await findWorkflowRow(trx, workflow);
  if (row?.attempt !== attempt || digests.length === 0) return;
  await trx.deleteFrom('given_image').where('workflow_id', '=', row.id).where('attempt', '<', attempt).execute();
  const given = [...new Set(digests)].map((digest) => ({ workflow_id: row.id, attempt, task, digest }));
  // The command may be sent again before it is accepted.
  await trx
    .insertInto('given_image')
    .values(given)
    .onConflict((conflict) => conflict.doNothing())
    .execute();
}
