import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { compareWithBaseline } from './baseline.ts';

const line = (name: string, value: number) => ({ name, value, unit: 'ratio' });

describe('the comparison of benchmarks with their baseline', () => {
  it('accepts noise and everything better', () => {
    assert.deepEqual(compareWithBaseline([line('a / b', 0.8), line('c / d', 9)], { 'a / b': 1, 'c / d': 2 }), []);
  });

  it('names a ratio that fell by more than a quarter, that is no number, or that is gone', () => {
    const worse = compareWithBaseline([line('a / b', 0.7), line('c / d', Number.NaN)], {
      'a / b': 1,
      'c / d': 1,
      'e / f': 3,
    });
    assert.equal(worse.length, 3);
    assert.match(worse[0] ?? '', /^a \/ b: 0\.70, the baseline is 1/);
    assert.match(worse[2] ?? '', /^e \/ f: was 3 and is not measured any more$/);
  });
});
