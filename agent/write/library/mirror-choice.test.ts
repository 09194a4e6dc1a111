import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { MirrorChoice } from './mirror-choice.ts';

const TIMING = { firstPauseMs: 100, longestPauseMs: 1000 };

function mirrorAt(choice: MirrorChoice, now: number): number {
  return choice.next(now).mirror;
}

describe('choice of a mirror', () => {
  it('asks the best one as long as it works', () => {
    const choice = new MirrorChoice(3, TIMING);
    choice.worked(0);

    assert.deepEqual(choice.next(5), { mirror: 0, waitMs: 0 });
  });

  it('leaves one that fails for the next, and comes back with one reader first', () => {
    const choice = new MirrorChoice(2, TIMING);
    choice.failed(0, 0, 0);

    assert.deepEqual([mirrorAt(choice, 99), mirrorAt(choice, 100), mirrorAt(choice, 100)], [1, 0, 1]);
    choice.worked(0);
    assert.deepEqual([mirrorAt(choice, 101), mirrorAt(choice, 101)], [0, 0]);
  });

  it('stays away longer the more often it fails, and the longer that takes', () => {
    const choice = new MirrorChoice(2, TIMING);
    for (let at = 0; at < 3; at += 1) choice.failed(0, 0, 0);
    assert.deepEqual([mirrorAt(choice, 399), mirrorAt(choice, 400)], [1, 0]);

    choice.failed(0, 1000, 30_000);
    assert.deepEqual([mirrorAt(choice, 100_000), mirrorAt(choice, 121_000)], [1, 0]);
  });

  it('stays away for long from one that holds something else', () => {
    const choice = new MirrorChoice(2, TIMING);
    choice.isBad(0, 0);

    assert.deepEqual([mirrorAt(choice, 15_999), mirrorAt(choice, 16_000)], [1, 0]);
  });

  it('waits when all are out, never longer than the longest pause, and asks the soonest', () => {
    const choice = new MirrorChoice(2, TIMING);
    choice.isBad(0, 0);
    choice.failed(1, 50, 30_000);

    assert.deepEqual(choice.next(60), { mirror: 0, waitMs: 40 });
    const alone = new MirrorChoice(1, TIMING);
    for (let at = 0; at < 50; at += 1) alone.failed(0, 0, 30_000);
    assert.deepEqual(alone.next(0), { mirror: 0, waitMs: 1000 });
  });

  it('asks a busy one again when it said, and does not hold it against it', () => {
    const choice = new MirrorChoice(2, TIMING);
    choice.isBusy(0, 0, 2000);

    assert.deepEqual([mirrorAt(choice, 1999), mirrorAt(choice, 2000), mirrorAt(choice, 2000)], [1, 0, 0]);
  });
});
