import { timingSafeEqual } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import { TinsmithError } from '#proto/errors.ts';
import type { Inventory } from '#proto/inventory.ts';
import type { HardwareManifest } from '../manifests/hardware-kind.ts';
import { noteSequence, openSession } from './agent-sessions.ts';
import { claimNames, newHardware } from './apply-transitions.ts';
import type { Change, Changes } from './change.ts';
import { type HardwareRow, hardwareOfRow, hardwareRow, hardwareRowByMac, plainMac } from './hardware-rows.ts';
import { moveMachine, switchNetboot, updateHardware } from './stage-transitions.ts';
import type { Cause, Hardware } from './store.ts';
import type { DiscoveredMachine, EnrollAttempt, Transitions } from './transitions-contract.ts';

type Verbs =
  | 'setNetboot'
  | 'noteSeen'
  | 'discover'
  | 'startBoot'
  | 'enroll'
  | 'storeInventory'
  | 'agentConnected'
  | 'agentDisconnected';

/** DHCP clients ask in bursts: a sign of life this fresh is not written again. */
const SEEN_INTERVAL_MS = 10_000;

/** The life of a machine up to and after its workflow. */
export function machineTransitions(changes: Changes): Pick<Transitions, Verbs> {
  return {
    setNetboot: (hardware, netboot, cause) =>
      changes.run(cause, async (change) => switchNetboot(change, await hardwareRow(change.trx, hardware), netboot)),

    noteSeen: (hardware, cause) => noteSeen(changes, hardware, cause),

    discover: (machine, cause) => changes.run(cause, (change) => discover(change, machine)),

    startBoot: (boot, cause) => changes.run(cause, (change) => startBoot(change, boot)),

    enroll: (request, cause) => enroll(changes, request, cause),

    storeInventory: (hardware, inventory, cause, stored) =>
      changes.run(cause, async (change) => {
        if (stored !== undefined && !(await noteSequence(change, stored))) return;
        await keepInventory(change, await hardwareRow(change.trx, hardware), inventory);
      }),

    agentConnected: (agent, cause) =>
      changes.run(cause, async (change) => {
        await hardwareRow(change.trx, agent.hardware);
        if (!(await openSession(change, agent))) return;
        await updateHardware(change, agent.hardware, { last_seen_at: change.at.getTime() });
        const { session, bootId, agentVersion } = agent;
        await change.emit({
          name: 'agent.connected',
          hardware: agent.hardware,
          data: { session, bootId, agentVersion },
        });
      }),

    agentDisconnected: ({ session, hardware }, cause) =>
      changes.run(cause, async (change) => {
        const { numUpdatedRows } = await change.trx
          .updateTable('agent_session')
          .set({ disconnected_at: change.at.getTime() })
          .where('session', '=', session)
          .where('hardware', '=', hardware)
          .where('disconnected_at', 'is', null)
          .executeTakeFirstOrThrow();
        if (numUpdatedRows > 0n) await change.emit({ name: 'agent.disconnected', hardware, data: { session } });
      }),
  };
}

/** The first time is an event and has to last; later signs of life may be forgotten by a power cut. */
async function noteSeen(changes: Changes, hardware: string, cause: Cause): Promise<void> {
  const isFirst = await changes.runRelaxed(cause, async (change) => {
    const row = await hardwareRow(change.trx, hardware);
    if (row.last_seen_at === null) return true;
    if (change.at.getTime() - row.last_seen_at < SEEN_INTERVAL_MS) return false;
    await updateHardware(change, hardware, { last_seen_at: change.at.getTime() });
    return false;
  });
  if (!isFirst) return;
  await changes.run(cause, async (change) => {
    const row = await hardwareRow(change.trx, hardware);
    if (row.last_seen_at !== null) return; // another packet was faster
    await updateHardware(change, hardware, { last_seen_at: change.at.getTime() });
    await change.emit({ name: 'machine.discovered', hardware, data: {} });
  });
}

const DISCOVERED_LABEL = 'tinsmith.dev/discovered';

async function discover(change: Change, machine: DiscoveredMachine): Promise<Hardware> {
  const mac = plainMac(machine.mac);
  const known = await hardwareRowByMac(change.trx, mac);
  if (known !== undefined) return hardwareOfRow(change.trx, known);
  const name = `machine-${mac.replaceAll(':', '')}`;
  await refuseToDiscover(change, name);
  const manifest = discoveredManifest(name, mac, machine);
  await change.trx
    .insertInto('hardware')
    .values({
      ...newHardware(change, manifest.name, {
        labels_json: JSON.stringify(manifest.labels),
        annotations_json: '{}',
        spec_json: JSON.stringify(manifest.spec),
        user_data_sealed: null,
      }),
      last_seen_at: change.at.getTime(),
    })
    .execute();
  await claimNames(change, manifest);
  await change.emit({ name: 'hardware.applied', hardware: manifest.name, data: { outcome: 'created' } });
  await change.emit({ name: 'machine.discovered', hardware: manifest.name, data: { mac } });
  return hardwareOfRow(change.trx, await hardwareRow(change.trx, manifest.name));
}

/** Found machines whose agent never came: whoever makes up MACs makes nothing else. */
const MAX_SILENT_FINDS = 500;

/** Throws `conflict` if a Hardware of other MACs has the name, `unavailable` while too many finds wait for their agent. */
async function refuseToDiscover({ trx }: Change, name: string): Promise<void> {
  const namesake = await trx.selectFrom('hardware').select('name').where('name', '=', name).executeTakeFirst();
  if (namesake !== undefined) {
    throw new TinsmithError(
      'conflict',
      `cannot take in a machine as ${name}: a Hardware of that name has other MACs; give it this one, or delete it`,
    );
  }
  const { silent } = await trx
    .selectFrom('hardware')
    .select((of) => of.fn.countAll<number>().as('silent'))
    .where('inventory_json', 'is', null)
    .where('labels_json', 'like', `%"${DISCOVERED_LABEL}"%`)
    .executeTakeFirstOrThrow();
  if (silent < MAX_SILENT_FINDS) return;
  throw new TinsmithError(
    'unavailable',
    `cannot take in ${name}: ${silent} machines were found whose agent never came; delete those that are not yours`,
  );
}

function discoveredManifest(name: string, mac: string, { address, arch, uefi }: DiscoveredMachine): HardwareManifest {
  return {
    name,
    labels: { [DISCOVERED_LABEL]: 'true' },
    annotations: {},
    spec: {
      interfaces: [
        {
          netboot: { allowPXE: true, allowWorkflow: true },
          dhcp: {
            mac,
            hostname: name,
            ...(address === undefined ? {} : { ip: { ...address } }),
            ...(arch === undefined ? {} : { arch }),
            ...(uefi === undefined ? {} : { uefi }),
          },
        },
      ],
      disks: [],
    },
  };
}

/** A used token stays for as long as an agent may ask again for a lost reply. */
const KEEP_USED_TOKEN_MS = 3_600_000;

/** The same token a second time changes nothing: a boot script that is sent again has a token of its own. */
async function startBoot(change: Change, { hardware, token }: Parameters<Transitions['startBoot']>[0]): Promise<void> {
  const { trx } = change;
  const row = await hardwareRow(trx, hardware);
  const known = await trx.selectFrom('boot_token').select('hash').where('hash', '=', token.hash).executeTakeFirst();
  if (known !== undefined) return;
  await trx.deleteFrom('boot_token').where('hardware', '=', hardware).where('used_at', 'is', null).execute();
  await trx
    .deleteFrom('boot_token')
    .where('expires_at', '<', change.at.getTime() - KEEP_USED_TOKEN_MS)
    .execute();
  await trx
    .insertInto('boot_token')
    .values({ hash: token.hash, hardware, mac: plainMac(token.mac), expires_at: token.expiresAt.getTime() })
    .execute();
  const at = change.at.getTime();
  // Anybody can ask for a script again and again: that must not fill the event log.
  if (row.stage === 'booting' && Math.abs(at - row.stage_at) < SEEN_INTERVAL_MS) return;
  await moveMachine(change, row, 'boot', { set: { last_seen_at: at } });
}

async function enroll(changes: Changes, request: EnrollAttempt, cause: Cause): Promise<Hardware> {
  const outcome = await changes.run(cause, (change) => tryEnroll(change, request));
  if (typeof outcome !== 'string') return outcome;
  // Thrown after the commit: the refusal must not undo its own event. The answer does not say which check failed.
  throw new TinsmithError(
    'unauthenticated',
    'cannot enroll: the boot token is not valid for this machine; boot it again',
    {
      cause: outcome,
    },
  );
}

/** The enrolled machine, or why it is refused. */
async function tryEnroll(change: Change, request: EnrollAttempt): Promise<Hardware | string> {
  const { trx, at } = change;
  const mac = plainMac(request.mac);
  const token = await trx.selectFrom('boot_token').selectAll().where('hash', '=', request.tokenHash).executeTakeFirst();
  const machine =
    token === undefined
      ? await hardwareRowByMac(trx, mac)
      : await trx.selectFrom('hardware').selectAll().where('name', '=', token.hardware).executeTakeFirst();
  if (token === undefined || machine === undefined) return refuse(change, machine, 'unknown token', mac);
  if (!isSame(token.mac, mac)) return refuse(change, machine, 'token of another machine', mac);
  if (machine.stage === 'retired') return refuse(change, machine, 'machine is retired', mac);
  if (token.used_at !== null) {
    const isRepeated = isSame(token.nonce ?? '', request.nonce) && isSame(token.key_hash ?? '', request.keyHash);
    // A lost reply is asked for again: the same agent process gets the same answer, and nothing changes.
    return isRepeated ? hardwareOfRow(trx, machine) : refuse(change, machine, 'token was used before', mac);
  }
  if (token.expires_at <= at.getTime()) return refuse(change, machine, 'token has expired', mac);
  await trx
    .updateTable('boot_token')
    .set({ used_at: at.getTime(), nonce: request.nonce, key_hash: request.keyHash })
    .where('hash', '=', token.hash)
    .execute();
  const { bootId, agentVersion } = request;
  await moveMachine(change, machine, 'enroll', {
    set: { last_seen_at: at.getTime() },
    data: { mac, bootId, agentVersion },
  });
  await keepInventory(change, machine, request.inventory);
  return hardwareOfRow(trx, await hardwareRow(trx, machine.name));
}

/** Refusals of one machine (or of all unknown ones) that are written in one minute: an attacker must not fill the disk. */
const REFUSALS_PER_MINUTE = 20;

async function refuse(change: Change, machine: HardwareRow | undefined, reason: string, mac: string): Promise<string> {
  const recent = change.trx
    .selectFrom('event')
    .select('id')
    .where('name', '=', 'enroll.refused')
    .where('at', '>', change.at.getTime() - 60_000)
    .where('hardware', 'is', machine?.name ?? null)
    .limit(REFUSALS_PER_MINUTE);
  if ((await recent.execute()).length < REFUSALS_PER_MINUTE) {
    await change.emit({
      name: 'enroll.refused',
      ...(machine === undefined ? {} : { hardware: machine.name }),
      data: { reason, mac: mac.slice(0, 64) },
    });
  }
  return reason;
}

/** In constant time. Both sides are hashes, MACs or nonces: their length is no secret. */
function isSame(left: string, right: string): boolean {
  const [a, b] = [Buffer.from(left), Buffer.from(right)];
  return a.length === b.length && timingSafeEqual(a, b);
}

/** The same inventory again, whenever it was collected, is no event. */
async function keepInventory(change: Change, row: HardwareRow, inventory: Inventory): Promise<void> {
  const json = JSON.stringify(inventory);
  if (row.inventory_json !== null && isDeepStrictEqual(undated(row.inventory_json), undated(json))) return;
  await updateHardware(change, row.name, { inventory_json: json, ...disksFound(row, inventory) });
  await change.emit({
    name: 'hardware.inventory',
    hardware: row.name,
    data: {
      cpuThreads: inventory.cpu.threads,
      memoryBytes: inventory.memoryBytes,
      disks: inventory.disks.length,
      interfaces: inventory.interfaces.length,
    },
  });
}

/** A machine that was found has no file that names its disks: templates get those that it reports. A file's list stays. */
function disksFound(row: HardwareRow, inventory: Inventory): { readonly spec_json?: string } {
  const spec: HardwareManifest['spec'] = JSON.parse(row.spec_json);
  const labels: HardwareManifest['labels'] = JSON.parse(row.labels_json);
  if (labels[DISCOVERED_LABEL] !== 'true' || spec.disks.length > 0) return {};
  return { spec_json: JSON.stringify({ ...spec, disks: inventory.disks.map(({ device }) => ({ device })) }) };
}

function undated(inventoryJson: string): unknown {
  return { ...JSON.parse(inventoryJson), collectedAt: '' };
}
