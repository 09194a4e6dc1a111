import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Headway } from './headway.ts';

const inLine = { kind: 'inLine', turn: { place: 2, afterMs: 1000 }, heldMs: 0 } as const;
const trouble = { kind: 'trouble', text: 'http://host/a?sig=secret was cut' } as const;

function make(): { headway: Headway; clock: { now: number } } {
  const clock = { now: 0 };
  return { headway: new Headway(() => clock.now), clock };
}

describe('whether an action gets on', () => {
  it('is asked for by nobody while it does, nor by one that counts nothing', () => {
    const { headway, clock } = make();

    clock.now = 60_000;
    assert.equal(headway.standing(), undefined);
    headway.moved({ done: 1, total: 9 });
    clock.now += 4_999;

    assert.equal(headway.standing(), undefined);
  });

  it('says since when nothing is done, and the last trouble without what is secret in it, until something is', () => {
    const { headway, clock } = make();
    headway.moved({ done: 1, total: 9 });

    clock.now = 5_000;
    assert.deepEqual(headway.standing(), { idleMs: 5_000 });
    headway.stands(trouble);
    clock.now = 65_000;
    assert.deepEqual(headway.standing(), { idleMs: 65_000, trouble: 'http://host/a?(redacted) was cut' });
    headway.moved({ done: 1, total: 9 });
    assert.equal(headway.standing()?.idleMs, 65_000);
    headway.moved({ done: 2, total: 9 });
    assert.equal(headway.standing(), undefined);
  });

  it('is no question once everything is done that is counted', () => {
    const { headway, clock } = make();
    headway.moved({ done: 9, total: 9 });

    clock.now = 60_000;

    assert.equal(headway.standing(), undefined);
  });

  it('says at once that it waits for its turn, and for how long it only did that', () => {
    const { headway, clock } = make();

    clock.now = 1_000;
    headway.stands({ ...inLine, heldMs: 800 });
    assert.deepEqual(headway.standing(), { idleMs: 1_000, waitsFor: 'its turn (2nd in line)' });
    clock.now = 42_200;
    headway.stands(inLine);
    assert.equal(headway.waitedMs(), 42_000);

    headway.moved({ done: 1 });
    clock.now = 99_000;
    assert.equal(headway.waitedMs(), 42_000);
  });

  it('counts no time as waiting in which something was done, or something went wrong', () => {
    const { headway, clock } = make();

    clock.now = 10_000;
    headway.moved({ done: 1 });
    clock.now = 11_000;
    // Others of its requests brought something while this one was held.
    headway.stands({ ...inLine, heldMs: 9_000 });
    assert.equal(headway.waitedMs(), 1_000);
    clock.now = 12_000;
    headway.stands(trouble);
    clock.now = 60_000;

    assert.equal(headway.waitedMs(), 2_000);
  });

  it('ends to count a line that does not end', () => {
    const { headway, clock } = make();
    headway.stands(inLine);

    clock.now = 13 * 3_600_000;

    assert.equal(headway.waitedMs(), 12 * 3_600_000);
  });
});
