import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { MissingEverywhere } from './missing-everywhere.ts';

const TIMING = { longestPauseMs: 10_000 };

function saysSo(everywhere: MissingEverywhere, mirror: number, ...times: readonly number[]): void {
  for (const now of times) everywhere.missing(mirror, now);
}

describe('an image that nobody has any more', () => {
  it('is told after three answers over thirty seconds', () => {
    const everywhere = new MissingEverywhere(1, TIMING);

    saysSo(everywhere, 0, 0, 100, 200, 29_999);
    assert.equal(everywhere.sureForMs(29_999), undefined);
    assert.equal(everywhere.sureForMs(30_000), 30_000);

    const rarely = new MissingEverywhere(1, TIMING);
    saysSo(rarely, 0, 0, 40_000);
    assert.equal(rarely.sureForMs(40_000), undefined);
  });

  it('takes every mirror’s word, and the last one’s to say so counts', () => {
    const everywhere = new MissingEverywhere(2, TIMING);
    saysSo(everywhere, 0, 0, 1000, 2000);
    assert.equal(everywhere.sureForMs(60_000), undefined);

    saysSo(everywhere, 1, 60_000, 61_000, 62_000);

    assert.equal(everywhere.sureForMs(89_000), undefined);
    assert.equal(everywhere.sureForMs(95_000), 35_000);
  });

  it('is waited for anew when one says anything else', () => {
    const everywhere = new MissingEverywhere(1, TIMING);
    saysSo(everywhere, 0, 0, 1000, 2000);

    everywhere.otherwise(0);

    assert.equal(everywhere.sureForMs(60_000), undefined);
    saysSo(everywhere, 0, 60_000, 61_000, 62_000);
    assert.equal(everywhere.sureForMs(62_000), undefined);
    assert.equal(everywhere.sureForMs(90_000), 30_000);
  });
});
