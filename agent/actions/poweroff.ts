import type { PoweroffParams } from '#proto/actions/poweroff.ts';
import type { ActionContext } from './action-context.ts';

/** Writes everything back and asks for the machine to be switched off. Harmless twice: nothing is mounted the second time. */
export async function poweroff(_params: PoweroffParams, { machine, log, requestPower }: ActionContext): Promise<void> {
  await machine.releaseMounts();
  requestPower('poweroff');
  log('agent', 'the machine is switched off once everything is reported');
}
