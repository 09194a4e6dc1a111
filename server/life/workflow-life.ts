import { TinsmithError } from '#proto/errors.ts';
import { defineLife } from './define-life.ts';

/**
 * A workflow's states. `start`: an agent accepted its first task. `lose`: the agent went away and the run waits for the
 * machine's next boot. A run's final state is never rewritten: `retry` makes a new run (newRun), the old one stays in the history.
 */
export const workflowLife = defineLife('workflow', {
  pending: { start: 'running', fail: 'failed', timeOut: 'timedOut', cancel: 'cancelled' },
  running: {
    start: 'running',
    lose: 'waiting',
    succeed: 'succeeded',
    fail: 'failed',
    timeOut: 'timedOut',
    cancel: 'cancelled',
  },
  waiting: { start: 'running', fail: 'failed', timeOut: 'timedOut', cancel: 'cancelled' },
  succeeded: {},
  failed: {},
  timedOut: {},
  cancelled: {},
});

export type WorkflowState = (typeof workflowLife.states)[number];
export type WorkflowEvent = Parameters<typeof workflowLife.next>[1];

/** State of the new run of a workflow whose last run ended in `state`. Throws `conflict` unless that run ended without success. */
export function newRun(state: WorkflowState): WorkflowState {
  if (workflowLife.isFinal(state) && state !== 'succeeded') return 'pending';
  throw new TinsmithError(
    'conflict',
    `a workflow that is ${state} cannot be retried: only one that ended without success`,
  );
}
