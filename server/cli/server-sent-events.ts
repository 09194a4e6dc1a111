import { setTimeout as delay } from 'node:timers/promises';
import { TinsmithError } from '#proto/errors.ts';

export interface ServerSentEvent {
  /** Empty for live-only events. */
  readonly id: string;
  /** `message` unless the server names another. */
  readonly event: string;
  readonly data: string;
}

export interface EventSourceOptions {
  /** Opens the stream after `lastEventId`. An error that is not worth another try is thrown on. */
  open(lastEventId: string | undefined, signal: AbortSignal): Promise<Response>;
  readonly signal: AbortSignal;
  /** The server sends a sign of life more often than this; silence means that the connection is dead. */
  readonly silenceMs?: number;
  /** How long the server may be away before it is given up. */
  readonly awayMs?: number;
}

const SILENCE_MS = 45_000;
const AWAY_MS = 120_000;
const FIRST_PAUSE_MS = 100;
const LONGEST_PAUSE_MS = 3000;
const LONGEST_EVENT = 16 * 1024 * 1024;

/**
 * Follows a server-sent event stream (WHATWG HTML §9.2) across broken connections. An event `end` ends it.
 * @throws TinsmithError what `open` throws at the first try; later only what no new try can heal, or `unavailable` after `awayMs`.
 */
export async function* readServerSentEvents(options: EventSourceOptions): AsyncGenerator<ServerSentEvent> {
  const { signal } = options;
  const state: ReaderState = { lastEventId: undefined, awaySince: undefined, pauseMs: FIRST_PAUSE_MS, wasOpen: false };
  for (;;) {
    const connection = new Connection(signal, options.silenceMs ?? SILENCE_MS);
    try {
      const response = await options.open(state.lastEventId, connection.signal);
      state.wasOpen = true;
      for await (const event of connection.events(response)) {
        noteArrival(state, event);
        if (event.event === 'end') return;
        yield event;
      }
    } catch (error) {
      signal.throwIfAborted();
      if (!state.wasOpen || !isTemporary(error)) throw error;
    } finally {
      connection.close();
    }
    await pauseBeforeRetry(state, options);
  }
}

interface ReaderState {
  lastEventId: string | undefined;
  /** Set while nothing arrives. */
  awaySince: number | undefined;
  pauseMs: number;
  wasOpen: boolean;
}

function noteArrival(state: ReaderState, { id }: ServerSentEvent): void {
  state.awaySince = undefined;
  state.pauseMs = FIRST_PAUSE_MS;
  if (id !== '') state.lastEventId = id;
}

async function pauseBeforeRetry(state: ReaderState, { signal, awayMs = AWAY_MS }: EventSourceOptions): Promise<void> {
  state.awaySince ??= performance.now();
  if (performance.now() - state.awaySince > awayMs) {
    throw new TinsmithError('unavailable', 'the event stream broke and the server did not come back');
  }
  try {
    await delay(state.pauseMs, undefined, { signal });
  } catch {
    signal.throwIfAborted();
  }
  state.pauseMs = Math.min(state.pauseMs * 2, LONGEST_PAUSE_MS);
}

/** Broken connections are, and so is everything that is no TinsmithError: fetch says nothing more of them. */
function isTemporary(error: unknown): boolean {
  return !(error instanceof TinsmithError) || error.code === 'unavailable' || error.code === 'timed_out';
}

/** One connection with its dead-man's switch. */
class Connection {
  readonly #silence = new AbortController();
  readonly #silenceMs: number;
  readonly signal: AbortSignal;
  #timer: NodeJS.Timeout;

  constructor(parent: AbortSignal, silenceMs: number) {
    this.#silenceMs = silenceMs;
    this.signal = AbortSignal.any([parent, this.#silence.signal]);
    this.#timer = this.#arm();
  }

  async *events(response: Response): AsyncGenerator<ServerSentEvent> {
    const parser = new EventStreamParser();
    const decoder = new TextDecoder();
    for await (const chunk of response.body ?? []) {
      clearTimeout(this.#timer);
      this.#timer = this.#arm();
      yield* parser.push(decoder.decode(chunk, { stream: true }));
    }
  }

  close(): void {
    clearTimeout(this.#timer);
    this.#silence.abort();
  }

  #arm(): NodeJS.Timeout {
    const reason = new TinsmithError('unavailable', 'the event stream fell silent');
    return setTimeout(() => this.#silence.abort(reason), this.#silenceMs);
  }
}

/** Text in any pieces → events. */
export class EventStreamParser {
  #rest = '';
  #id = '';
  #event = '';
  #data: string[] = [];

  *push(text: string): Generator<ServerSentEvent> {
    // A CR at the end may be half of a CRLF: it waits for what follows.
    const all = this.#rest + text;
    const lines = all.split(/\r\n|\n|\r(?!$)/);
    this.#rest = lines.pop() ?? '';
    if (this.#rest.length > LONGEST_EVENT)
      throw new TinsmithError('invalid_input', 'an event of the stream is too long');
    for (const line of lines) {
      const event = this.#line(line);
      if (event !== undefined) yield event;
    }
  }

  #line(line: string): ServerSentEvent | undefined {
    if (line === '') return this.#dispatch();
    const colon = line.indexOf(':');
    const field = colon === -1 ? line : line.slice(0, colon);
    const value = colon === -1 ? '' : line.slice(colon + 1).replace(/^ /, '');
    if (field === 'data') this.#data.push(value);
    if (field === 'event') this.#event = value;
    if (field === 'id') this.#id = value;
    return undefined;
  }

  /** Our ids belong to one event each; the standard's sticky id is not needed, because the reader keeps the last one. */
  #dispatch(): ServerSentEvent | undefined {
    const event = { id: this.#id, event: this.#event === '' ? 'message' : this.#event, data: this.#data.join('\n') };
    const isEmpty = this.#data.length === 0;
    this.#id = '';
    this.#event = '';
    this.#data = [];
    return isEmpty ? undefined : event;
  }
}
