import assert from 'node:assert/strict';
import { it } from 'node:test';
import { plannedWorkflow } from '#test/support/records.ts';
import { operator, startStoreWorld } from '#test/support/store-world.ts';
import { nextWorkflowName } from './workflow-names.ts';

it('names a workflow as no other was ever named, also one that was deleted', async () => {
  await using made = await startStoreWorld();
  const next = () => nextWorkflowName(made.store, 'm1', 'install');

  assert.equal(await next(), 'm1-install-1');
  await made.apply(plannedWorkflow('m1-install-1', ['m1']));
  assert.equal(await next(), 'm1-install-2');
  await made.transitions.deleteWorkflow('m1-install-1', operator);
  assert.equal(await next(), 'm1-install-2');
});
