import { TinsmithError } from '#proto/errors.ts';
import type { SqliteDatabase } from './sqlite-dialect.ts';

/** Forward only: the number of a migration is its place in this list; a released one is never changed. */
const MIGRATIONS: readonly string[] = [
  `create table hardware (
    name text primary key, version integer not null, created_at integer not null,
    stage text not null, stage_at integer not null, netboot integer not null,
    installed_at integer, ready_at integer, last_seen_at integer, failure text,
    labels_json text not null, annotations_json text not null, spec_json text not null,
    user_data_sealed text, inventory_json text
  ) strict;
  create table hardware_mac (
    mac text primary key, hardware text not null references hardware(name) on delete cascade
  ) strict;
  create index hardware_mac_of on hardware_mac(hardware);
  create table hardware_address (
    address text primary key, hardware text not null references hardware(name) on delete cascade
  ) strict;
  create index hardware_address_of on hardware_address(hardware);
  create table template (
    name text primary key, version integer not null, created_at integer not null,
    labels_json text not null, annotations_json text not null, data text not null, source text not null
  ) strict;
  create table workflow (
    id integer primary key autoincrement, name text not null unique, version integer not null,
    created_at integer not null, state text not null, state_at integer not null, disabled integer not null,
    labels_json text not null, annotations_json text not null, spec_json text not null,
    rendered_sealed text not null, hardware_json text not null,
    attempt integer not null, attempts_of_run integer not null, task integer not null, task_begun integer not null,
    accepted_session text, accepted_at integer, started_at integer, finished_at integer,
    error_code text, error_message text
  ) strict;
  create index workflow_unfinished on workflow(state) where state in ('pending', 'running', 'waiting');
  create table workflow_hardware (
    workflow_id integer not null references workflow(id) on delete cascade,
    task integer not null, hardware text not null, primary key (workflow_id, task)
  ) strict, without rowid;
  create index workflow_hardware_of on workflow_hardware(hardware);
  create table attempt_fence (workflow text primary key, attempt integer not null) strict;
  create table action_run (
    workflow_id integer not null references workflow(id) on delete cascade,
    attempt integer not null, task integer not null, action integer not null,
    task_name text not null, name text not null, image text not null, state text not null,
    started_at integer, finished_at integer, exit_code integer, tries integer,
    error_code text, error_message text, progress_json text,
    log_lines integer not null default 0, log_bytes integer not null default 0,
    primary key (workflow_id, attempt, task, action)
  ) strict, without rowid;
  create table log_line (
    id integer primary key autoincrement,
    workflow_id integer not null references workflow(id) on delete cascade,
    attempt integer not null, task integer not null, action integer not null,
    at integer not null, stream text not null, text text not null
  ) strict;
  create index log_line_of on log_line(workflow_id, id);
  create table agent_session (
    session text primary key, hardware text not null references hardware(name) on delete cascade,
    boot_id text not null, agent_version text not null, address text not null,
    connected_at integer not null, disconnected_at integer,
    acknowledged integer not null, leaving integer not null
  ) strict;
  create index agent_session_of on agent_session(hardware, connected_at);
  create table boot_token (
    hash text primary key, hardware text not null references hardware(name) on delete cascade,
    mac text not null, expires_at integer not null, used_at integer, nonce text, key_hash text
  ) strict;
  create index boot_token_of on boot_token(hardware);
  create table event (
    id integer primary key autoincrement, at integer not null, name text not null,
    hardware text, workflow text, actor text not null, origin text, data_json text not null
  ) strict;
  create index event_of_hardware on event(hardware, id);
  create index event_of_workflow on event(workflow, id);
  create index event_refused on event(at, hardware) where name = 'enroll.refused';
  create table setting (key text primary key, value text not null, secret integer not null) strict;`,
  `create table cluster (
    name text primary key, version integer not null, created_at integer not null,
    state text not null, state_at integer not null, failure text,
    definition_sealed text not null, options_json text not null, secrets_sealed text, token_sealed text,
    released_json text not null
  ) strict;
  create table node (
    hardware text primary key references hardware(name), cluster text not null references cluster(name),
    node_group text not null, role text not null, revision text not null, initialises integer not null,
    state text not null, state_at integer not null, claimed_at integer not null,
    workflow text, tries integer not null, failure text, note text
  ) strict, without rowid;
  create index node_of_cluster on node(cluster);
  alter table hardware add column ready_by text not null default 'metadata';
  alter table hardware add column user_data_policy text not null default 'keep';
  alter table hardware add column user_data_fetched_at integer;
  alter table hardware add column phoned_home_at integer;
  alter table hardware add column user_data_withheld_at integer;
  alter table hardware add column bootstrap_failure text;`,
  `create table given_image (
    workflow_id integer not null references workflow(id) on delete cascade,
    attempt integer not null, task integer not null, digest text not null,
    primary key (workflow_id, attempt, task, digest)
  ) strict, without rowid;`,
];

/**
 * Brings a database to this version's schema, each step in a transaction of its own: after a power cut the next start goes
 * on with the step that is missing. Throws `unsupported` for a database of a newer version.
 */
export function migrate(database: SqliteDatabase, path: string): void {
  const version = Number(database.get('pragma user_version')?.['user_version']);
  if (version > MIGRATIONS.length) {
    throw new TinsmithError(
      'unsupported',
      `the database ${path} has schema ${version}, this version of Tinsmith knows up to ${MIGRATIONS.length}: start the newer version, or restore a backup made before the upgrade`,
    );
  }
  for (const [index, sql] of MIGRATIONS.entries()) {
    if (index < version) continue;
    database.exec('begin immediate');
    try {
      database.exec(`${sql}; pragma user_version = ${index + 1};`);
      database.exec('commit');
    } catch (cause) {
      database.exec('rollback');
      throw new TinsmithError('internal', `cannot bring the database ${path} to schema ${index + 1}`, { cause });
    }
  }
}
