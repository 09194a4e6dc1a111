import { once } from 'node:events';
import type { ServerResponse } from 'node:http';
import { setInterval as ticks } from 'node:timers/promises';
import type { StreamMessage } from './route.ts';

/** A client that takes nothing for so long is cut off; it may come back with its last id. */
const LONGEST_STALL_MS = 60_000;
const RETRY_MS = 1000;

/**
 * Writes messages as server-sent events (WHATWG HTML §9.2) until they end, the client goes or the signal says so. Comment lines
 * keep the connection alive through proxies and let both sides notice when the other is gone.
 */
export async function writeEventStream(
  response: ServerResponse,
  messages: AsyncIterable<StreamMessage>,
  options: { readonly heartbeatMs: number; readonly signal: AbortSignal },
): Promise<void> {
  const ended = new AbortController();
  const signal = AbortSignal.any([options.signal, ended.signal]);
  const iterator = messages[Symbol.asyncIterator]();
  // Asked for before the head is sent: a client that sees the head is subscribed already.
  let next = iterator.next();
  response.writeHead(200, {
    'content-type': 'text/event-stream; charset=utf-8',
    'cache-control': 'no-store',
    'x-accel-buffering': 'no',
  });
  response.write(`retry: ${RETRY_MS}\n\n`);
  const beating = beat(response, options.heartbeatMs, signal);
  try {
    for (let item = await next; item.done !== true; item = await next) {
      await write(response, encode(item.value), options.signal);
      next = iterator.next();
    }
  } finally {
    ended.abort();
    await beating;
    response.end();
  }
}

function encode({ id, event, data }: StreamMessage): string {
  // JSON has no bare line ends, so one `data:` line is enough.
  const head = `${id === undefined ? '' : `id: ${id}\n`}${event === undefined ? '' : `event: ${event}\n`}`;
  return `${head}data: ${JSON.stringify(data)}\n\n`;
}

async function write(response: ServerResponse, text: string, signal: AbortSignal): Promise<void> {
  signal.throwIfAborted();
  if (response.write(text)) return;
  await once(response, 'drain', { signal: AbortSignal.any([signal, AbortSignal.timeout(LONGEST_STALL_MS)]) });
}

async function beat(response: ServerResponse, everyMs: number, signal: AbortSignal): Promise<void> {
  try {
    for await (const _ of ticks(everyMs, undefined, { signal })) {
      if (!response.writableNeedDrain) response.write(': alive\n\n');
    }
  } catch {
    // Aborted: the stream ended.
  }
}
