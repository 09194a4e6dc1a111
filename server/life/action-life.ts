import { actionNameOf } from '#proto/actions/catalog.ts';
import { TinsmithError } from '#proto/errors.ts';
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

/** Whether the machine goes down once this action has succeeded: what comes next needs its next boot. */
export function takesMachineDown(image: string): boolean {
  try {
    const name = actionNameOf(image);
    return name === 'reboot' || name === 'kexec';
  } catch (thrown) {
    if (thrown instanceof TinsmithError) return false; // no built-in: it cannot take the machine down in an orderly way
    throw thrown;
  }
}
