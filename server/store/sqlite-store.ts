import { dirname, join } from 'node:path';
import { Kysely } from 'kysely';
import type { Logger } from 'pino';
import { TinsmithError } from '#proto/errors.ts';
import { changes } from './change.ts';
import { clusterReading } from './cluster-rows.ts';
import { type EventLog, eventLog } from './event-log.ts';
import {
  hardwareOfRow,
  hardwareOfRows,
  hardwareRow,
  hardwareRowByAddress,
  hardwareRowByMac,
  templateOfRow,
  userDataPurpose,
} from './hardware-rows.ts';
import { migrate } from './migrations.ts';
import type { Tables } from './schema.ts';
import { readOrMakeKey, type SecretBox, secretBox, temporaryKey } from './secret-box.ts';
import { openSqliteDatabase } from './sqlite-dialect.ts';
import type { Store } from './store.ts';
import { transitions } from './transitions.ts';
import type { Transitions } from './transitions-contract.ts';
import { actionRunOfRow, findWorkflowRow, givenImages, workflowRow, workflowsOfRows } from './workflow-rows.ts';

export interface SqliteStoreOptions {
  /** File of the database (made if missing, mode 0600, in a folder that exists), or `:memory:`. */
  readonly path: string;
  /** File of the key that seals secrets; default `secret.key` beside the database. */
  readonly keyPath?: string;
  readonly clock: () => Date;
  /** Gets every stored event by its name. */
  readonly log?: Logger;
}

export interface SqliteStore extends AsyncDisposable {
  readonly store: Store;
  readonly transitions: Transitions;
}

/**
 * Opens the embedded database. Throws `conflict` while another process has it open, `unsupported` if a newer version wrote
 * it, `invalid_input` if the key file does not belong to it or is readable by others.
 */
export async function openSqliteStore({ path, keyPath, clock, log }: SqliteStoreOptions): Promise<SqliteStore> {
  const database = openSqliteDatabase(path);
  const db = new Kysely<Tables>({ dialect: database.dialect });
  try {
    migrate(database, path);
    const key = path === ':memory:' ? temporaryKey() : readOrMakeKey(keyPath ?? join(dirname(path), 'secret.key'));
    const box = secretBox(key);
    await checkKey(db, box, path);
    const newest = await db
      .selectFrom('event')
      .select((of) => of.fn.max('id').as('id'))
      .executeTakeFirst();
    const events = eventLog(db, newest?.id ?? 0);
    const store = sqliteStore(db, box, events);
    return {
      store,
      transitions: transitions(changes({ db, box, events, clock, log })),
      [Symbol.asyncDispose]: () => store.close(),
    };
  } catch (thrown) {
    // kysely closes the database only if it was used.
    await db
      .selectFrom('setting')
      .select('key')
      .limit(0)
      .execute()
      .catch(() => undefined); // the first failure counts
    await db.destroy();
    throw thrown;
  }
}

const KEY_CHECK = 'store.key-check';

/** A restored database with another key file must not start: it would find out secret by secret. */
async function checkKey(db: Kysely<Tables>, box: SecretBox, path: string): Promise<void> {
  const row = await db.selectFrom('setting').select('value').where('key', '=', KEY_CHECK).executeTakeFirst();
  if (row === undefined) {
    await db
      .insertInto('setting')
      .values({ key: KEY_CHECK, value: box.seal(KEY_CHECK, 'tinsmith'), secret: 1 })
      .execute();
    return;
  }
  try {
    box.open(KEY_CHECK, row.value);
  } catch (cause) {
    throw new TinsmithError(
      'invalid_input',
      `the key file does not belong to the database ${path}: restore the secret.key that was saved with it`,
      { cause },
    );
  }
}

function sqliteStore(db: Kysely<Tables>, box: SecretBox, events: EventLog): Store {
  return {
    ...hardwareReading(db, box),
    ...workflowReading(db, box),
    ...clusterReading(db, box),
    ...settings(db, box),

    events: (filter = {}) => events.list(filter),
    followEvents: (filter, signal) => events.follow(filter, signal),
    close: () => db.destroy(),
  };
}

function hardwareReading(db: Kysely<Tables>, box: SecretBox) {
  return {
    async hardware(name) {
      const row = await db.selectFrom('hardware').selectAll().where('name', '=', name).executeTakeFirst();
      return row === undefined ? undefined : hardwareOfRow(db, row);
    },
    async hardwareByMac(mac) {
      const row = await hardwareRowByMac(db, mac);
      return row === undefined ? undefined : hardwareOfRow(db, row);
    },
    async hardwareByAddress(address) {
      const row = await hardwareRowByAddress(db, address);
      return row === undefined ? undefined : hardwareOfRow(db, row);
    },
    async listHardware({ labels = {} } = {}) {
      const rows = await db.selectFrom('hardware').selectAll().orderBy('name').execute();
      const wanted = Object.entries(labels);
      const records = await hardwareOfRows(db, rows);
      return records.filter(({ labels: have }) => wanted.every(([key, value]) => have[key] === value));
    },
    async userData(hardware) {
      const { user_data_sealed: sealed } = await hardwareRow(db, hardware);
      return sealed === null ? undefined : box.open(userDataPurpose(hardware), sealed);
    },
    async template(name) {
      const row = await db.selectFrom('template').selectAll().where('name', '=', name).executeTakeFirst();
      return row === undefined ? undefined : templateOfRow(row);
    },
    async listTemplates() {
      return (await db.selectFrom('template').selectAll().orderBy('name').execute()).map(templateOfRow);
    },
  } satisfies Partial<Store>;
}

function workflowReading(db: Kysely<Tables>, box: SecretBox) {
  return {
    async isWorkflowNameUsed(name) {
      const fence = db.selectFrom('attempt_fence').select('attempt').where('workflow', '=', name);
      return (await fence.executeTakeFirst()) !== undefined;
    },

    async workflow(name) {
      const row = await findWorkflowRow(db, name);
      return row === undefined ? undefined : (await workflowsOfRows(db, box, [row]))[0];
    },
    async listWorkflows({ hardware, states } = {}) {
      let query = db.selectFrom('workflow').selectAll().orderBy('id');
      if (states !== undefined) query = query.where('state', 'in', states);
      if (hardware !== undefined) {
        query = query.where('id', 'in', (of) =>
          of.selectFrom('workflow_hardware').select('workflow_id').where('hardware', '=', hardware),
        );
      }
      return workflowsOfRows(db, box, await query.execute());
    },
    givenImages: () => givenImages(db),
    async actionHistory(workflow) {
      const { id } = await workflowRow(db, workflow);
      const query = db.selectFrom('action_run').selectAll().where('workflow_id', '=', id);
      return (await query.orderBy('attempt').orderBy('task').orderBy('action').execute()).map(actionRunOfRow);
    },
    async logLines(workflow, { after, attempt, limit } = {}) {
      const { id } = await workflowRow(db, workflow);
      let query = db.selectFrom('log_line').selectAll().where('workflow_id', '=', id).orderBy('id');
      if (after !== undefined) query = query.where('id', '>', after);
      if (attempt !== undefined) query = query.where('attempt', '=', attempt);
      if (limit !== undefined) query = query.limit(limit);
      const rows = await query.execute();
      return rows.map(({ workflow_id: _id, at, ...line }) => ({ ...line, workflow, at: new Date(at) }));
    },
    async connectedAgents() {
      const query = db.selectFrom('agent_session').select('hardware').distinct();
      const rows = await query.where('disconnected_at', 'is', null).where('leaving', '=', 0).execute();
      return rows.map(({ hardware }) => hardware);
    },
    async agentSession(session) {
      const row = await db.selectFrom('agent_session').selectAll().where('session', '=', session).executeTakeFirst();
      if (row === undefined) return undefined;
      return {
        session,
        hardware: row.hardware,
        bootId: row.boot_id,
        acknowledged: row.acknowledged,
        isLeaving: row.leaving === 1,
      };
    },
  } satisfies Partial<Store>;
}

function settings(db: Kysely<Tables>, box: SecretBox) {
  const plain = (row: { key: string; value: string; secret: number }): string =>
    row.secret === 1 ? box.open(row.key, row.value) : row.value;
  return {
    async setting(key) {
      const row = await db.selectFrom('setting').selectAll().where('key', '=', key).executeTakeFirst();
      return row === undefined ? undefined : plain(row);
    },
    async putSetting(key, value, { secret = false } = {}) {
      const stored = { value: secret ? box.seal(key, value) : value, secret: secret ? 1 : 0 };
      await db
        .insertInto('setting')
        .values({ key, ...stored })
        .onConflict((conflict) => conflict.column('key').doUpdateSet(stored))
        .execute();
    },
    async listSettings(prefix) {
      const query = db
        .selectFrom('setting')
        .selectAll()
        .where('key', '>=', prefix)
        .where('key', '<', `${prefix}\u{10ffff}`);
      return (await query.orderBy('key').execute())
        .filter((row) => row.key !== KEY_CHECK)
        .map((row) => ({ key: row.key, value: plain(row) }));
    },
    async deleteSetting(key) {
      await db.deleteFrom('setting').where('key', '=', key).execute();
    },
  } satisfies Partial<Store>;
}
