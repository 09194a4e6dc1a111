import { defineLife } from './define-life.ts';

/**
 * A machine's stages. `boot`: its boot script was fetched. `enroll`: an agent proved which machine it is.
 * An agent that enrols again after a reboot in the middle of a run goes provisioning → booting → enrolled → provisioning:
 * the run itself lives on in the workflow (attempts), the stage only says where the machine is.
 *
 *   discovered → booting → enrolled → provisioning → installed
 *                   ^__________|____________|____________|          failed and retired beside them
 *
 * Reports of an enrolled agent count more than a fetched boot script, which anybody near the machine can fetch: a run
 * starts, succeeds and fails from `booting` and `enrolled`, too. `wiped`: a workflow left its disks empty: it is as it was found.
 */
export const machineLife = defineLife('machine', {
  discovered: { boot: 'booting', enroll: 'enrolled', startRun: 'provisioning', retire: 'retired' },
  booting: {
    boot: 'booting',
    enroll: 'enrolled',
    startRun: 'provisioning',
    runSucceeded: 'installed',
    wiped: 'discovered',
    runFailed: 'failed',
    retire: 'retired',
  },
  enrolled: {
    boot: 'booting',
    enroll: 'enrolled',
    startRun: 'provisioning',
    runSucceeded: 'installed',
    wiped: 'discovered',
    runFailed: 'failed',
    retire: 'retired',
  },
  provisioning: {
    boot: 'booting',
    enroll: 'enrolled',
    startRun: 'provisioning',
    runSucceeded: 'installed',
    wiped: 'discovered',
    runFailed: 'failed',
    retire: 'retired',
  },
  installed: { boot: 'booting', enroll: 'enrolled', startRun: 'provisioning', retire: 'retired' },
  failed: { boot: 'booting', enroll: 'enrolled', startRun: 'provisioning', retire: 'retired' },
  retired: { restore: 'discovered' },
});

export type MachineStage = (typeof machineLife.states)[number];
export type MachineEvent = Parameters<typeof machineLife.next>[1];
