import type { Changes } from './change.ts';
import type { Transitions } from './transitions-contract.ts';

type Verbs = 'noteImage' | 'noteWorkflowImage' | 'showImageProgress';

/** What happened in the image library, whose state is its folder: kept as events only. */
export function imageTransitions(changes: Changes): Pick<Transitions, Verbs> {
  return {
    noteImage: (name, data, cause) => changes.run(cause, (change) => change.emit({ name, data })),
    noteWorkflowImage: (name, draft, cause) => changes.run(cause, (change) => change.emit({ name, ...draft })),
    showImageProgress: (draft, cause) =>
      changes.runRelaxed(cause, async (change) => change.show({ name: 'workflow.imageProgress', ...draft })),
  };
}
