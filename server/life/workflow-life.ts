import { defineLife } from './define-life.ts';

/**
 * A workflow's states. `start`: an agent accepted its first task. `lose`: the agent went away and the run waits for the
 * machine's next boot. Final states are never rewritten; `retry` of a failed workflow makes a new run of it (history kept).
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
