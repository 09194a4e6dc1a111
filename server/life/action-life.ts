import { defineLife } from './define-life.ts';

/** One action in one attempt. `lost`: its agent went away while it ran. Each attempt has its own rows; none is reused. */
export const actionLife = defineLife('action', {
  pending: {
    start: 'running',
    succeed: 'succeeded',
    fail: 'failed',
    timeOut: 'timedOut',
    cancel: 'cancelled',
    skip: 'skipped',
  },
  running: { succeed: 'succeeded', fail: 'failed', timeOut: 'timedOut', cancel: 'cancelled', lose: 'lost' },
  succeeded: {},
  failed: {},
  timedOut: {},
  cancelled: {},
  lost: {},
  skipped: {},
});

export type ActionState = (typeof actionLife.states)[number];
export type ActionEvent = Parameters<typeof actionLife.next>[1];
