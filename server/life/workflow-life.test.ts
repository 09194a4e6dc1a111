import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { assertLife } from '#test/support/life-table.ts';
import { newRun, workflowLife } from './workflow-life.ts';

describe('workflow life', () => {
  it('has exactly these steps', () => {
    assertLife(workflowLife, [
      'pending start running',
      'pending fail failed',
      'pending timeOut timedOut',
      'pending cancel cancelled',
      'running start running',
      'running lose waiting',
      'running succeed succeeded',
      'running fail failed',
      'running timeOut timedOut',
      'running cancel cancelled',
      'waiting start running',
      'waiting fail failed',
      'waiting timeOut timedOut',
      'waiting cancel cancelled',
    ]);
  });

  it('makes a new run only after one that ended without success', () => {
    const outcomes = workflowLife.states.map((state) => {
      try {
        return `${state} ${newRun(state)}`;
      } catch (thrown) {
        assert.equal((thrown as { code?: string }).code, 'conflict');
        return `${state} -`;
      }
    });

    assert.deepEqual(outcomes, [
      'pending -',
      'running -',
      'waiting -',
      'succeeded -',
      'failed pending',
      'timedOut pending',
      'cancelled pending',
    ]);
  });
});
