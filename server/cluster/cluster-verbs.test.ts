import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { clusterDefinition } from '#test/support/cluster-records.ts';
import { withCounts } from './cluster-verbs.ts';

const before = clusterDefinition({ controlPlane: 1, workers: { 'md-0': 1 } });

const refused = (message: RegExp) => ({ code: 'invalid_input', message });

describe('a cluster with other counts', () => {
  it('has them, and keeps those that are not named', () => {
    const { cluster } = withCounts(before, { controlPlane: 3 });
    assert.deepEqual([cluster.controlPlane.count, cluster.workerGroups[0]?.count], [3, 1]);
  });

  it('may have no count that a file could not name', () => {
    assert.throws(
      () => withCounts(before, { controlPlane: 2 }),
      refused(/^cannot scale cluster c1: the count of control-plane is 2, which is even: write 1 or 3, so that etcd/),
    );
    assert.throws(
      () => withCounts(before, { controlPlane: 101 }),
      refused(/is 101, which is too many: write at most 99$/),
    );
    assert.throws(
      () => withCounts(before, { workers: { 'md-0': 10_001 } }),
      refused(/the count of md-0 is 10001, which is too many: write at most 10000$/),
    );
  });

  it('refuses a group that it does not have', () => {
    assert.throws(() => withCounts(before, { workers: { nope: 1 } }), { code: 'not_found' });
  });
});
