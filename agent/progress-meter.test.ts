import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { progressText } from './console-text.ts';
import { ProgressMeter } from './progress-meter.ts';

describe('the progress meter', () => {
  it('gives the rate of a steady stream from its first second on', () => {
    const { meter, clock } = make();
    const rates = Array.from({ length: 20 }, (_, index) => {
      clock.now += 500;
      return meter.perSecond((index + 1) * 50);
    });

    assert.deepEqual(new Set(rates), new Set([100]));
  });

  it('falls to nothing within six seconds of a stall', () => {
    const { meter, clock } = make();
    for (let index = 1; index <= 100; index++) {
      clock.now += 100;
      meter.perSecond(index * 1000);
    }
    let rate = Number.NaN;
    for (let index = 0; index < 60; index++) {
      clock.now += 100;
      rate = meter.perSecond(100_000);
    }

    assert.equal(rate, 0);
  });

  it('starts again when another try begins from nothing', () => {
    const { meter, clock } = make();
    clock.now += 1000;
    meter.perSecond(1_000_000);
    clock.now += 1000;

    assert.equal(meter.perSecond(0), 0);
    clock.now += 1000;
    assert.equal(meter.perSecond(10), 10);
  });

  it('survives a million reports at one instant', () => {
    const { meter } = make();
    for (let done = 0; done < 1_000_000; done++) assert.equal(meter.perSecond(done), 0);
  });
});

describe('progress on the console', () => {
  const cases: readonly (readonly [Parameters<typeof progressText>[0], string])[] = [
    [
      { done: 536_870_912, total: 2_147_483_648, perSecond: 220_200_960, unit: 'bytes' },
      '512 MiB of 2.00 GiB (25 %), 210 MiB/s, 8 s left',
    ],
    [{ done: 5, total: 0, perSecond: 1, unit: 'bytes' }, '5 B, 1 B/s'],
    [{ done: 5, perSecond: 0, unit: 'files' }, '5 files, 0 files/s'],
    [{ done: 12, total: 10, perSecond: 0, unit: 'files' }, '12 files of 10 files (100 %), 0 files/s'],
  ];
  for (const [progress, text] of cases) {
    it(`reads "${text}"`, () => assert.equal(progressText(progress), text));
  }
});

function make(): { meter: ProgressMeter; clock: { now: number } } {
  const clock = { now: 0 };
  return { meter: new ProgressMeter(() => clock.now), clock };
}
