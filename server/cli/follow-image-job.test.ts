import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { nowAndThen } from './follow-image-job.ts';

describe('how far an import is, where nobody sits at a terminal', () => {
  it('is a line every ten seconds', () => {
    let seconds = 0;
    const lines: string[] = [];
    const show = nowAndThen({ now: () => new Date(seconds * 1000) }, (text) => lines.push(text));

    for (; seconds < 25; seconds += 0.5) show(`at ${seconds}`);

    assert.deepEqual(lines, ['at 10', 'at 20']);
  });
});
