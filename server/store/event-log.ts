import type { Kysely, Selectable } from 'kysely';
import type { TinsmithEvent } from '../life/events.ts';
import type { EventTable, Tables } from './schema.ts';
import type { EventFilter } from './store.ts';

/** Stored events, and the followers that are told of new ones. */
export interface EventLog {
  list(filter: EventFilter): Promise<readonly TinsmithEvent[]>;
  follow(filter: EventFilter, signal: AbortSignal): AsyncIterable<TinsmithEvent>;
  /** Hands committed events (and live-only ones, id 0) to the followers. In commit order. */
  publish(events: readonly TinsmithEvent[]): void;
}

const PAGE = 500;
/** Events that wait in memory for one slow follower. */
const QUEUE_LIMIT = 1_000;

/** `lastId`: id of the newest stored event when the log is opened. */
export function eventLog(db: Kysely<Tables>, lastId: number): EventLog {
  const followers = new Set<Follower>();
  let newestId = lastId;
  const list = (filter: EventFilter) => listEvents(db, filter);
  return {
    list,
    follow(filter, signal) {
      const follower = new Follower(filter, newestId, list);
      if (!signal.aborted) {
        followers.add(follower);
        signal.addEventListener('abort', () => followers.delete(follower), { once: true });
      }
      return follower.events(signal, () => followers.delete(follower));
    },
    publish(events) {
      for (const event of events) {
        newestId = Math.max(newestId, event.id);
        for (const follower of followers) follower.offer(event);
      }
    },
  };
}

/**
 * One follower. It begins, and goes on when its queue overflows, by reading the table (`isBehind`); once it has read up to
 * the newest event it was offered it takes events from its queue. Ids tell what it has already yielded, so nothing is lost
 * or repeated at the change-over. When the queue is full live-only events go first.
 */
class Follower {
  readonly #filter: EventFilter;
  readonly #list: (filter: EventFilter) => Promise<readonly TinsmithEvent[]>;
  #queue: TinsmithEvent[] = [];
  #isBehind: boolean;
  /** Newest matching event that was offered while behind. */
  #offeredId: number;
  #yieldedId: number;
  #wake: (() => void) | undefined;

  constructor(filter: EventFilter, newestId: number, list: (filter: EventFilter) => Promise<readonly TinsmithEvent[]>) {
    this.#filter = filter;
    this.#list = list;
    this.#yieldedId = filter.after ?? newestId;
    this.#offeredId = newestId;
    this.#isBehind = this.#yieldedId < newestId;
  }

  offer(event: TinsmithEvent): void {
    if (!matches(event, this.#filter)) return;
    if (event.id === 0) {
      if (!this.#isBehind && this.#queue.length < QUEUE_LIMIT) this.#queue.push(event);
    } else if (this.#isBehind) {
      this.#offeredId = event.id;
    } else {
      this.#enqueue(event);
    }
    this.#wake?.();
  }

  async *events(signal: AbortSignal, unsubscribe: () => void): AsyncGenerator<TinsmithEvent> {
    const wake = (): void => this.#wake?.();
    signal.addEventListener('abort', wake, { once: true });
    let left = this.#filter.limit ?? Number.POSITIVE_INFINITY;
    try {
      while (!signal.aborted && left > 0) {
        for (const event of await this.#next()) {
          yield event;
          left -= 1;
          if (signal.aborted || left <= 0) return;
        }
        await this.#untilOffered(signal);
      }
    } finally {
      signal.removeEventListener('abort', wake);
      unsubscribe();
    }
  }

  #enqueue(event: TinsmithEvent): void {
    if (this.#queue.length >= QUEUE_LIMIT) this.#queue = this.#queue.filter((queued) => queued.id !== 0);
    if (this.#queue.length < QUEUE_LIMIT) {
      this.#queue.push(event);
      return;
    }
    this.#queue = [];
    this.#isBehind = true;
    this.#offeredId = event.id;
  }

  async #next(): Promise<readonly TinsmithEvent[]> {
    if (!this.#isBehind) {
      const queued = this.#queue.filter((event) => event.id === 0 || event.id > this.#yieldedId);
      this.#queue = [];
      this.#noteYielded(queued);
      return queued;
    }
    const page = await this.#list({ ...this.#filter, after: this.#yieldedId, limit: PAGE });
    this.#noteYielded(page);
    // No await between this check and the change: an event is either in the page, or its offer comes after and is queued.
    if (page.length < PAGE && this.#offeredId <= this.#yieldedId) this.#isBehind = false;
    else if (page.length === 0) this.#yieldedId = this.#offeredId;
    return page;
  }

  #noteYielded(events: readonly TinsmithEvent[]): void {
    for (const event of events) if (event.id > this.#yieldedId) this.#yieldedId = event.id;
  }

  async #untilOffered(signal: AbortSignal): Promise<void> {
    if (this.#isBehind || this.#queue.length > 0 || signal.aborted) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#wake = resolve;
    await promise;
    this.#wake = undefined;
  }
}

function matches(event: TinsmithEvent, filter: EventFilter): boolean {
  return (
    (filter.hardware === undefined || event.hardware === filter.hardware) &&
    (filter.workflow === undefined || event.workflow === filter.workflow) &&
    (filter.names === undefined || filter.names.includes(event.name))
  );
}

async function listEvents(db: Kysely<Tables>, filter: EventFilter): Promise<readonly TinsmithEvent[]> {
  let query = db
    .selectFrom('event')
    .selectAll()
    .orderBy('id', filter.newest === true ? 'desc' : 'asc');
  if (filter.after !== undefined) query = query.where('id', '>', filter.after);
  if (filter.hardware !== undefined) query = query.where('hardware', '=', filter.hardware);
  if (filter.workflow !== undefined) query = query.where('workflow', '=', filter.workflow);
  if (filter.names !== undefined) query = query.where('name', 'in', filter.names);
  if (filter.limit !== undefined) query = query.limit(filter.limit);
  const events = (await query.execute()).map(eventOfRow);
  return filter.newest === true ? events.toReversed() : events;
}

function eventOfRow(row: Selectable<EventTable>): TinsmithEvent {
  return {
    id: row.id,
    at: new Date(row.at),
    name: row.name,
    ...(row.hardware === null ? {} : { hardware: row.hardware }),
    ...(row.workflow === null ? {} : { workflow: row.workflow }),
    actor: row.actor,
    ...(row.origin === null ? {} : { from: row.origin }),
    data: JSON.parse(row.data_json),
  };
}
