/** What must be true of a store at any moment, told from its event log alone: no event without its state, no state without its event. */
import assert from 'node:assert/strict';
import { actionLife } from '#server/life/action-life.ts';
import type { EventName, TinsmithEvent } from '#server/life/events.ts';
import { type WorkflowState, workflowLife } from '#server/life/workflow-life.ts';
import type { Store, Workflow } from '#server/store/store.ts';

/** Throws an AssertionError that names the first record that does not agree with the log. */
export async function assertInvariants(store: Store): Promise<void> {
  const events = await store.events();
  await assertMachines(store, events);
  await assertWorkflows(store, events);
  await assertActions(store, events);
  await assertOneRunEach(store);
  await assertNodes(store, events);
}

/** Events of a machine that leave its stage as it is. */
const SAYINGS: ReadonlySet<EventName> = new Set([
  'machine.discovered',
  'machine.ready',
  'machine.phonedHome',
  'machine.bootstrapFailed',
]);

async function assertMachines(store: Store, events: readonly TinsmithEvent[]): Promise<void> {
  const stages = new Map<string, string>();
  const netboot = new Map<string, boolean>();
  for (const { name, hardware, data } of events) {
    if (hardware === undefined) continue;
    if (name === 'hardware.applied' && data['outcome'] === 'created') {
      stages.set(hardware, 'discovered');
      netboot.set(hardware, true);
    }
    if (name === 'hardware.netboot') {
      assert.notEqual(data['netboot'], netboot.get(hardware), `netboot of ${hardware} changed to what it was`);
      netboot.set(hardware, data['netboot'] === true);
    }
    if (name === 'machine.wiped') stages.set(hardware, 'discovered');
    else if (name.startsWith('machine.') && !SAYINGS.has(name)) {
      stages.set(hardware, name.slice('machine.'.length));
    }
  }
  for (const { name, stage, netboot: isOn } of await store.listHardware()) {
    assert.equal(stage, stages.get(name), `stage of ${name}`);
    assert.equal(isOn, netboot.get(name), `netboot of ${name}`);
  }
}

const STATES: Partial<Record<EventName, WorkflowState>> = {
  'workflow.created': 'pending',
  'workflow.started': 'running',
  'workflow.advanced': 'running',
  'workflow.lost': 'waiting',
  'workflow.succeeded': 'succeeded',
  'workflow.failed': 'failed',
  'workflow.timedOut': 'timedOut',
  'workflow.cancelled': 'cancelled',
};

async function assertWorkflows(store: Store, events: readonly TinsmithEvent[]): Promise<void> {
  const stored = await store.listWorkflows();
  assert.deepEqual(new Map(stored.map(({ name, state }) => [name, state])), statesOf(events));
  for (const workflow of stored) assertWhole(workflow);
}

/** The states that workflows should have, by the log; a final one is followed by nothing but a retry or its deletion. */
function statesOf(events: readonly TinsmithEvent[]): Map<string, WorkflowState> {
  const states = new Map<string, WorkflowState>();
  for (const { id, name, workflow, data } of events) {
    if (workflow === undefined) continue;
    const former = states.get(workflow);
    const isRetry = name === 'workflow.retried' && data['automatic'] === false;
    const next = isRetry ? 'pending' : STATES[name];
    if (name === 'workflow.deleted') states.delete(workflow);
    if (next === undefined) continue;
    const isRewritten = former !== undefined && workflowLife.isFinal(former) && !isRetry;
    assert.ok(!isRewritten, `event ${id}: ${name} after ${workflow} was ${former}`);
    states.set(workflow, next);
  }
  return states;
}

function assertWhole({ name, state, finishedAt, actions }: Workflow): void {
  const isOver = workflowLife.isFinal(state);
  assert.equal(finishedAt !== undefined, isOver, `${name} has its end when it is ${state}`);
  const open = actions.filter((action) => !actionLife.isFinal(action.state));
  assert.ok(!isOver || open.length === 0, `${name} is ${state} with open actions`);
  const running = actions.filter((action) => action.state === 'running').length;
  assert.ok(
    running === 0 || (running === 1 && state === 'running'),
    `${name} is ${state} with ${running} running actions`,
  );
  if (state === 'succeeded') assert.deepEqual(new Set(actions.map((action) => action.state)), new Set(['succeeded']));
}

async function assertActions(store: Store, events: readonly TinsmithEvent[]): Promise<void> {
  const deleted = new Map<string, number>();
  for (const event of events) if (event.name === 'workflow.deleted') deleted.set(event.workflow ?? '', event.id);
  for (const { name } of await store.listWorkflows()) {
    const own = events.filter(({ workflow, id }) => workflow === name && id > (deleted.get(name) ?? 0));
    for (const { attempt, task, action, state } of await store.actionHistory(name)) {
      const of = own.filter(
        ({ data }) => data['attempt'] === attempt && data['task'] === task && data['action'] === action,
      );
      const finished = of.filter((event) => event.name === 'action.finished');
      const where = `action ${attempt}.${task}.${action} of ${name}`;
      assert.ok(of.filter((event) => event.name === 'action.started').length <= 1, `${where} started once`);
      assert.equal(finished.length, actionLife.isFinal(state) && state !== 'skipped' ? 1 : 0, `${where} is ${state}`);
      if (finished.length === 1) assert.equal(finished[0]?.data['state'], state, where);
    }
  }
}

async function assertOneRunEach(store: Store): Promise<void> {
  const busy = new Map<string, string>();
  for (const { name, hardware } of await store.listWorkflows({ states: ['running', 'waiting'] })) {
    for (const machine of new Set(hardware)) {
      assert.equal(busy.get(machine), undefined, `${machine} is used by ${name} and ${busy.get(machine)}`);
      busy.set(machine, name);
    }
  }
}

/** A machine is in one cluster at most, the one whose claim is the newest in the log; without one it has no user data of a node. */
async function assertNodes(store: Store, events: readonly TinsmithEvent[]): Promise<void> {
  const claims = new Map<string, string>();
  for (const { id, name, hardware = '', data } of events) {
    if (name === 'node.claimed') {
      assert.equal(claims.get(hardware), undefined, `event ${id}: ${hardware} is claimed while it is a node`);
      claims.set(hardware, JSON.stringify(data['cluster']));
    }
    if (name === 'node.released') claims.delete(hardware);
  }
  const hardware = await store.listHardware();
  assert.deepEqual(
    new Map(
      hardware.flatMap(({ name, claim }) =>
        claim === undefined ? [] : [[name, JSON.stringify(claim.cluster)] as const],
      ),
    ),
    new Map([...claims].toSorted(([a], [b]) => a.localeCompare(b))),
  );
  for (const { name, claim, hasUserData } of hardware) {
    const state = (await store.node(name))?.state;
    const mayHave = claim !== undefined && state !== 'claimed' && state !== 'releasing';
    assert.ok(!hasUserData || mayHave, `${name} has user data as ${state ?? 'no node'}`);
  }
}
