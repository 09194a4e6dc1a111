import { TinsmithError } from '#proto/errors.ts';
import type { EventView, ListOf } from '../../api/types.ts';
import type { ApiClient } from '../api-client.ts';
import { API_OPTIONS } from '../api-options.ts';
import type { Command, CommandContext, CommandInput } from '../command.ts';
import { parseDuration } from '../duration-option.ts';
import { type Goal, missingFor } from '../watch-goal.ts';
import { watchPrinter } from '../watch-printer.ts';
import { type WatchedRecords, watchedRecords } from '../watched-records.ts';

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
    const progress = goalProgress(goal, records, api);
    if (await progress.isReached()) {
      if (goal === 'finished' && records.workflows.length === 0) context.out.note('no workflow is unfinished');
      return 0;
    }
    await using watch = startWatch(context, records, input);
    const query = { after: newest.items[0]?.id ?? 0, ...records.filter };
    try {
      for await (const event of api.follow<EventView>('/events/stream', query, watch.deadline)) {
        if (!records.concerns(event)) continue;
        watch.show(event);
        if (progress.mayBeReachedBy(event) && (await progress.isReached())) return 0;
      }
      return 0;
    } catch (error) {
      throw watch.deadline.aborted ? lateError(goal, input, progress.missing()) : error;
    }
  },
};

/** `installed` does not look at `workflow.succeeded`: the machine's own event comes after it and is to be shown, too. */
const DECIDING: Readonly<Record<Goal, RegExp>> = {
  finished: /^workflow\.(succeeded|failed|timedOut|cancelled|deleted)$/,
  installed: /^(machine\.(installed|failed|retired)|hardware\.deleted|workflow\.(cancelled|deleted))$/,
};

/** Asks how far the goal is and keeps the last answer for the message of a time-out. */
function goalProgress(goal: Goal | undefined, records: WatchedRecords, api: ApiClient) {
  let missing: string | undefined;
  return {
    missing: () => missing,
    /** Only at events that decide something is the server asked: it may be further than the event that is shown. */
    mayBeReachedBy: ({ name }: EventView) => goal !== undefined && DECIDING[goal].test(name),
    async isReached(): Promise<boolean> {
      if (goal === undefined) return false;
      missing = await missingFor(goal, records, api);
      return missing === undefined;
    },
  };
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

function lateError(goal: Goal | undefined, input: CommandInput, missing: string | undefined): TinsmithError {
  const limit = input.text('timeout') ?? '';
  if (goal === undefined) return new TinsmithError('timed_out', `the watch ended after ${limit}, as --timeout says`);
  return new TinsmithError('timed_out', `not ${goal} within ${limit}: ${missing ?? 'nothing is known of why'}`);
}
