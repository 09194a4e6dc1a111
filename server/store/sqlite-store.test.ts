import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempDisposable, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { describe, it } from 'node:test';
import { hardwareManifest, plannedWorkflow, steppingClock } from '#test/support/records.ts';
import { openSqliteStore } from './sqlite-store.ts';

const operator = { actor: 'operator' } as const;
const clock = steppingClock().now;

describe('SQLite store', () => {
  it('remembers everything over a restart', async () => {
    await using folder = await mkdtempDisposable(join(tmpdir(), 'store-'));
    const path = join(folder.path, 'tinsmith.db');
    const first = await openSqliteStore({ path, clock });
    const change = {
      hardware: [hardwareManifest('m', 1, { userData: 'secret text' })],
      templates: [],
      workflows: [plannedWorkflow('w', ['m'])],
    };
    await first.transitions.apply(change, operator);
    await first.store.putSetting('ca.key', 'secret key', { secret: true });
    const before = [await first.store.hardware('m'), await first.store.workflow('w'), await first.store.events()];
    await first.store.close();

    await using second = await openSqliteStore({ path, clock });

    assert.deepEqual(
      [await second.store.hardware('m'), await second.store.workflow('w'), await second.store.events()],
      before,
    );
    assert.equal(await second.store.userData('m'), 'secret text');
    assert.equal(await second.store.setting('ca.key'), 'secret key');
  });

  it('writes files that only their owner can read, and no secret in any of them', async () => {
    await using folder = await mkdtempDisposable(join(tmpdir(), 'store-'));
    const path = join(folder.path, 'tinsmith.db');
    await using opened = await openSqliteStore({ path, clock });
    const hardware = [hardwareManifest('m', 1, { userData: 'PLAIN-USER-DATA' })];
    const planned = plannedWorkflow('w', ['m']);
    const [task] = planned.rendered.tasks;
    assert.ok(task);
    const actions = task.actions.map((action) => ({ ...action, environment: { CONTENTS: 'PLAIN-ENVIRONMENT' } }));
    const rendered = { ...planned.rendered, tasks: [{ ...task, actions }] };
    await opened.transitions.apply({ hardware, templates: [], workflows: [{ ...planned, rendered }] }, operator);
    await opened.store.putSetting('k', 'PLAIN-SETTING', { secret: true });

    for (const name of await readdir(folder.path)) {
      const file = join(folder.path, name);
      assert.equal((await stat(file)).mode & 0o777, 0o600, name);
      assert.ok(!(await readFile(file, 'latin1')).includes('PLAIN-'), name);
    }
    assert.equal(
      (await opened.store.workflow('w'))?.rendered.tasks[0]?.actions[0]?.environment['CONTENTS'],
      'PLAIN-ENVIRONMENT',
    );
  });

  it('is refused to a second process, and free as soon as the first one is killed', async () => {
    await using folder = await mkdtempDisposable(join(tmpdir(), 'store-'));
    const path = join(folder.path, 'tinsmith.db');
    const script = `const { openSqliteStore } = await import(${JSON.stringify(import.meta.resolve('./sqlite-store.ts'))});
      await openSqliteStore({ path: ${JSON.stringify(path)}, clock: () => new Date() });
      process.stdout.write('open'); setInterval(() => {}, 60_000);`;
    const holder = spawn(process.execPath, ['--input-type=module', '--eval', script], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    try {
      await once(holder.stdout, 'data');

      await assert.rejects(openSqliteStore({ path, clock }), {
        code: 'conflict',
        message: /tinsmith\.db: another tinsmith process has it open/,
      });
    } finally {
      holder.kill('SIGKILL');
      await once(holder, 'exit');
    }

    await using opened = await openSqliteStore({ path, clock });
    assert.deepEqual(await opened.store.listHardware(), []);
  });

  it('refuses a database that a newer version wrote, and leaves it as it is', async () => {
    await using folder = await mkdtempDisposable(join(tmpdir(), 'store-'));
    const path = join(folder.path, 'tinsmith.db');
    await (await openSqliteStore({ path, clock })).store.close();
    using newer = new DatabaseSync(path);
    newer.exec('pragma user_version = 1000');
    newer.close();

    await assert.rejects(openSqliteStore({ path, clock }), { code: 'unsupported', message: /schema 1000/ });

    using after = new DatabaseSync(path);
    assert.equal(after.prepare('pragma user_version').get()?.['user_version'], 1000);
  });

  it('refuses a file that is no database', async () => {
    await using folder = await mkdtempDisposable(join(tmpdir(), 'store-'));
    const path = join(folder.path, 'tinsmith.db');
    await writeFile(path, 'this is a letter, not a database'.repeat(100));

    await assert.rejects(openSqliteStore({ path, clock }), { code: 'unavailable', message: /tinsmith\.db/ });
    await assert.rejects(openSqliteStore({ path: join(folder.path, 'no', 'folder.db'), clock }), {
      code: 'unavailable',
    });
  });

  it('refuses to start with another key than the one that its secrets were sealed with', async () => {
    await using folder = await mkdtempDisposable(join(tmpdir(), 'store-'));
    const path = join(folder.path, 'tinsmith.db');
    await (await openSqliteStore({ path, clock })).store.close();
    await rm(join(folder.path, 'secret.key'));

    await assert.rejects(openSqliteStore({ path, clock }), {
      code: 'invalid_input',
      message: /restore the secret\.key/,
    });
  });

  it('has tables that later versions can rely on: strict, with foreign keys', async () => {
    await using folder = await mkdtempDisposable(join(tmpdir(), 'store-'));
    const path = join(folder.path, 'tinsmith.db');
    await (await openSqliteStore({ path, clock })).store.close();
    using database = new DatabaseSync(path);

    const tables = database
      .prepare(`select name, strict from pragma_table_list where type = 'table' and name not like 'sqlite_%'`)
      .all();

    assert.deepEqual(
      tables.filter(({ strict }) => strict !== 1),
      [],
    );
    assert.equal(database.prepare('pragma journal_mode').get()?.['journal_mode'], 'wal');
    assert.equal(database.prepare('pragma integrity_check').get()?.['integrity_check'], 'ok');
  });
});

describe('reading', () => {
  it('finds machines by any interface’s MAC or address, and lists them by labels', async () => {
    await using opened = await openSqliteStore({ path: ':memory:', clock });
    const { store, transitions } = opened;
    const second = { dhcp: { mac: '02:00:00:00:00:AA', ip: { address: 'FD00::1', netmask: 'ffff::' } } };
    const { spec } = hardwareManifest('b', 1);
    const hardware = [
      {
        ...hardwareManifest('b', 1),
        labels: { type: 'cp', rack: '1' },
        spec: { ...spec, interfaces: [...spec.interfaces, second, {}] },
      },
      { ...hardwareManifest('a', 2), labels: { type: 'cp' } },
    ];
    await transitions.apply({ hardware, templates: [], workflows: [] }, operator);

    assert.equal((await store.hardwareByMac('02-00-00-00-00-aa'))?.name, 'b');
    assert.equal((await store.hardwareByMac('0200.0000.00AA'))?.name, 'b');
    assert.equal(await store.hardwareByMac('nonsense'), undefined);
    assert.equal((await store.hardwareByAddress('fd00::1'))?.name, 'b');
    assert.equal((await store.hardwareByAddress('::ffff:10.9.0.2'))?.name, 'a');
    assert.deepEqual(
      (await store.listHardware()).map(({ name }) => name),
      ['a', 'b'],
    );
    assert.deepEqual(
      (await store.listHardware({ labels: { type: 'cp', rack: '1' } })).map(({ name }) => name),
      ['b'],
    );
    assert.deepEqual(await store.listHardware({ labels: { type: 'dp' } }), []);
  });

  it('lists workflows in their order of creation, by machine and state, each with its own actions', async () => {
    await using opened = await openSqliteStore({ path: ':memory:', clock });
    const { store, transitions } = opened;
    const hardware = [hardwareManifest('m1', 1), hardwareManifest('m2', 2)];
    const workflows = ['z', 'y', 'x'].map((name, index) =>
      plannedWorkflow(name, index === 2 ? ['m2', 'm1'] : ['m1'], { images: Array<string>(index + 1).fill('cexec') }),
    );
    await transitions.apply({ hardware, templates: [], workflows }, operator);
    await transitions.cancelWorkflow('y', 'no', operator);
    const names = async (filter?: Parameters<typeof store.listWorkflows>[0]) =>
      (await store.listWorkflows(filter)).map(({ name }) => name);

    assert.deepEqual(await names(), ['z', 'y', 'x']);
    assert.deepEqual(await names({ hardware: 'm2' }), ['x']);
    assert.deepEqual(await names({ hardware: 'm1', states: ['pending'] }), ['z', 'x']);
    assert.deepEqual(await names({ states: [] }), []);
    assert.deepEqual(
      (await store.listWorkflows()).map(({ actions }) => actions.length),
      [1, 2, 6],
    );
  });

  it('lists settings by prefix, wildcards taken as they are', async () => {
    await using opened = await openSqliteStore({ path: ':memory:', clock });
    const { store } = opened;
    for (const key of ['lease/a', 'lease/b', 'leaseX', 'lease%', 'l']) await store.putSetting(key, `of ${key}`);
    await store.putSetting('lease/b', 'sealed', { secret: true });
    await store.deleteSetting('lease/a');

    assert.deepEqual(await store.listSettings('lease/'), [{ key: 'lease/b', value: 'sealed' }]);
    assert.deepEqual(await store.listSettings('lease%'), [{ key: 'lease%', value: 'of lease%' }]);
    assert.equal((await store.listSettings('')).length, 4);
    assert.equal(await store.setting('lease/a'), undefined);
  });
});
