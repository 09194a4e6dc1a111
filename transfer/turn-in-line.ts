import type { HttpResponse } from './http-response.ts';
import type { TransferEvents } from './standstill.ts';

/** A server of images that serves a few machines at once says so to the others: 503 with `Retry-After` and this header. */
export const LINE_HEADER = 'tinsmith-line';
/** How agents name themselves to servers: one of images answers them sooner that it is not their turn, as they come again. */
export const AGENT_NAME = 'tinsmith-agent';
const LONGEST_WAIT_MS = 30_000;

/** A place in a server's line. */
export interface TurnInLine {
  /** 1 is next. */
  readonly place: number;
  readonly afterMs: number;
}

/** Undefined for every other answer: a 503 without the header is a failure. */
export function turnInLine({ status, headers }: Pick<HttpResponse, 'status' | 'headers'>): TurnInLine | undefined {
  const place = headers.get(LINE_HEADER);
  if (status !== 503 || place === undefined || !/^[1-9]\d{0,8}$/.test(place)) return undefined;
  const after = headers.get('retry-after') ?? '';
  const afterMs = /^\d{1,6}$/.test(after) ? Number(after) * 1000 : 1000;
  return { place: Number(place), afterMs: Math.min(Math.max(afterMs, 1), LONGEST_WAIT_MS) };
}

/** Tells the places in a server's line, and logs each once: whoever waits asks often. */
export class TurnLog {
  readonly #events: TransferEvents;
  #last = '';
  #isInLine = false;

  constructor(events: TransferEvents) {
    this.#events = events;
  }

  /** `heldMs`: how long the server held the request before it said so. */
  tell(host: string, turn: TurnInLine, heldMs: number): void {
    const { log, standstill } = this.#events;
    const text = `download from ${host} ${turnText(turn)}`;
    if (text !== this.#last) log(text);
    this.#last = text;
    this.#isInLine = true;
    standstill?.({ kind: 'inLine', turn, heldMs });
  }

  /** The server answered as it does when it is one's turn, or nobody waits. */
  over(): void {
    if (this.#isInLine) this.#events.standstill?.({ kind: 'served' });
    this.#isInLine = false;
  }
}

/** For logs: `waits for its turn (3rd in line)`. */
export function turnText(turn: Pick<TurnInLine, 'place'>): string {
  return `waits for ${turnPlace(turn)}`;
}

/** What is waited for: `its turn (3rd in line)`. */
export function turnPlace({ place }: Pick<TurnInLine, 'place'>): string {
  return `its turn (${ordinal(place)} in line)`;
}

function ordinal(number: number): string {
  const isTeen = Math.floor(number / 10) % 10 === 1;
  return `${number}${(isTeen ? undefined : ['th', 'st', 'nd', 'rd'][number % 10]) ?? 'th'}`;
}
