/** A few rounds of `npm run fault -- write agent-kill server-kill`: the same parts, the same rules. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { runPart } from '#test/fault/fault-run.ts';
import { agentKill } from '#test/fault/write/agent-kill.ts';
import { serverKill } from '#test/fault/write/server-kill.ts';

describe('whoever is killed while an image is written or imported', () => {
  for (const [part, rounds] of [
    [agentKill, 4],
    [serverKill, 2],
  ] as const) {
    // Servers are started several times: that takes long on a busy machine.
    it(`leaves nothing that boots or is served by half. ${part.summary}`, { timeout: 300_000 }, async () => {
      const { passed, failures } = await runPart(part, { rounds, seed: 4, say: () => undefined });

      assert.deepEqual(failures, []);
      assert.equal(passed, rounds);
    });
  }
});
