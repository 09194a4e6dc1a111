/** Server-sent events of the admin API: resume, live events, logs, stop. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { EventStreamParser } from '#server/cli/server-sent-events.ts';
import { type ApiWorld, addMachine, bootMachine, runAction, startApiWorld } from '#test/support/api-world.ts';

describe('admin API: event streams', () => {
  it('resumes after the last id without a loss and without a repetition', async () => {
    await using world = await startApiWorld();
    await addMachine(world, 'one');
    const total = (await world.store.events()).length;
    await bootMachine(world, 'one');
    await runAction(world, 'one', 0);
    await runAction(world, 'one', 1);
    const all = (await world.store.events()).map(({ id }) => id);

    const seen: number[] = [];
    for (let wanted = 1; seen.length < all.length; wanted += 1) {
      const cut = Math.min(wanted, all.length - seen.length);
      const headers = seen.length === 0 ? {} : { 'last-event-id': String(seen.at(-1)) };
      const part = await readStream(world, '/api/v1/events/stream?after=0', (events) => events.length >= cut, {
        headers,
      });
      seen.push(...part.slice(0, cut).map(({ id }) => Number(id)));
    }

    assert.ok(total > 0);
    assert.deepEqual(seen, all);
  });

  it('shows live progress without an id, so that nobody resumes after it', async () => {
    await using world = await startApiWorld();
    await addMachine(world, 'one');
    await bootMachine(world, 'one');

    const reading = readStream(world, '/api/v1/events/stream?name=action.progress', (events) => events.length >= 3, {
      onOpen: () => runAction(world, 'one', 0),
    });
    const events = await reading;

    assert.deepEqual(
      events.map(({ id }) => id),
      ['', '', ''],
    );
    assert.equal(JSON.parse(events[0]?.data ?? '').data.done, 250_000_000);
  });

  it('follows a log to the end of its workflow, lines that came while nobody listened included', async () => {
    await using world = await startApiWorld();
    await addMachine(world, 'one');
    await bootMachine(world, 'one');
    await runAction(world, 'one', 0);

    const path = '/api/v1/workflows/one/logs/stream';
    const events = await readStream(world, path, (seen) => seen.at(-1)?.event === 'end', {
      onOpen: () => runAction(world, 'one', 1),
    });

    const texts = events.map(({ event, data }) => (event === 'end' ? JSON.parse(data).state : JSON.parse(data).action));
    assert.deepEqual(texts, [0, 1, 'succeeded']);
  });

  it('gives signs of life while nothing happens', async () => {
    await using world = await startApiWorld({ heartbeatMs: 5 });
    const controller = new AbortController();
    const response = await fetch(`${world.url}/api/v1/events/stream`, {
      headers: { authorization: `Bearer ${world.token}` },
      signal: controller.signal,
    });

    let received = '';
    for await (const chunk of response.body ?? []) {
      received += new TextDecoder().decode(chunk);
      if (received.split(': alive').length > 3) break;
    }

    assert.match(received, /: alive\n\n: alive/);
  });

  it('ends open streams when the server stops', async () => {
    const world = await startApiWorld();
    const response = await fetch(`${world.url}/api/v1/events/stream`, {
      headers: { authorization: `Bearer ${world.token}` },
    });

    const reading = response.text();
    await world[Symbol.asyncDispose]();

    assert.match(await reading.catch(() => 'cut'), /retry|cut/);
  });

  it('refuses a Last-Event-ID that is none', async () => {
    await using world = await startApiWorld();

    const answer = await world.call('GET', '/api/v1/events/stream', { headers: { 'last-event-id': '1e9' } });

    assert.deepEqual([answer.status, answer.error().code], [400, 'invalid_input']);
  });
});

interface Seen {
  readonly id: string;
  readonly event: string;
  readonly data: string;
}

interface ReadOptions {
  /** Runs once the stream's head is here. */
  readonly onOpen?: () => Promise<void>;
  readonly headers?: Readonly<Record<string, string>>;
}

/** Reads until `isEnough`, then cuts the connection. */
async function readStream(
  world: ApiWorld,
  path: string,
  isEnough: (events: readonly Seen[]) => boolean,
  { onOpen, headers = {} }: ReadOptions = {},
): Promise<readonly Seen[]> {
  const controller = new AbortController();
  const signal = AbortSignal.any([controller.signal, AbortSignal.timeout(60_000)]);
  const response = await fetch(world.url + path, {
    headers: { authorization: `Bearer ${world.token}`, ...headers },
    signal,
  });
  const opened = onOpen?.();
  const parser = new EventStreamParser();
  const events: Seen[] = [];
  for await (const chunk of response.body ?? []) {
    events.push(...parser.push(new TextDecoder().decode(chunk)));
    if (isEnough(events)) break;
  }
  controller.abort();
  await opened;
  return events;
}
