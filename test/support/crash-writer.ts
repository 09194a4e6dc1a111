/**
 * Changes a store on the disk at random until it is killed. After each deed it says on standard output which reports were
 * answered: `<session> <sequence>`. Arguments: database, seed, number of this run.
 */
import { workflowEngine } from '#server/provision/workflow-engine.ts';
import { openSqliteStore } from '#server/store/sqlite-store.ts';
import { LEASE_MS, MAX_ATTEMPTS } from './engine-world.ts';
import { RandomLife } from './random-life.ts';
import { steppingClock } from './records.ts';

const [path = '', seed = '', run = ''] = process.argv.slice(2);
const clock = steppingClock(Date.UTC(2026, 0, 1 + Number(run)));
const { store, transitions } = await openSqliteStore({ path, clock: clock.now });
const start = () =>
  workflowEngine({ store, transitions, clock: clock.now, leaseMs: LEASE_MS, maxAttempts: MAX_ATTEMPTS });
let engine = start();
const life = new RandomLife(
  {
    store,
    transitions,
    now: clock.now,
    engine: () => engine,
    restartServer() {
      engine = start();
    },
    async pass(ms, alive) {
      clock.advance(ms);
      for (const session of alive) engine.heartbeat(session);
      await engine.sweep();
    },
  },
  Number(seed),
  `run${run}-`,
);
await life.begin();
const told = new Map<string, number>();
for (;;) {
  await life.step();
  for (const [session, sequence] of life.acknowledged()) {
    if (told.get(session) === sequence) continue;
    told.set(session, sequence);
    process.stdout.write(`${session} ${sequence}\n`);
  }
}
