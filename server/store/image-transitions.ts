import type { Changes } from './change.ts';
import type { Transitions } from './transitions-contract.ts';

/** What happened in the image library, whose state is its folder: kept as events only. */
export function imageTransitions(changes: Changes): Pick<Transitions, 'noteImage'> {
  return {
    noteImage: (name, data, cause) => changes.run(cause, (change) => change.emit({ name, data })),
  };
}
