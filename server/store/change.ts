import { type Kysely, sql, type Transaction } from 'kysely';
import type { Logger } from 'pino';
import type { TinsmithEvent } from '../life/events.ts';
import type { EventLog } from './event-log.ts';
import type { Tables } from './schema.ts';
import type { SecretBox } from './secret-box.ts';
import type { Cause } from './store.ts';

/** What a transaction that changes something works with. Only `trx` may be used for SQL until it ends. */
export interface Change {
  readonly trx: Transaction<Tables>;
  readonly at: Date;
  readonly cause: Cause;
  readonly box: SecretBox;
  /** Writes an event into the same transaction; followers get it after the commit. */
  emit(event: EventDraft): Promise<void>;
  /** An event for followers only: it is not stored. */
  show(event: EventDraft): void;
}

export type EventDraft = Pick<TinsmithEvent, 'name' | 'data' | 'hardware' | 'workflow'>;

/** Runs changes one after the other; each is one transaction. */
export interface Changes {
  /** On the disk when this resolves. A throw undoes all of it. */
  run<T>(cause: Cause, work: (change: Change) => Promise<T>): Promise<T>;
  /** The same without waiting for the disk: a power cut may undo it (whole). For what is soon reported again. */
  runRelaxed<T>(cause: Cause, work: (change: Change) => Promise<T>): Promise<T>;
}

interface ChangesOptions {
  readonly db: Kysely<Tables>;
  readonly box: SecretBox;
  readonly events: EventLog;
  readonly clock: () => Date;
  readonly log: Logger | undefined;
}

/** Changes that may share one wait for the disk. */
const BATCH_LIMIT = 64;

/** A change that waits for its turn. */
interface Waiting {
  readonly cause: Cause;
  readonly isRelaxed: boolean;
  readonly work: (change: Change) => Promise<unknown>;
  readonly resolve: () => void;
  readonly reject: (thrown: unknown) => void;
}

/**
 * Changes are made one after the other, so events are published in the order of their commits. Those that queue up while
 * the disk is busy are committed together: each one whole or not at all (a savepoint), and none of them is told that it is
 * done before all are on the disk.
 */
export function changes(options: ChangesOptions): Changes {
  const queue: Waiting[] = [];
  let isBusy = false;

  async function drain(): Promise<void> {
    isBusy = true;
    for (let batch = queue.splice(0, BATCH_LIMIT); batch.length > 0; batch = queue.splice(0, BATCH_LIMIT)) {
      await commitTogether(options, batch);
    }
    isBusy = false;
  }

  async function enqueue<T>(waiting: Pick<Waiting, 'cause' | 'isRelaxed'>, work: (change: Change) => Promise<T>) {
    const { promise, resolve, reject } = Promise.withResolvers<T>();
    let result: T;
    queue.push({
      ...waiting,
      work: async (change) => {
        result = await work(change);
      },
      resolve: () => resolve(result),
      reject,
    });
    if (!isBusy) void drain(); // every failure goes to the change that it belongs to
    return promise;
  }

  return {
    run: async (cause, work) => enqueue({ cause, isRelaxed: false }, work),
    runRelaxed: async (cause, work) => enqueue({ cause, isRelaxed: true }, work),
  };
}

/** Never rejects: each change of the batch gets its own result or failure. */
async function commitTogether(options: ChangesOptions, batch: readonly Waiting[]): Promise<void> {
  const { db, events, log } = options;
  const isRelaxed = batch.every((waiting) => waiting.isRelaxed);
  const made: TinsmithEvent[] = [];
  const done: Waiting[] = [];
  try {
    await db.connection().execute(async (connection) => {
      if (isRelaxed) await sql`pragma synchronous = normal`.execute(connection);
      try {
        await connection.transaction().execute(async (trx) => {
          for (const waiting of batch) if (await runOne(options, trx, waiting, made)) done.push(waiting);
        });
      } finally {
        if (isRelaxed) await sql`pragma synchronous = full`.execute(connection);
      }
    });
  } catch (thrown) {
    for (const waiting of batch) waiting.reject(thrown); // those that failed by themselves keep their own failure
    return;
  }
  events.publish(made);
  if (log !== undefined) for (const event of made) logEvent(log, event);
  for (const waiting of done) waiting.resolve();
}

/** Makes one change within the batch's transaction. False: it failed, and left nothing. */
async function runOne(
  { box, clock }: ChangesOptions,
  trx: Transaction<Tables>,
  { cause, work, reject }: Waiting,
  made: TinsmithEvent[],
): Promise<boolean> {
  const at = clock();
  const own: TinsmithEvent[] = [];
  const emit = async (draft: EventDraft) => {
    own.push(await insertEvent(trx, complete(draft, at, cause)));
  };
  const show = (draft: EventDraft) => {
    own.push(complete(draft, at, cause));
  };
  await sql`savepoint change`.execute(trx);
  try {
    await work({ trx, at, cause, box, emit, show });
  } catch (thrown) {
    reject(thrown);
    try {
      await sql`rollback to change`.execute(trx);
      await sql`release change`.execute(trx);
    } catch {
      throw thrown; // it was bad enough (a full disk) for SQLite to end the whole transaction: the batch fails with it
    }
    return false;
  }
  await sql`release change`.execute(trx);
  made.push(...own);
  return true;
}

function complete(draft: EventDraft, at: Date, cause: Cause): TinsmithEvent {
  return { ...draft, id: 0, at, actor: cause.actor, ...(cause.from === undefined ? {} : { from: cause.from }) };
}

/** Events that are kept, some hundred megabytes: years of a rack, and an end to what a machine in a loop can fill. */
const KEPT_EVENTS = 500_000;
const FORGET_EVERY = 1_000;

async function insertEvent(trx: Transaction<Tables>, event: TinsmithEvent): Promise<TinsmithEvent> {
  const { insertId } = await trx
    .insertInto('event')
    .values({
      at: event.at.getTime(),
      name: event.name,
      hardware: event.hardware ?? null,
      workflow: event.workflow ?? null,
      actor: event.actor,
      origin: event.from ?? null,
      data_json: JSON.stringify(event.data),
    })
    .executeTakeFirstOrThrow();
  const id = Number(insertId);
  if (id % FORGET_EVERY === 0)
    await trx
      .deleteFrom('event')
      .where('id', '<=', id - KEPT_EVENTS)
      .execute();
  return { ...event, id };
}

const WARNINGS: ReadonlySet<string> = new Set([
  'cluster.blocked',
  'enroll.refused',
  'machine.failed',
  'node.failed',
  'workflow.failed',
  'workflow.lost',
  'workflow.timedOut',
]);

function logEvent(log: Logger, { id, name, hardware, workflow, actor, from, data }: TinsmithEvent): void {
  if (id === 0) return;
  const fields = { event: id, hardware, workflow, actor, from, ...data };
  if (WARNINGS.has(name)) log.warn(fields, name);
  else log.info(fields, name);
}
