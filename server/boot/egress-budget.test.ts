import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { EgressBudget } from './egress-budget.ts';
import { egressSetting } from './egress-setting.ts';

const MB = 1e6;

interface Machine {
  readonly connections: number;
  /** It wants no more than that in each second. */
  readonly mostEachSecond?: number;
  taken: number;
}

/** Runs a budget for some seconds, milliseconds at a time; every connection asks for its next chunk as soon as it got one. */
function share(rate: number, seconds: number, machines: readonly Machine[]): void {
  const budget = new EgressBudget(rate);
  const chunk = 100_000;
  let now = 0;
  const wants = ({ mostEachSecond = Number.POSITIVE_INFINITY, taken }: Machine): boolean =>
    taken < (mostEachSecond * now) / 1000;
  const idle: Machine[] = machines.flatMap((machine) => Array.from({ length: machine.connections }, () => machine));
  for (; now < seconds * 1000; now += 1) {
    for (const machine of idle.splice(0)) {
      if (!wants(machine)) idle.push(machine);
      else {
        budget.ask(machine, chunk, () => {
          machine.taken += chunk;
          idle.push(machine);
        });
      }
    }
    budget.run(now);
  }
}

function isNear(value: number, expected: number): void {
  assert.ok(Math.abs(value - expected) < expected * 0.05, `${value} is not near ${expected}`);
}

describe('egress budget', () => {
  it('lets through what it says and no more', () => {
    const one = { connections: 5, taken: 0 };
    share(100 * MB, 10, [one]);

    isNear(one.taken, 1000 * MB);
  });

  it('gives machines the same, whatever number of connections they have', () => {
    const [few, many] = [
      { connections: 1, taken: 0 },
      { connections: 20, taken: 0 },
    ];
    share(100 * MB, 10, [few, many]);

    isNear(few.taken, 500 * MB);
    isNear(many.taken, 500 * MB);
  });

  it('gives the others what a slow one leaves', () => {
    const slow = { connections: 1, mostEachSecond: 5 * MB, taken: 0 };
    const [a, b] = [
      { connections: 2, taken: 0 },
      { connections: 2, taken: 0 },
    ];
    share(100 * MB, 10, [slow, a, b]);

    isNear(slow.taken, 50 * MB);
    isNear(a.taken, 475 * MB);
    isNear(b.taken, 475 * MB);
  });

  it('saves nothing up while nobody asks', () => {
    const budget = new EgressBudget(1000);
    let granted = 0;
    assert.equal(budget.run(0), undefined);
    for (let at = 0; at < 100; at += 1) budget.ask({}, 100, () => (granted += 1));
    budget.run(1_000_000);

    assert.equal(granted, 1);
  });

  it('grants what is larger than the burst, and makes up for it', () => {
    const budget = new EgressBudget(1000);
    budget.ask({}, 5000, () => undefined);
    budget.ask({}, 1, () => undefined);

    assert.equal(budget.run(0), 4900);
  });

  it('keeps nothing for an ask that was withdrawn', () => {
    const budget = new EgressBudget(1000);
    const withdraw = budget.ask({}, 5000, () => assert.fail('it was granted'));
    withdraw();

    assert.ok(budget.isIdle);
    assert.equal(budget.run(0), undefined);
  });
});

describe('egress setting', () => {
  it('reads rates as networks and disks are sold', () => {
    assert.deepEqual(
      ['0', '', '1Gbit', '500Mbit', '110MB', '1.5Gbit/s', '2000 kbit'].map(egressSetting),
      [0, 0, 125e6, 62.5e6, 110e6, 187.5e6, 250e3],
    );
  });

  for (const text of ['fast', '-1Gbit', '1', '1000', '1Tbit', '1kbit', '1gbit', '1 G', '0Gbit']) {
    it(`refuses "${text}"`, () => {
      assert.throws(() => egressSetting(text), { code: 'invalid_input', message: /1Gbit/ });
    });
  }
});
