import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { ActionRun } from '../store/store.ts';
import { actionRunView } from './workflow-view.ts';

const told = { done: 40, total: 200, perSecond: 4, unit: 'bytes', toldAt: 0 };
const running: ActionRun = {
  attempt: 1,
  task: 0,
  action: 0,
  taskName: 't',
  name: 'a',
  image: 'i',
  state: 'running',
  progress: told,
};

function shown(changes: Partial<ActionRun>, seconds: number) {
  return actionRunView({ ...running, ...changes }, new Date(seconds * 1000)).progress;
}

describe('the progress of an action', () => {
  const { toldAt: _, ...fresh } = told;

  it('is as it was told while its agent is heard', () => {
    assert.deepEqual(shown({}, 4), fresh);
  });

  it('has no rate once nothing was heard for some seconds', () => {
    assert.deepEqual(shown({}, 65), { ...fresh, perSecond: 0, idleMs: 65_000 });
  });

  it('says for how long nothing was done, what the agent knew of that included', () => {
    const progress = { ...told, perSecond: 1, idleMs: 60_000, trouble: 'it was cut' };

    const view = shown({ progress }, 2);

    assert.deepEqual(view, { ...fresh, perSecond: 0, idleMs: 62_000, trouble: 'it was cut' });
  });

  it('stands still for nobody when everything has come, or the action has ended', () => {
    assert.deepEqual(shown({ progress: { ...told, done: 200 } }, 65), { ...fresh, done: 200 });
    const progress = { ...told, idleMs: 60_000, waitsFor: 'its turn', waitedMs: 7 };
    assert.deepEqual(shown({ state: 'failed', progress }, 65), { ...fresh, waitedMs: 7 });
  });
});
