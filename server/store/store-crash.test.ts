import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempDisposable } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { DatabaseSync } from 'node:sqlite';
import { describe, it } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { assertInvariants } from '#test/support/invariants.ts';
import { randomNumbers } from '#test/support/random-life.ts';
import { steppingClock } from '#test/support/records.ts';
import { openSqliteStore } from './sqlite-store.ts';

/** A change torn in two was found by 12 kills in 3 of 4 tries, by 20 in 3 of 3. By hand: TINSMITH_KILLS=50 node --test server/store/store-crash.test.ts */
const KILLS = Number(process.env['TINSMITH_KILLS'] ?? 12);
const WRITER = fileURLToPath(import.meta.resolve('#test/support/crash-writer.ts'));

interface Kill {
  /** Lines that the writer says first. */
  readonly afterLines: number;
  /** Then it goes on this long: where in its work that is, is left to chance, and must not matter. */
  readonly afterMs: number;
}

/** Runs the writer and kills it. Resolves to what it said was stored. */
async function writeUntilKilled(path: string, run: number, kill: Kill): Promise<ReadonlyMap<string, number>> {
  const writer = spawn(process.execPath, [WRITER, path, String(1_000 + run), String(run)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const answered = new Map<string, number>();
  let killing: Promise<unknown> | undefined;
  try {
    let count = 0;
    for await (const line of createInterface({ input: writer.stdout })) {
      const [session = '', sequence] = line.split(' ');
      answered.set(session, Number(sequence));
      count += 1;
      if (count === kill.afterLines) killing = setTimeout(kill.afterMs).then(() => writer.kill('SIGKILL'));
    }
  } finally {
    await killing;
    writer.kill('SIGKILL');
    if (writer.exitCode === null && writer.signalCode === null) await once(writer, 'exit');
  }
  assert.equal(writer.signalCode, 'SIGKILL', 'the writer ran until it was killed');
  return answered;
}

describe('a server that is killed while it writes', () => {
  it(`leaves states and events that agree, and all that it had answered, ${KILLS} times over`, async () => {
    await using folder = await mkdtempDisposable(join(tmpdir(), 'crash-'));
    const path = join(folder.path, 'tinsmith.db');
    const random = randomNumbers(42);
    for (let run = 1; run <= KILLS; run += 1) {
      const answered = await writeUntilKilled(path, run, { afterLines: 1 + random(20), afterMs: random(40) });

      await using opened = await openSqliteStore({ path, clock: steppingClock().now });
      await assertInvariants(opened.store);
      for (const [session, sequence] of answered) {
        const stored = await opened.store.agentSession(session);
        assert.ok(stored === undefined || stored.acknowledged >= sequence, `${session} lost report ${sequence}`);
      }
    }
    using database = new DatabaseSync(path);
    assert.equal(database.prepare('pragma integrity_check').get()?.['integrity_check'], 'ok');
    assert.deepEqual(database.prepare('pragma foreign_key_check').all(), []);
  });
});
