/** A machine that loses power and one with a bad disk: the first rounds of `npm run fault -- write power-cut`. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { runPart } from '#test/fault/fault-run.ts';
import { powerCut } from '#test/fault/write/power-cut.ts';

describe('whatever happens to a machine while it is installed', () => {
  it(`nothing half-written boots, and it ends installed: ${powerCut.summary}`, async () => {
    const { passed, failures } = await runPart(powerCut, { rounds: 2, seed: 1, say: () => undefined });

    assert.deepEqual(failures, []);
    assert.equal(passed, 2);
  });
});
