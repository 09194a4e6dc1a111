import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import type { Baseline } from './baseline.ts';
import { withRatioTable } from './ratio-table.ts';

const root = join(import.meta.dirname, '../..');
const page = await readFile(join(root, 'docs/benchmarks.md'), 'utf8');
const baseline: Baseline = JSON.parse(await readFile(join(root, 'test/bench/baseline.json'), 'utf8'));

describe('the table of ratios in docs/benchmarks.md', () => {
  it('shows the baseline as it is (`node test/bench/run-benches.ts --table` makes it anew)', () => {
    assert.equal(page, withRatioTable(page, baseline));
  });

  it('changes with a ratio, and nothing else of the page does', () => {
    const changed = withRatioTable(page, { ...baseline, 'raw URL: agent / cat': 7.891 });

    const before = page.split('\n');
    const differing = changed.split('\n').filter((line, index) => line !== before[index]);
    assert.deepEqual(differing, ['| raw URL | 7.89 | |']);
  });

  it('gives a ratio that is new a row of its own, and says which one is gone', () => {
    const { 'raw URL: agent / cat': _, ...rest } = baseline;
    const changed = withRatioTable(page, { ...rest, 'lzma URL: agent / a | b': 2 });

    assert.match(changed, /^\| lzma URL: agent \/ a \\\| b \| 2\.00 \| \|\n\n/m);
    assert.match(changed, /^\| raw URL \| not measured \| \|$/m);
  });

  it('is not made up where the page has none', () => {
    assert.throws(() => withRatioTable('# Benchmarks\n', baseline), /no table of ratios/);
  });
});
