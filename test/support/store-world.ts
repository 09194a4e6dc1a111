/** A store in memory with three machines, and short forms for what tests of its verbs do all the time. */
import assert from 'node:assert/strict';
import { openSqliteStore } from '#server/store/sqlite-store.ts';
import type { Hardware, Store, Workflow } from '#server/store/store.ts';
import type { EnrollAttempt, PlannedWorkflow, Transitions } from '#server/store/transitions-contract.ts';
import { agentSession, hardwareManifest, macOf, type SteppingClock, someInventory, steppingClock } from './records.ts';

export interface StoreWorld extends AsyncDisposable {
  readonly clock: SteppingClock;
  readonly store: Store;
  readonly transitions: Transitions;
  hardware(name: string): Promise<Hardware>;
  workflow(name: string): Promise<Workflow>;
  apply(...workflows: readonly PlannedWorkflow[]): Promise<void>;
  /** Names of the stored events after an id. */
  eventNames(after?: number): Promise<readonly string[]>;
  newestEvent(): Promise<number>;
}

export const operator = { actor: 'operator', from: '127.0.0.1' } as const;

/** Machines `m1`, `m2`, `m3`; each with an open agent session `s1`, `s2`, `s3`. */
export async function startStoreWorld(): Promise<StoreWorld> {
  const clock = steppingClock();
  const opened = await openSqliteStore({ path: ':memory:', clock: clock.now });
  const { store, transitions } = opened;
  const hardware = [1, 2, 3].map((number) => hardwareManifest(`m${number}`, number));
  await transitions.apply({ hardware, templates: [], workflows: [] }, operator);
  for (const number of [1, 2, 3]) {
    await transitions.agentConnected(agentSession(`m${number}`, `s${number}`), { actor: 'agent' });
  }
  return {
    clock,
    store,
    transitions,
    async hardware(name) {
      const record = await store.hardware(name);
      assert.ok(record, `Hardware ${name} exists`);
      return record;
    },
    async workflow(name) {
      const record = await store.workflow(name);
      assert.ok(record, `Workflow ${name} exists`);
      return record;
    },
    async apply(...workflows) {
      await transitions.apply({ hardware: [], templates: [], workflows }, operator);
    },
    async eventNames(after = 0) {
      return (await store.events({ after })).map(({ name }) => name);
    },
    async newestEvent() {
      return (await store.events()).at(-1)?.id ?? 0;
    },
    [Symbol.asyncDispose]: () => opened[Symbol.asyncDispose](),
  };
}

/** A boot token of machine `m<number>` that lives for a minute. */
export async function startBoot(world: StoreWorld, number: number, hash: string): Promise<void> {
  const expiresAt = new Date(world.clock.now().getTime() + 60_000);
  const token = { hash, mac: macOf(number), expiresAt };
  await world.transitions.startBoot({ hardware: `m${number}`, token }, { actor: 'machine' });
}

/** What the agent of machine `m1` sends for a token. */
export function enrollment(tokenHash: string, change: Partial<EnrollAttempt> = {}): EnrollAttempt {
  return {
    tokenHash,
    mac: macOf(1),
    nonce: 'nonce',
    keyHash: 'key',
    bootId: 'boot',
    agentVersion: '0.1.0',
    inventory: someInventory,
    ...change,
  };
}
