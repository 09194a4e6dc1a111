import { describe, it } from 'node:test';
import { assertLife } from '#test/support/life-table.ts';
import { clusterLife } from './cluster-life.ts';

describe('cluster life', () => {
  it('has exactly these steps', () => {
    assertLife(clusterLife, [
      'creating settle ready',
      'creating change creating',
      'creating block blocked',
      'creating delete deleting',
      'ready change changing',
      'ready delete deleting',
      'changing settle ready',
      'changing change changing',
      'changing block blocked',
      'changing delete deleting',
      'blocked resume changing',
      'blocked change changing',
      'blocked delete deleting',
    ]);
  });
});
