import type { RebootParams } from '#proto/actions/reboot.ts';
import type { ActionContext } from './action-context.ts';

/** Writes everything back and asks for a restart. Harmless twice: nothing is mounted the second time. */
export async function reboot(_params: RebootParams, { machine, log, requestPower }: ActionContext): Promise<void> {
  await machine.releaseMounts();
  requestPower('reboot');
  log('agent', 'the machine restarts once everything is reported');
}
