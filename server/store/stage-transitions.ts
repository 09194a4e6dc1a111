import type { Updateable } from 'kysely';
import type { EventName } from '../life/events.ts';
import { type MachineEvent, type MachineStage, machineLife } from '../life/machine-life.ts';
import type { JsonObject } from '../manifests/hardware-kind.ts';
import type { Change } from './change.ts';
import type { HardwareRow } from './hardware-rows.ts';
import type { HardwareTable } from './schema.ts';
import { unfinishedOf } from './workflow-rows.ts';

const STAGE_EVENTS: Readonly<Record<MachineStage, EventName>> = {
  discovered: 'machine.discovered',
  booting: 'machine.booting',
  enrolled: 'machine.enrolled',
  provisioning: 'machine.provisioning',
  installed: 'machine.installed',
  failed: 'machine.failed',
  retired: 'machine.retired',
};

/** Nothing is known of an installed system: a new one is about to be written, or the disk holds none. */
export const NO_SYSTEM = {
  ready_at: null,
  user_data_fetched_at: null,
  user_data_withheld_at: null,
  phoned_home_at: null,
  bootstrap_failure: null,
} as const satisfies Updateable<HardwareTable>;

interface MoveOptions {
  readonly set?: Updateable<HardwareTable>;
  readonly workflow?: string;
  readonly data?: JsonObject;
  /** Default: the event of the stage. */
  readonly event?: EventName;
}

/** Takes a machine one step through its life and writes the event. Throws `illegal_transition`. */
export async function moveMachine(
  change: Change,
  row: HardwareRow,
  step: MachineEvent,
  { set = {}, workflow, data = {}, event }: MoveOptions = {},
): Promise<void> {
  const stage = machineLife.next(row.stage, step);
  await updateHardware(change, row.name, { failure: null, ...set, stage, stage_at: change.at.getTime() });
  await change.emit({
    name: event ?? STAGE_EVENTS[stage],
    hardware: row.name,
    ...(workflow === undefined ? {} : { workflow }),
    data,
  });
}

/** Writes fields of a machine as its next version. */
export async function updateHardware(change: Change, name: string, set: Updateable<HardwareTable>): Promise<void> {
  await change.trx
    .updateTable('hardware')
    .set((of) => ({ ...set, version: of('version', '+', 1) }))
    .where('name', '=', name)
    .execute();
}

/** Nothing if it is so already. */
export async function switchNetboot(change: Change, row: HardwareRow, netboot: boolean): Promise<void> {
  if ((row.netboot === 1) === netboot) return;
  await updateHardware(change, row.name, { netboot: netboot ? 1 : 0 });
  await change.emit({ name: 'hardware.netboot', hardware: row.name, data: { netboot } });
}

/**
 * A workflow that had not begun on this machine is gone: the machine boots its disk again if that holds a system and
 * nothing else waits for it. Without this an installed machine would end in the boot environment at its next restart.
 */
export async function releaseNetboot(change: Change, row: HardwareRow): Promise<void> {
  if (row.installed_at === null || (await hasWork(change, row.name))) return;
  await switchNetboot(change, row, false);
}

/** Whether an unfinished workflow (another than `except`, by id), not disabled, needs the machine. */
export async function hasWork(change: Change, hardware: string, except?: number): Promise<boolean> {
  return (await unfinishedOf(change.trx, hardware)).some(({ id, disabled }) => id !== except && disabled === 0);
}
