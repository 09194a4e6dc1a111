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

/** Runs changes one after the other. */
export interface Changes {
  /** One transaction, on the disk when this resolves. A throw undoes all of it. */
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

/** Changes wait for each other, so that events are published in the order of their commits. */
export function changes({ db, box, events, clock, log }: ChangesOptions): Changes {
  let former: Promise<unknown> = Promise.resolve();

  async function inOrder<T>(work: () => Promise<T>): Promise<T> {
    const mine = former.then(work, work);
    former = mine.catch(() => undefined); // the caller gets the failure; the next change is not concerned
    return mine;
  }

  async function transact<T>(on: Kysely<Tables>, cause: Cause, work: (change: Change) => Promise<T>): Promise<T> {
    const at = clock();
    const made: TinsmithEvent[] = [];
    const result = await on.transaction().execute((trx) =>
      work({
        trx,
        at,
        cause,
        box,
        emit: async (draft) => {
          made.push(await insertEvent(trx, complete(draft, at, cause)));
        },
        show: (draft) => {
          made.push(complete(draft, at, cause));
        },
      }),
    );
    events.publish(made);
    if (log !== undefined) for (const event of made) logEvent(log, event);
    return result;
  }

  return {
    run: (cause, work) => inOrder(() => transact(db, cause, work)),
    runRelaxed: (cause, work) =>
      inOrder(() =>
        db.connection().execute(async (connection) => {
          await sql`pragma synchronous = normal`.execute(connection);
          try {
            return await transact(connection, cause, work);
          } finally {
            await sql`pragma synchronous = full`.execute(connection);
          }
        }),
      ),
  };
}

function complete(draft: EventDraft, at: Date, cause: Cause): TinsmithEvent {
  return { ...draft, id: 0, at, actor: cause.actor, ...(cause.from === undefined ? {} : { from: cause.from }) };
}

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
  return { ...event, id: Number(insertId) };
}

const WARNINGS: ReadonlySet<string> = new Set([
  'enroll.refused',
  'machine.failed',
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
