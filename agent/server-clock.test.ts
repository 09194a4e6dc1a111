import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ServerClock } from './server-clock.ts';

const SERVER = Date.UTC(2026, 10, 27);

/** A machine whose clock says `own`, and which may or may not be set. */
function machine(own: number, canBeSet = true) {
  const clock = { own, corrections: 0 };
  const server = new ServerClock(
    () => clock.own,
    (date) => {
      clock.corrections += 1;
      if (canBeSet) clock.own = date.getTime();
    },
  );
  return { clock, server };
}

/** Setting takes its time, which counts. */
function assertServerTime(server: ServerClock): void {
  assert.ok(Math.abs(server.now().getTime() - SERVER) < 1000);
}

describe("the server's time", () => {
  it('sets a clock that is years off, and is right then', () => {
    const { clock, server } = machine(0);

    server.set(new Date(SERVER));

    assert.equal(clock.own, SERVER);
    assertServerTime(server);
  });

  it('is right where the clock cannot be set', () => {
    const { clock, server } = machine(0, false);

    server.set(new Date(SERVER));

    assert.equal(clock.corrections, 1);
    assertServerTime(server);
  });

  it('leaves a clock alone that is a few minutes off', () => {
    const { clock, server } = machine(SERVER - 290_000);

    server.set(new Date(SERVER));

    assert.deepEqual([clock.corrections, server.now().getTime()], [0, SERVER]);
  });
});
