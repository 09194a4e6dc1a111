import { setTimeout as delay } from 'node:timers/promises';
import { TinsmithError } from '#proto/errors.ts';
import type { EventView, ListOf } from '../../api/types.ts';
import { API_OPTIONS } from '../api-options.ts';
import type { Command, CommandContext, CommandInput } from '../command.ts';
import { parseDuration } from '../duration-option.ts';
import { type Goal, missingFor } from '../watch-goal.ts';
import { watchPrinter } from '../watch-printer.ts';
import { type WatchedRecords, watchedRecords } from '../watched-records.ts';

const ASK_AGAIN_MS = 500;
const MOST_TRIES = 60;

export const watchCommand: Command = {
  name: 'watch',
  arguments: '[NAME]',
  takes: [0, 1],
  summary: 'Show what happens as it happens, of all machines, one machine or one workflow.',
  options: {
    until: {
      type: 'string',
      value: 'GOAL',
      choices: ['installed', 'finished'],
      summary: 'End when the machines are installed, or the workflows finished; a failure ends it with its exit code.',
    },
    timeout: { type: 'string', value: 'TIME', summary: 'End after this time at the latest: 90s, 30m, 2h.' },
    output: {
      type: 'string',
      short: 'o',
      value: 'FORMAT',
      choices: ['text', 'json'],
      summary: 'How to print: json is one event a line.',
    },
    ...API_OPTIONS,
  },
  examples: ['tinsmith watch', 'tinsmith watch node-1 --until installed --timeout 30m', 'tinsmith watch -o json'],
  async run(context, input) {
    const { api } = context;
    // The position first, then the records: what happens in between is shown again rather than missed.
    const newest = await api.get<ListOf<EventView>>('/events', { tail: 1 });
    const records = await watchedRecords(api, input.positionals[0]);
    const goal = goalOf(input);
    const progress = goalProgress(goal, records, context);
    if (await progress.isReached()) return 0;
    await using watch = startWatch(context, records, input);
    try {
      const query = { after: newest.items[0]?.id ?? 0, ...records.filter };
      const events = api.follow<EventView>('/events/stream', query, watch.deadline);
      for await (const event of events) {
        if (!records.concerns(event)) continue;
        watch.show(event);
        if (progress.mayBeReachedBy(event) && (await progress.isReached())) return 0;
      }
    } catch (error) {
      if (!watch.deadline.aborted) throw error;
      if (goal !== undefined) throw lateError(goal, input, progress.missing());
    }
    return 0;
  },
};

/** `installed` does not look at `workflow.succeeded`: the machine's own event comes after it and is to be shown, too. */
const DECIDING: Readonly<Record<Goal, RegExp>> = {
  finished: /^workflow\.(succeeded|failed|timedOut|cancelled|deleted)$/,
  installed: /^(machine\.(installed|failed|retired)|hardware\.deleted|workflow\.(cancelled|deleted))$/,
};

/** Asks how far the goal is and keeps the last answer for the message of a time-out. */
function goalProgress(goal: Goal | undefined, records: WatchedRecords, { api, signal }: CommandContext) {
  let missing: string | undefined;
  return {
    missing: () => missing,
    /** Only at events that decide something is the server asked: it may be further than the event that is shown. */
    mayBeReachedBy: ({ name }: EventView) => goal !== undefined && DECIDING[goal].test(name),
    async isReached(): Promise<boolean> {
      if (goal === undefined) return false;
      missing = await patiently(() => missingFor(goal, records, api), signal);
      return missing === undefined;
    },
  };
}

/** A server that stopped right after its event is waited for, as the event stream does. */
async function patiently<T>(ask: () => Promise<T>, signal: AbortSignal): Promise<T> {
  for (let tries = 1; ; tries += 1) {
    try {
      return await ask();
    } catch (error) {
      const mayHeal = error instanceof TinsmithError && error.code === 'unavailable' && tries < MOST_TRIES;
      if (!mayHeal || signal.aborted) throw error;
      await delay(ASK_AGAIN_MS, undefined, { signal });
    }
  }
}

function goalOf(input: CommandInput): Goal | undefined {
  const text = input.text('until');
  return text === 'installed' || text === 'finished' ? text : undefined;
}

/** Opens what must be closed again: the deadline's timer and the live display. */
function startWatch(context: CommandContext, records: WatchedRecords, input: CommandInput) {
  const deadline = new AbortController();
  const limit = input.text('timeout');
  const timer = limit === undefined ? undefined : setTimeout(() => deadline.abort(), parseDuration('--timeout', limit));
  const printer = watchPrinter(context, records, input.text('output') === 'json');
  return {
    deadline: deadline.signal,
    show: (event: EventView) => printer.show(event),
    async [Symbol.asyncDispose]() {
      clearTimeout(timer);
      printer.close();
    },
  };
}

function lateError(goal: Goal, input: CommandInput, missing: string | undefined): TinsmithError {
  const limit = input.text('timeout') ?? '';
  return new TinsmithError('timed_out', `not ${goal} within ${limit}: ${missing ?? 'nothing is known of why'}`);
}
