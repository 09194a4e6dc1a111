import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Kysely, type KyselyPlugin } from 'kysely';
import { plannedWorkflow } from '#test/support/records.ts';
import { operator, type StoreWorld, startStoreWorld } from '#test/support/store-world.ts';
import type { TinsmithEvent } from '../life/events.ts';
import { eventLog } from './event-log.ts';
import { migrate } from './migrations.ts';
import type { Tables } from './schema.ts';
import { openSqliteDatabase } from './sqlite-dialect.ts';
import type { EventFilter } from './store.ts';

/** Reads until `count` events came, then ends. */
async function take(world: StoreWorld, filter: EventFilter, count: number): Promise<readonly TinsmithEvent[]> {
  const ended = new AbortController();
  const events: TinsmithEvent[] = [];
  for await (const event of world.store.followEvents(filter, ended.signal)) {
    events.push(event);
    if (events.length === count) ended.abort();
  }
  return events;
}

async function toggle(world: StoreWorld, times: number): Promise<void> {
  let { netboot } = await world.hardware('m1');
  const switches = Array.from({ length: times }, () => {
    netboot = !netboot;
    return world.transitions.setNetboot('m1', netboot, operator);
  });
  await Promise.all(switches);
}

describe('following events', () => {
  it('begins with what happens after the call when no event is named, even if it is read later', async () => {
    await using world = await startStoreWorld();
    const ended = new AbortController();
    const events = world.store.followEvents({}, ended.signal)[Symbol.asyncIterator]();
    const before = await world.newestEvent();

    await toggle(world, 2);
    const first = await events.next();
    const second = await events.next();
    ended.abort();

    assert.deepEqual([first.value?.id, second.value?.id], [before + 1, before + 2]);
    assert.equal((await events.next()).done, true);
  });

  it('neither loses nor repeats an event however reading and writing meet', async () => {
    await using world = await startStoreWorld();
    await toggle(world, 40);
    const first = (await world.store.events())[0]?.id ?? 0;
    const total = (await world.store.events({ after: first })).length + 60;

    const following = [1, 2, 3].map(async () => take(world, { after: first }, total));
    await toggle(world, 60);
    const seen = await Promise.all(following);

    const stored = (await world.store.events({ after: first })).map(({ id }) => id);
    for (const events of seen)
      assert.deepEqual(
        events.map(({ id }) => id),
        stored,
      );
  });

  it('catches up from the table after more events than its queue holds', async () => {
    await using world = await startStoreWorld();
    const ended = new AbortController();
    const events = world.store.followEvents({}, ended.signal)[Symbol.asyncIterator]();
    const before = await world.newestEvent();
    await toggle(world, 1);
    const ids = [(await events.next()).value?.id];

    await toggle(world, 2_300);
    while (ids.length < 2_301) ids.push((await events.next()).value?.id);
    ended.abort();

    assert.deepEqual(
      ids,
      Array.from({ length: 2_301 }, (_, index) => before + 1 + index),
    );
  });

  it('drops live-only events of a slow follower before any stored one', async () => {
    await using world = await startStoreWorld();
    await world.apply(plannedWorkflow('w', ['m1']));
    const ref = { workflow: 'w', attempt: 1, task: 0 };
    const agent = { actor: 'agent' } as const;
    await world.transitions.taskAccepted(ref, { session: 's1', sequence: 1, hardware: 'm1' }, agent);
    await world.transitions.actionStarted(
      { ...ref, action: 0 },
      world.clock.now(),
      { session: 's1', sequence: 2, hardware: 'm1' },
      agent,
    );
    const ended = new AbortController();
    const events = world.store.followEvents({}, ended.signal)[Symbol.asyncIterator]();
    const before = await world.newestEvent();
    await toggle(world, 1);
    await events.next(); // caught up: from now on it is told live

    const progress = { done: 1, perSecond: 1, unit: 'bytes' };
    const reports = Array.from({ length: 1_200 }, () =>
      world.transitions.actionProgress({ ...ref, action: 0 }, 'm1', progress),
    );
    await Promise.all(reports);
    await toggle(world, 100);
    const seen: TinsmithEvent[] = [];
    while (seen.at(-1)?.id !== before + 101) {
      const next = await events.next();
      assert.ok(!next.done);
      seen.push(next.value);
    }
    ended.abort();

    const stored = seen.filter(({ id }) => id !== 0).map(({ id }) => id);
    assert.deepEqual(
      stored,
      Array.from({ length: 100 }, (_, index) => before + 2 + index),
    );
    assert.ok(seen.length <= 1_000);
  });

  it('filters by machine, workflow and name, and ends at its limit', async () => {
    await using world = await startStoreWorld();
    await world.apply(plannedWorkflow('w', ['m2']));
    await toggle(world, 3);

    const ofMachine = await take(world, { after: 0, hardware: 'm1', names: ['hardware.netboot'] }, 3);
    const ofWorkflow = await take(world, { after: 0, workflow: 'w' }, 1);
    const limited = await take(world, { after: 0, limit: 2 }, 99);

    assert.deepEqual(new Set(ofMachine.map(({ hardware }) => hardware)), new Set(['m1']));
    assert.equal(ofWorkflow[0]?.name, 'workflow.created');
    assert.equal(ofWorkflow[0].hardware, 'm2');
    assert.equal(limited.length, 2);
  });

  it('wakes a follower whose filter left out everything that was stored before', async () => {
    await using world = await startStoreWorld();
    const following = take(world, { after: 0, workflow: 'w' }, 1);
    await toggle(world, 5);

    await world.apply(plannedWorkflow('w', ['m1']));

    assert.equal((await following)[0]?.name, 'workflow.created');
  });

  it('shows log lines live', async () => {
    await using world = await startStoreWorld();
    await world.apply(plannedWorkflow('w', ['m1']));
    const ref = { workflow: 'w', attempt: 1, task: 0 };
    const agent = { actor: 'agent' } as const;
    const ended = new AbortController();
    await world.transitions.taskAccepted(ref, { session: 's1', sequence: 1, hardware: 'm1' }, agent);
    const following = world.store.followEvents({ names: ['action.log'] }, ended.signal);
    const events = following[Symbol.asyncIterator]();

    const lines = [{ at: world.clock.now(), stream: 'stdout' as const, text: 'hello' }];
    await world.transitions.actionLog(
      { ...ref, action: 0 },
      lines,
      { session: 's1', sequence: 2, hardware: 'm1' },
      agent,
    );
    const event = (await events.next()).value;
    ended.abort();

    assert.equal(event?.id, 0);
    assert.deepEqual(event.data['lines'], [{ at: world.clock.now().toISOString(), stream: 'stdout', text: 'hello' }]);
    assert.deepEqual(await world.store.events({ names: ['action.log'] }), []);
  });

  it('ends at once with a signal that is aborted already, and when its reader leaves', async () => {
    await using world = await startStoreWorld();
    const none = [];
    for await (const event of world.store.followEvents({ after: 0 }, AbortSignal.abort())) none.push(event);
    const ended = new AbortController();
    for await (const event of world.store.followEvents({ after: 0 }, ended.signal)) {
      assert.ok(event.id > 0);
      break;
    }

    assert.deepEqual(none, []);
    await toggle(world, 1);
    ended.abort();
  });

  it('hears of an event that is stored between its look at the table and its change to live ones', async () => {
    const database = openSqliteDatabase(':memory:');
    migrate(database, ':memory:');
    const add = (id: number) =>
      database.exec(`insert into event values (${id}, 0, 'machine.ready', 'm1', null, 'server', null, '{}')`);
    add(1);
    let isFirstPage = true;
    /** Runs after the rows of a query are read and before they are handed over. */
    const between: KyselyPlugin = {
      transformQuery: ({ node }) => node,
      async transformResult({ result }) {
        if (isFirstPage) {
          isFirstPage = false;
          add(2);
          log.publish([{ id: 2, at: new Date(0), name: 'machine.ready', hardware: 'm1', actor: 'server', data: {} }]);
        }
        return result;
      },
    };
    const db = new Kysely<Tables>({ dialect: database.dialect, plugins: [between] });
    const log = eventLog(db, 1);
    const ended = new AbortController();
    const ids: number[] = [];
    try {
      for await (const { id } of log.follow({ after: 0, limit: 2 }, ended.signal)) ids.push(id);
    } finally {
      ended.abort();
      await db.destroy();
    }

    assert.deepEqual(ids, [1, 2]);
  });
});
