import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { TinsmithError } from '#proto/errors.ts';
import { parseDuration } from './duration-option.ts';
import { bar, progressText } from './progress-bar.ts';
import { ageText, durationText, sizeText } from './quantity-text.ts';

describe('quantities', () => {
  it('are written with the unit that fits, and never as 60 seconds or 1024 KiB', () => {
    const durations = [0, 49, 950, 59_949, 59_950, 61_000, 3_599_499, 3_600_000, 86_399_999, 90_000_000, -5];
    const sizes = [0, 1023, 1024, 1536, 1024 ** 2 - 1, 1024 ** 3, 5 * 1024 ** 4, 3 * 1024 ** 6];

    assert.deepEqual(durations.map(durationText), [
      '0.0s',
      '0.0s',
      '0.9s',
      '59.9s',
      '1m00s',
      '1m01s',
      '59m59s',
      '1h00m',
      '23h59m',
      '1d01h',
      '0.0s',
    ]);
    assert.deepEqual(sizes.map(sizeText), [
      '0 B',
      '1023 B',
      '1.0 KiB',
      '1.5 KiB',
      '1.0 MiB',
      '1.0 GiB',
      '5.0 TiB',
      '3072.0 PiB',
    ]);
    assert.deepEqual([119_000, 120_000, 7_200_000, 172_800_000].map(ageText), ['119s', '2m', '2h', '2d']);
  });

  it('are shown as bars of one width whatever the share', () => {
    for (const share of [-1, 0, 0.01, 0.33, 0.5, 0.99, 1, 7, Number.NaN]) {
      assert.equal(bar(share, 10).length, 10, String(share));
    }
    assert.equal(bar(0.5, 4), '██░░');
    assert.equal(
      progressText({ done: 512, total: 1024, perSecond: 256, unit: 'bytes' }, 4),
      '██░░  50 %  512 B of 1.0 KiB  256 B/s  2.0s left',
    );
    assert.equal(progressText({ done: 5, perSecond: 0, unit: 'files' }, 4), '5 files');
    assert.equal(
      progressText({ done: 2048, total: 1024, perSecond: 1, unit: 'bytes' }, 4),
      '████ 100 %  2.0 KiB of 1.0 KiB  1 B/s',
    );
  });

  it('have no rate and no time left where nothing is done, but how long, and why', () => {
    const progress = { done: 512, total: 1024, perSecond: 256, unit: 'bytes' };
    const long = { ...progress, idleMs: 65_900 };

    assert.equal(progressText(long, 4), '██░░  50 %  512 B of 1.0 KiB  nothing new for 1m05s');
    assert.equal(
      progressText({ ...long, trouble: 'it was\u001b cut' }, 4),
      '██░░  50 %  512 B of 1.0 KiB  stalled for 1m05s: it was· cut',
    );
    const { total: _, ...unknown } = long;
    assert.equal(progressText(unknown, 4), '512 B  nothing new for 1m05s');
    assert.equal(
      progressText({ ...unknown, done: 0, waitsFor: 'its turn (2nd in line)' }, 4),
      'waits 1m05s for its turn (2nd in line)',
    );
  });

  it('are read as durations of any unit, and refused when they are none', () => {
    const texts = ['90', '90s', '30m', '1h30m', '500ms', '0'];
    const refused = ['', 's', '5 minutes', '1.5h', '-1s', '1h30', '30d', '99999999h', '1s2x'];

    assert.deepEqual(
      texts.map((text) => parseDuration('--timeout', text)),
      [90_000, 90_000, 1_800_000, 5_400_000, 500, 0],
    );
    for (const text of refused) assert.throws(() => parseDuration('--timeout', text), TinsmithError, text);
  });
});
