import type { Change, Changes } from './change.ts';
import { type HardwareRow, hardwareRow } from './hardware-rows.ts';
import type { ReadyBy } from './schema.ts';
import { hasWork, updateHardware } from './stage-transitions.ts';
import type { Transitions } from './transitions-contract.ts';

type Verbs =
  | 'noteReady'
  | 'noteBootstrapFailed'
  | 'noteUserDataFetched'
  | 'noteUserDataWithheld'
  | 'noteMetadataRefused';

/** An impostor that goes on asking makes one event in this time. */
const REFUSAL_INTERVAL_MS = 60_000;

/** What an installed system says of itself. Nothing counts before the machine is installed: until then its agent asks. */
export function installedTransitions(changes: Changes): Pick<Transitions, Verbs> {
  return {
    noteReady: (hardware, how, cause) =>
      changes.run(cause, async (change) => {
        const row = await hardwareRow(change.trx, hardware);
        if (row.stage !== 'installed') return;
        if (how === 'phoneHome') await notePhoneCall(change, row);
        if (row.ready_by === how || how === 'phoneHome') await makeReady(change, row, how);
      }),

    noteBootstrapFailed: (hardware, detail, cause) =>
      changes.run(cause, async (change) => {
        const row = await hardwareRow(change.trx, hardware);
        if (row.stage !== 'installed' || row.bootstrap_failure === detail) return;
        // It is to be installed anew already: the system that still runs on it is of an older attempt.
        if (await hasWork(change, hardware)) return;
        await updateHardware(change, hardware, { bootstrap_failure: detail });
        await change.emit({ name: 'machine.bootstrapFailed', hardware, data: { reason: detail } });
      }),

    noteUserDataFetched: (hardware, cause) =>
      changes.run(cause, async (change) => {
        const row = await hardwareRow(change.trx, hardware);
        if (row.stage !== 'installed' || row.user_data_fetched_at !== null) return;
        await updateHardware(change, hardware, { user_data_fetched_at: change.at.getTime() });
        await change.emit({ name: 'userData.fetched', hardware, data: {} });
      }),

    noteUserDataWithheld: (hardware, cause) =>
      changes.run(cause, async (change) => {
        const row = await hardwareRow(change.trx, hardware);
        if (row.stage !== 'installed' || row.user_data_withheld_at !== null) return;
        await updateHardware(change, hardware, { user_data_withheld_at: change.at.getTime() });
        await change.emit({ name: 'userData.withheld', hardware, data: {} });
      }),

    noteMetadataRefused: (hardware, mac, cause) =>
      changes.run(cause, async (change) => {
        await hardwareRow(change.trx, hardware);
        const recent = await change.trx
          .selectFrom('event')
          .select('id')
          .where('hardware', '=', hardware)
          .where('name', '=', 'metadata.refused')
          .where('at', '>', change.at.getTime() - REFUSAL_INTERVAL_MS)
          .limit(1)
          .executeTakeFirst();
        if (recent === undefined) await change.emit({ name: 'metadata.refused', hardware, data: { mac } });
      }),
  };
}

/** Once for each installation. */
export async function makeReady(change: Change, { name, ready_at: readyAt }: HardwareRow, by: ReadyBy): Promise<void> {
  if (readyAt !== null) return;
  await updateHardware(change, name, { ready_at: change.at.getTime() });
  await change.emit({ name: 'machine.ready', hardware: name, data: { by } });
}

/** A system that calls home after all has got over what it complained of. */
async function notePhoneCall(change: Change, row: HardwareRow): Promise<void> {
  if (row.phoned_home_at === null) {
    await updateHardware(change, row.name, { phoned_home_at: change.at.getTime() });
    await change.emit({ name: 'machine.phonedHome', hardware: row.name, data: {} });
  }
  if (row.bootstrap_failure !== null) await updateHardware(change, row.name, { bootstrap_failure: null });
}
