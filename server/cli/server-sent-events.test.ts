import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { TinsmithError } from '#proto/errors.ts';
import { EventStreamParser, readServerSentEvents, type ServerSentEvent } from './server-sent-events.ts';

const STREAM = [
  'retry: 1000\n\n',
  ': alive\n\n',
  'id: 1\ndata: {"a":1}\n\n',
  'data: line one\ndata:line two\n\n',
  'id:3\r\nevent: end\r\ndata: \r\n\r\n',
  'id: 9\n\n',
  'event: x\ndata\n\n',
].join('');
const EVENTS = [
  { id: '1', event: 'message', data: '{"a":1}' },
  { id: '', event: 'message', data: 'line one\nline two' },
  { id: '3', event: 'end', data: '' },
  { id: '', event: 'x', data: '' },
];

describe('EventStreamParser', () => {
  it('reads the same events wherever the stream is cut', () => {
    for (let size = 1; size <= STREAM.length; size += 1) {
      const parser = new EventStreamParser();
      const pieces = STREAM.match(new RegExp(`[^]{1,${size}}`, 'g')) ?? [];
      assert.deepEqual(
        pieces.flatMap((piece) => [...parser.push(piece)]),
        EVENTS,
        `pieces of ${size}`,
      );
    }
  });

  it('does not show an event whose end never came', () => {
    assert.deepEqual([...new EventStreamParser().push('id: 1\ndata: half')], []);
  });

  it('bounds the length of a line', () => {
    const parser = new EventStreamParser();

    assert.throws(() => {
      for (let round = 0; round < 40; round += 1) parser.push('x'.repeat(1024 * 1024)).next();
    }, /too long/);
  });
});

/** A server that answers one connection after the other with these bodies. */
function connections(...bodies: readonly (string | Error)[]) {
  const asked: (string | undefined)[] = [];
  const open = async (lastEventId: string | undefined): Promise<Response> => {
    asked.push(lastEventId);
    const body = bodies[asked.length - 1] ?? new TinsmithError('unavailable', 'nobody there');
    if (body instanceof Error) throw body;
    return new Response(body);
  };
  return { asked, open };
}

async function all(events: AsyncIterable<ServerSentEvent>): Promise<string[]> {
  const seen: string[] = [];
  for await (const { data } of events) seen.push(data);
  return seen;
}

const END = 'event: end\ndata: {}\n\n';
const { signal } = new AbortController();

describe('readServerSentEvents', () => {
  it('comes back after a cut with the last id that was stored, and drops half an event', async () => {
    const { asked, open } = connections(
      'id: 4\ndata: a\n\ndata: live\n\nid: 5\ndata: ha',
      new TinsmithError('unavailable', 'restarting'),
      'id: 5\ndata: b\n\n',
      END,
    );

    const seen = await all(readServerSentEvents({ open, signal }));

    assert.deepEqual(seen, ['a', 'live', 'b']);
    assert.deepEqual(asked, [undefined, '4', '4', '5']);
  });

  it('gives up at once when the first connection fails, or when a new try cannot help', async () => {
    const never = connections(new TinsmithError('unavailable', 'nobody there'));
    const gone = connections('id: 1\ndata: a\n\n', new TinsmithError('not_found', 'deleted meanwhile'));

    await assert.rejects(all(readServerSentEvents({ open: never.open, signal })), { code: 'unavailable' });
    await assert.rejects(all(readServerSentEvents({ open: gone.open, signal })), { code: 'not_found' });
    assert.deepEqual([never.asked.length, gone.asked.length], [1, 2]);
  });

  it('gives up when the server stays away for too long', async () => {
    const { open } = connections('id: 1\ndata: a\n\n');

    await assert.rejects(all(readServerSentEvents({ open, signal, awayMs: 50 })), {
      code: 'unavailable',
      message: /did not come back/,
    });
  });

  it('takes a silent connection for a dead one', async () => {
    let tries = 0;
    const open = async (_id: string | undefined, connection: AbortSignal): Promise<Response> => {
      tries += 1;
      if (tries > 1) return new Response(END);
      const silent = new ReadableStream({
        start: (controller) => {
          controller.enqueue(new TextEncoder().encode('id: 1\ndata: a\n\n'));
          connection.addEventListener('abort', () => controller.error(connection.reason));
        },
      });
      return new Response(silent);
    };

    assert.deepEqual(await all(readServerSentEvents({ open, signal, silenceMs: 300 })), ['a']);
    assert.equal(tries, 2);
  });

  it('ends with the reason of its signal', async () => {
    const stop = new AbortController();
    const { open } = connections('id: 1\ndata: a\n\n', 'id: 2\ndata: b\n\n');
    const reading = (async () => {
      for await (const { data } of readServerSentEvents({ open, signal: stop.signal })) {
        if (data === 'b') stop.abort(new TinsmithError('cancelled', 'enough'));
      }
    })();

    await assert.rejects(reading, { code: 'cancelled' });
  });
});
