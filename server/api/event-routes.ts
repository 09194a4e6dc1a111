import type { TinsmithEvent } from '../life/events.ts';
import type { EventFilter } from '../store/store.ts';
import { defineRoute, defineStream, type StreamMessage } from './route.ts';
import { type EventView, eventQuerySchema, eventSchema, listSchema } from './types.ts';

const DEFAULT_EVENTS = 1000;

export const eventRoutes = [
  defineRoute({
    method: 'GET',
    path: '/events',
    summary: 'Lists stored events, oldest first: the first ones after `after`, or the newest ones with `tail`.',
    query: eventQuerySchema,
    response: listSchema(eventSchema),
    async handle({ query: { tail, limit = DEFAULT_EVENTS, ...rest } }, { store }) {
      const wanted = tail === undefined ? { limit } : { limit: tail, newest: true };
      return { items: (await store.events({ ...eventFilter(rest), ...wanted })).map(eventView) };
    },
  }),
];

/** A client that comes back with the last id it saw misses nothing that is stored and gets nothing twice. */
export const eventStream = defineStream({
  path: '/events/stream',
  summary: 'Follows events: stored ones after `Last-Event-ID` or `after` (default: from now on), then live ones.',
  query: eventQuerySchema,
  message: eventSchema,
  async open({ query: { tail: _tail, limit: _limit, ...rest }, lastEventId, signal }, { store }) {
    const after = lastEventId ?? rest.after;
    const filter = eventFilter({ ...rest, ...(after !== undefined && { after }) });
    return messages(store.followEvents(filter, signal));
  },
});

async function* messages(events: AsyncIterable<TinsmithEvent>): AsyncGenerator<StreamMessage> {
  for await (const event of events) yield { ...(event.id > 0 && { id: event.id }), data: eventView(event) };
}

function eventFilter({ name, ...rest }: Omit<EventFilter, 'names'> & { name?: EventFilter['names'] }): EventFilter {
  return { ...rest, ...(name && { names: name }) };
}

function eventView({ at, ...event }: TinsmithEvent): EventView {
  return { ...event, at: at.toISOString() };
}
