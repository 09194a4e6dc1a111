import { chmodSync, closeSync, openSync } from 'node:fs';
import { DatabaseSync, type SQLInputValue, type StatementSync } from 'node:sqlite';
import { type Dialect, SqliteDialect } from 'kysely';
import { messageOf, TinsmithError } from '#proto/errors.ts';

/** One open SQLite database: kysely speaks to it by `dialect`, which also closes it. */
export interface SqliteDatabase {
  readonly dialect: Dialect;
  /** For migrations and pragmas; never while a kysely transaction runs. */
  exec(sql: string): void;
  get(sql: string): Readonly<Record<string, unknown>> | undefined;
}

/** Prepared statements that are kept; the store has well below that many different texts. */
const KEPT_STATEMENTS = 400;
/** How long a former server may need to let go of the database when it is replaced. */
const LOCK_WAIT_MS = 2_000;

/**
 * Opens (or creates, mode 0600) a database: write-ahead log, `synchronous=FULL` (a commit survives a power cut), foreign
 * keys. The exclusive lock is the kernel's, so it ends with the process however that ends. Throws `conflict` while another
 * process has the database open and `unavailable` if the file cannot be used.
 */
export function openSqliteDatabase(path: string): SqliteDatabase {
  const database = openFile(path);
  try {
    database.exec('pragma locking_mode = exclusive; pragma journal_mode = wal;');
    database.exec('pragma synchronous = full; pragma foreign_keys = on; pragma temp_store = memory;');
    database.exec('begin immediate; commit;');
  } catch (cause) {
    database.close();
    throw openError(path, cause);
  }
  const statements = new Map<string, StatementSync>();
  return {
    dialect: new SqliteDialect({
      database: { prepare: (sql) => statementFor(database, statements, path, sql), close: () => database.close() },
    }),
    exec: (sql) => database.exec(sql),
    get: (sql) => database.prepare(sql).get(),
  };
}

function openFile(path: string): DatabaseSync {
  try {
    if (path !== ':memory:') {
      closeSync(openSync(path, 'a', 0o600));
      chmodSync(path, 0o600);
    }
    return new DatabaseSync(path, { timeout: LOCK_WAIT_MS });
  } catch (cause) {
    throw openError(path, cause);
  }
}

function openError(path: string, cause: unknown): TinsmithError {
  if (sqliteCode(cause) === SQLITE_BUSY) {
    return new TinsmithError(
      'conflict',
      `cannot open the database ${path}: another tinsmith process has it open; stop that one or choose another data folder`,
      { cause },
    );
  }
  const fact = messageOf(cause);
  return new TinsmithError('unavailable', `cannot open the database ${path}: ${fact}`, { cause });
}

/** What kysely's SQLite driver expects of a statement (the shape of better-sqlite3), on node:sqlite. */
function statementFor(database: DatabaseSync, statements: Map<string, StatementSync>, path: string, sql: string) {
  const statement = statements.get(sql) ?? keep(statements, sql, database.prepare(sql));
  return {
    reader: statement.columns().length > 0,
    all: (parameters: readonly unknown[]) => translated(path, () => statement.all(...bindable(parameters))),
    run: (parameters: readonly unknown[]) => {
      // A full disk ends the transaction inside SQLite: kysely's rollback must not hide that error with its own.
      if (sql === 'rollback' && !database.isTransaction) return { changes: 0, lastInsertRowid: 0 };
      return translated(path, () => statement.run(...bindable(parameters)));
    },
    iterate: (parameters: readonly unknown[]) => statement.iterate(...bindable(parameters)),
  };
}

function bindable(parameters: readonly unknown[]): SQLInputValue[] {
  return parameters.map((value) => {
    if (value === null || typeof value === 'string' || typeof value === 'number' || typeof value === 'bigint') {
      return value;
    }
    throw new TinsmithError('internal', `cannot bind a ${typeof value} to an SQL statement`);
  });
}

function keep(statements: Map<string, StatementSync>, sql: string, statement: StatementSync): StatementSync {
  if (statements.size >= KEPT_STATEMENTS) statements.delete(statements.keys().next().value ?? '');
  statements.set(sql, statement);
  return statement;
}

const SQLITE_BUSY = 5;
const SQLITE_IOERR = 10;
const SQLITE_FULL = 13;

function translated<T>(path: string, run: () => T): T {
  try {
    return run();
  } catch (cause) {
    const code = sqliteCode(cause);
    if (code !== SQLITE_FULL && code !== SQLITE_IOERR) throw cause;
    const fact = messageOf(cause);
    throw new TinsmithError('unavailable', `cannot write the database ${path}: ${fact}; free space on its disk`, {
      cause,
    });
  }
}

/** Primary result code of an error of node:sqlite. */
function sqliteCode(thrown: unknown): number | undefined {
  if (!(thrown instanceof Error) || !('errcode' in thrown) || typeof thrown.errcode !== 'number') return undefined;
  return thrown.errcode & 0xff;
}
