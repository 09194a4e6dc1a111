import { type ActionName, actionNameOf, catalog } from '#proto/actions/catalog.ts';
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
  const name = builtInOf(image);
  return name === 'reboot' || name === 'kexec' || name === 'poweroff';
}

/** Whether the action may run again from its start after a crash at any point. An image that no built-in serves may not. */
export function isRepeatable(image: string): boolean {
  const name = builtInOf(image);
  return name !== undefined && catalog[name].repeatable;
}

function builtInOf(image: string): ActionName | undefined {
  try {
    return actionNameOf(image);
  } catch (thrown) {
    if (thrown instanceof TinsmithError && thrown.code === 'unknown_action') return undefined;
    throw thrown;
  }
}
