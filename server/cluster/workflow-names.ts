import type { WorkflowPurpose } from '../life/workflow-purpose.ts';
import type { Store } from '../store/store.ts';

/** `node-1-install-2`: the first of these that no workflow has or had. */
export async function nextWorkflowName(
  store: Pick<Store, 'isWorkflowNameUsed'>,
  hardware: string,
  purpose: WorkflowPurpose,
): Promise<string> {
  for (let number = 1; ; number += 1) {
    const name = `${hardware}-${purpose}-${number}`;
    if (!(await store.isWorkflowNameUsed(name))) return name;
  }
}
