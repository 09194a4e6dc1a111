import type { Kysely, Selectable, Transaction } from 'kysely';
import { TinsmithError } from '#proto/errors.ts';
import type { HardwareManifest, HardwareSpec } from '../manifests/hardware-kind.ts';
import type { HardwareTable, Tables, TemplateTable } from './schema.ts';
import type { Hardware, Template } from './store.ts';

export type HardwareRow = Selectable<HardwareTable>;
export type Reader = Kysely<Tables> | Transaction<Tables>;

type Claim = NonNullable<Hardware['claim']>;

/** A row as the record that everybody reads: without the user data itself. */
export async function hardwareOfRow(db: Reader, row: HardwareRow): Promise<Hardware> {
  const claim = await db
    .selectFrom('node')
    .select(['cluster', 'node_group as group'])
    .where('hardware', '=', row.name)
    .executeTakeFirst();
  return hardwareRecord(row, claim);
}

export async function hardwareOfRows(db: Reader, rows: readonly HardwareRow[]): Promise<readonly Hardware[]> {
  const claims = await db.selectFrom('node').select(['hardware', 'cluster', 'node_group as group']).execute();
  const byHardware = new Map(claims.map(({ hardware, ...claim }) => [hardware, claim]));
  return rows.map((row) => hardwareRecord(row, byHardware.get(row.name)));
}

function hardwareRecord(row: HardwareRow, claim: Claim | undefined): Hardware {
  return {
    name: row.name,
    labels: JSON.parse(row.labels_json),
    annotations: JSON.parse(row.annotations_json),
    spec: JSON.parse(row.spec_json),
    version: row.version,
    createdAt: new Date(row.created_at),
    stage: row.stage,
    stageAt: new Date(row.stage_at),
    netboot: row.netboot === 1,
    hasUserData: row.user_data_sealed !== null,
    ...(row.ready_at === null ? {} : { readyAt: new Date(row.ready_at) }),
    ...(row.ready_by === 'metadata' ? {} : { readyBy: row.ready_by }),
    ...installedSystem(row),
    ...(row.last_seen_at === null ? {} : { lastSeenAt: new Date(row.last_seen_at) }),
    ...(row.inventory_json === null ? {} : { inventory: JSON.parse(row.inventory_json) }),
    ...(row.failure === null ? {} : { failure: row.failure }),
    ...(claim === undefined ? {} : { claim: { ...claim } }),
  };
}

function installedSystem(row: HardwareRow): Partial<Hardware> {
  return {
    ...(row.user_data_policy === 'keep' ? {} : { userDataPolicy: row.user_data_policy }),
    ...(row.user_data_fetched_at === null ? {} : { userDataFetchedAt: new Date(row.user_data_fetched_at) }),
    ...(row.user_data_withheld_at === null ? {} : { userDataWithheldAt: new Date(row.user_data_withheld_at) }),
    ...(row.phoned_home_at === null ? {} : { phonedHomeAt: new Date(row.phoned_home_at) }),
    ...(row.bootstrap_failure === null ? {} : { bootstrapFailure: row.bootstrap_failure }),
  };
}

export function templateOfRow(row: Selectable<TemplateTable>): Template {
  return {
    name: row.name,
    labels: JSON.parse(row.labels_json),
    annotations: JSON.parse(row.annotations_json),
    data: row.data,
    source: row.source,
    version: row.version,
    createdAt: new Date(row.created_at),
  };
}

/** Throws `not_found`. */
export async function hardwareRow(db: Reader, name: string): Promise<HardwareRow> {
  const row = await db.selectFrom('hardware').selectAll().where('name', '=', name).executeTakeFirst();
  if (row === undefined) throw new TinsmithError('not_found', `there is no Hardware named ${name}`);
  return row;
}

export async function hardwareRowByMac(db: Reader, mac: string): Promise<HardwareRow | undefined> {
  return db
    .selectFrom('hardware_mac')
    .innerJoin('hardware', 'hardware.name', 'hardware_mac.hardware')
    .selectAll('hardware')
    .where('hardware_mac.mac', '=', plainMac(mac))
    .executeTakeFirst();
}

export async function hardwareRowByAddress(db: Reader, address: string): Promise<HardwareRow | undefined> {
  return db
    .selectFrom('hardware_address')
    .innerJoin('hardware', 'hardware.name', 'hardware_address.hardware')
    .selectAll('hardware')
    .where('hardware_address.address', '=', plainAddress(address))
    .executeTakeFirst();
}

/** Purpose of a machine's user data in the secret box. */
export function userDataPurpose(hardware: string): string {
  return `user data of Hardware ${hardware}`;
}

/** The MACs of a manifest, each once. */
export function macsOf(manifest: HardwareManifest): readonly string[] {
  return [...new Set(manifest.spec.interfaces.flatMap(({ dhcp }) => (dhcp === undefined ? [] : [plainMac(dhcp.mac)])))];
}

/** The reserved addresses of a manifest, each once. */
export function addressesOf(manifest: HardwareManifest): readonly string[] {
  return [
    ...new Set(
      manifest.spec.interfaces.flatMap(({ dhcp }) => (dhcp?.ip === undefined ? [] : [plainAddress(dhcp.ip.address)])),
    ),
  ];
}

/** The spec as it is stored: its user data is kept apart, sealed. */
export function specWithoutUserData(spec: HardwareSpec): Omit<HardwareSpec, 'userData'> {
  const { userData: _, ...rest } = spec;
  return rest;
}

/** `AA-BB-CC-DD-EE-FF`, `aabb.ccdd.eeff` and the like → `aa:bb:cc:dd:ee:ff`. */
export function plainMac(mac: string): string {
  const digits = mac.toLowerCase().replaceAll(/[^0-9a-f]/g, '');
  return digits.length === 12 ? (digits.match(/../g) ?? []).join(':') : mac.toLowerCase();
}

/** An IPv4 address that a dual-stack socket shows as `::ffff:10.0.0.1` is that address. */
function plainAddress(address: string): string {
  return address.toLowerCase().replace(/^::ffff:(?=\d+\.)/, '');
}
