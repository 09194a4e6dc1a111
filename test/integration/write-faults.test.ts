/** A few rounds of `npm run fault -- write`: the same parts, the same rules. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { runPart } from '#test/fault/fault-run.ts';
import { badDisk } from '#test/fault/write/bad-disk.ts';
import { hostileServer } from '#test/fault/write/hostile-server.ts';

describe('what the agent says of a disk is true, and nothing half-written boots', () => {
  for (const [part, rounds] of [
    [hostileServer, 4],
    [badDisk, 12],
  ] as const) {
    it(`${part.name}: ${part.summary}`, async () => {
      const { passed, failures } = await runPart(part, { rounds, seed: 4, say: () => undefined });

      assert.deepEqual(failures, []);
      assert.equal(passed, rounds);
    });
  }
});
