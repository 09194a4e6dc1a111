import assert from 'node:assert/strict';
import type { Life } from '#server/life/define-life.ts';

/** Asserts that a life has these steps, written `state event next`, and refuses every other event in every state. */
export function assertLife<State extends string, Event extends string>(
  life: Life<State, Event>,
  steps: readonly string[],
): void {
  const written = new Map(steps.map((step) => [step.split(' ').slice(0, 2).join(' '), step.split(' ')[2]]));
  const events = new Set(steps.map((step) => step.split(' ')[1] as Event));
  for (const state of life.states) {
    let isFinal = true;
    for (const event of events) {
      const next = written.get(`${state} ${event}`);
      assert.equal(life.allows(state, event), next !== undefined, `${state} allows ${event}`);
      if (next === undefined) {
        assert.throws(() => life.next(state, event), { code: 'illegal_transition' }, `${state} refuses ${event}`);
      } else {
        assert.equal(life.next(state, event), next, `${state} ${event}`);
        isFinal = false;
      }
    }
    assert.equal(life.isFinal(state), isFinal, `${state} is final`);
  }
  assert.equal(written.size, steps.length, 'no step is written twice');
  assert.throws(() => life.next(life.states[0] as State, 'no such event' as Event), { code: 'illegal_transition' });
}
