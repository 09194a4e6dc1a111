import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  agentSession,
  hardwareManifest,
  macOf,
  plannedWorkflow,
  someInventory,
  steppingClock,
  succeededAt,
} from '#test/support/records.ts';
import { openSqliteStore } from './sqlite-store.ts';

const cause = { actor: 'operator' } as const;

describe('transitions', () => {
  it('take one machine from its manifest to its installed system', async () => {
    const clock = steppingClock();
    await using opened = await openSqliteStore({ path: ':memory:', clock: clock.now });
    const { store, transitions } = opened;
    const ref = { workflow: 'w', attempt: 1, task: 0 };
    const stored = (sequence: number) => ({ session: 's', sequence, hardware: 'm' });

    await transitions.apply(
      { hardware: [hardwareManifest('m')], templates: [], workflows: [plannedWorkflow('w', ['m'])] },
      cause,
    );
    await transitions.noteSeen('m', cause);
    await transitions.startBoot(
      { hardware: 'm', token: { hash: 'h', mac: macOf(1), expiresAt: new Date(clock.now().getTime() + 1000) } },
      cause,
    );
    await transitions.enroll(
      {
        tokenHash: 'h',
        mac: macOf(1),
        nonce: 'n',
        keyHash: 'k',
        bootId: 'b',
        agentVersion: '1',
        inventory: someInventory,
      },
      cause,
    );
    await transitions.agentConnected(agentSession('m', 's'), cause);
    await transitions.taskAccepted(ref, stored(1), cause);
    for (const action of [0, 1]) {
      await transitions.actionStarted({ ...ref, action }, clock.now(), stored(2 + action * 2), cause);
      await transitions.actionFinished({ ...ref, action }, succeededAt(clock.now()), stored(3 + action * 2), cause);
    }
    const hardware = await store.hardware('m');
    const workflow = await store.workflow('w');

    assert.equal(hardware?.stage, 'installed');
    assert.equal(hardware.netboot, false);
    assert.equal(workflow?.state, 'succeeded');
  });
});
