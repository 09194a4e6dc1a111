import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { createRefusalLimiter } from './refusal-limiter.ts';

describe('the limit on refused requests', () => {
  it('lets an address be refused twenty times at once, and then once every three seconds', () => {
    const { limiter, clock } = make();
    let refusals = 0;
    for (let second = 0; second < 60; second++) {
      while (limiter.waitMs('10.0.0.1') === 0) {
        limiter.noteRefusal('10.0.0.1');
        refusals += 1;
      }
      clock.now += 1000;
    }

    assert.equal(refusals, 20 + 19);
  });

  it('says how long to wait, and holds nobody else up', () => {
    const { limiter, clock } = make();
    for (let count = 0; count < 20; count++) limiter.noteRefusal('10.0.0.1');

    assert.equal(limiter.waitMs('10.0.0.1'), 3000);
    assert.equal(limiter.waitMs('10.0.0.2'), 0);
    clock.now += 2999;
    assert.equal(limiter.waitMs('10.0.0.1'), 1);
    clock.now += 1;
    assert.equal(limiter.waitMs('10.0.0.1'), 0);
  });

  it('forgets the addresses that were refused longest ago when there are too many', () => {
    const { limiter } = make();
    for (let count = 0; count < 30; count++) limiter.noteRefusal('first');
    for (let count = 0; count < 30; count++) limiter.noteRefusal('second');
    for (let address = 0; address < 9_999; address++) limiter.noteRefusal(`a${address}`);

    assert.equal(limiter.waitMs('first'), 0);
    assert.ok(limiter.waitMs('second') > 0);
  });
});

function make(): { limiter: ReturnType<typeof createRefusalLimiter>; clock: { now: number } } {
  const clock = { now: 5_000_000 };
  return { limiter: createRefusalLimiter(() => clock.now), clock };
}
