import assert from 'node:assert/strict';
import { mkdtempDisposable } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { Kysely } from 'kysely';
import { steppingClock } from '#test/support/records.ts';
import { type Changes, changes } from './change.ts';
import { type EventLog, eventLog } from './event-log.ts';
import { migrate } from './migrations.ts';
import type { Tables } from './schema.ts';
import { secretBox, temporaryKey } from './secret-box.ts';
import { openSqliteDatabase, type SqliteDatabase } from './sqlite-dialect.ts';

const server = { actor: 'server' } as const;

interface ChangesWorld extends AsyncDisposable {
  readonly database: SqliteDatabase;
  readonly db: Kysely<Tables>;
  readonly events: EventLog;
  readonly changes: Changes;
  put(key: string, value: string): Promise<void>;
  keys(): Promise<readonly string[]>;
}

function startChanges(path: string): ChangesWorld {
  const database = openSqliteDatabase(path);
  migrate(database, path);
  const db = new Kysely<Tables>({ dialect: database.dialect });
  const events = eventLog(db, 0);
  const all = changes({ db, box: secretBox(temporaryKey()), events, clock: steppingClock().now, log: undefined });
  return {
    database,
    db,
    events,
    changes: all,
    put: async (key, value) =>
      all.run(server, async (change) => {
        await change.trx.insertInto('setting').values({ key, value, secret: 0 }).execute();
        await change.emit({ name: 'hardware.applied', data: { key } });
      }),
    keys: async () => (await db.selectFrom('setting').select('key').orderBy('key').execute()).map(({ key }) => key),
    [Symbol.asyncDispose]: () => db.destroy(),
  };
}

describe('changes that are asked for at once', () => {
  it('are made in order, and one that fails takes nothing of the others with it', async () => {
    await using world = startChanges(':memory:');
    const order: string[] = [];
    const one = async (key: string) => world.put(key, '').then(() => order.push(key));
    const failing = world.changes.run(server, async (change) => {
      await change.trx.insertInto('setting').values({ key: 'undone', value: '', secret: 0 }).execute();
      await change.emit({ name: 'hardware.applied', data: { key: 'undone' } });
      change.show({ name: 'action.log', data: {} });
      throw new Error('on purpose');
    });

    const outcomes = await Promise.allSettled([one('a'), one('b'), failing, one('a'), one('c')]);

    assert.deepEqual(
      outcomes.map(({ status }) => status),
      ['fulfilled', 'fulfilled', 'rejected', 'rejected', 'fulfilled'],
    );
    assert.deepEqual(order, ['a', 'b', 'c']);
    assert.deepEqual(await world.keys(), ['a', 'b', 'c']);
    assert.deepEqual(
      (await world.events.list({})).map(({ data }) => data['key']),
      ['a', 'b', 'c'],
    );
  });

  it('show followers nothing of a change before it is committed, and nothing of one that failed', async () => {
    await using world = startChanges(':memory:');
    const ended = new AbortController();
    const followed = world.events.follow({}, ended.signal)[Symbol.asyncIterator]();
    const failing = world.changes.run(server, async (change) => {
      await change.emit({ name: 'hardware.deleted', data: {} });
      throw new Error('on purpose');
    });
    const kept = world.put('kept', '');

    await assert.rejects(failing, /on purpose/);
    const first = (await followed.next()).value;
    await kept;
    ended.abort();

    assert.equal(first?.name, 'hardware.applied');
    assert.deepEqual(await world.keys(), ['kept']);
  });

  it('all fail on a full disk, keep the database whole, and work again once there is space', async () => {
    await using folder = await mkdtempDisposable(join(tmpdir(), 'full-'));
    await using world = startChanges(join(folder.path, 'full.db'));
    await world.put('before', '');
    const pages = Number(world.database.get('pragma page_count')?.['page_count']);
    world.database.exec(`pragma max_page_count = ${pages + 4}`);

    const outcomes = await Promise.allSettled([
      world.put('small', ''),
      world.put('big', 'x'.repeat(1_000_000)),
      world.put('late', ''),
    ]);

    for (const outcome of outcomes.slice(1)) {
      assert.equal(outcome.status, 'rejected');
      assert.deepEqual(
        [outcome.reason.code, outcome.reason.message.match(/full\.db.*free space/)?.length],
        ['unavailable', 1],
      );
    }
    world.database.exec('pragma max_page_count = 1000000');
    await world.put('after', 'x'.repeat(1_000_000));
    const kept = outcomes[0]?.status === 'fulfilled' ? ['after', 'before', 'small'] : ['after', 'before'];
    assert.deepEqual(await world.keys(), kept);
    assert.equal((await world.events.list({})).length, kept.length);
    assert.equal(world.database.get('pragma integrity_check')?.['integrity_check'], 'ok');
  });

  it('wait for the disk again after a relaxed one, whether that worked or not', async () => {
    await using world = startChanges(':memory:');
    await world.changes.runRelaxed(server, async (change) => {
      await change.trx.insertInto('setting').values({ key: 'relaxed', value: '', secret: 0 }).execute();
    });
    await assert.rejects(
      world.changes.runRelaxed(server, () => Promise.reject(new Error('on purpose'))),
      /on purpose/,
    );

    assert.deepEqual(await world.keys(), ['relaxed']);
    assert.equal(world.database.get('pragma synchronous')?.['synchronous'], 2);
  });
});

describe('the event log', () => {
  it('forgets what lies half a million events back, and nothing else', async () => {
    await using world = startChanges(':memory:');
    await world.put('old', '');
    for (const id of [500_999, 501_000, 501_001, 1_000_998]) {
      world.database.exec(
        `insert into event (id, at, name, actor, data_json) values (${id}, 0, 'hardware.applied', 'server', '{}')`,
      );
    }

    await world.put('before', '');
    const before = (await world.events.list({})).length;
    await world.put('after', '');

    assert.equal(before, 6);
    assert.deepEqual(
      (await world.events.list({})).map(({ id }) => id),
      [501_001, 1_000_998, 1_000_999, 1_001_000],
    );
  });
});
