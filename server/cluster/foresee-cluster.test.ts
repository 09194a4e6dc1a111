import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { node, type Situation, situation } from '#test/support/cluster-situation.ts';
import { foreseeCluster } from './foresee-cluster.ts';
import { CONTROL_PLANE } from './node-groups.ts';

const old = { revision: 'old' };
const a = node('a', CONTROL_PLANE, 'ready', { initialises: true });

function foreseen(facts: Situation): readonly string[] {
  const { steps, obstacles } = foreseeCluster(situation({ state: 'changing', ...facts }));
  return [...steps, ...obstacles.map((text) => `blocked: ${text}`)];
}

describe('what will happen to a cluster', () => {
  it('is told for a new one, machine by machine in the order of their installation', () => {
    const spares = { [CONTROL_PLANE]: ['a', 'b', 'c'], 'md-0': ['w'] };
    assert.deepEqual(foreseen({ state: 'creating', controlPlane: 3, workers: { 'md-0': 1 }, spares }), [
      'control-plane: a is installed and makes the control plane, Kubernetes 1.30; its disks are erased',
      'control-plane: b is installed and joins, Kubernetes 1.30; its disks are erased',
      'control-plane: c is installed and joins, Kubernetes 1.30; its disks are erased',
      'md-0: w is installed and joins, Kubernetes 1.30; its disks are erased',
    ]);
  });

  it('is nothing for one that is as wanted, also while its last node is on its way', () => {
    assert.deepEqual(foreseen({ nodes: [a] }), []);
    const workers = { 'md-0': 1 };
    assert.deepEqual(foreseen({ workers, nodes: [a, node('w', 'md-0', 'provisioning', { run: 'running' })] }), []);
  });

  it('takes machines that left as the next spares of a rolling upgrade', () => {
    const nodes = [a, node('w1', 'md-0', 'ready', old), node('w2', 'md-0', 'ready', old)];
    const steps = foreseen({ workers: { 'md-0': 2 }, nodes, spares: { 'md-0': ['x'] } });

    assert.deepEqual(
      steps.map((step) => step.split(/ (is|leaves) /, 2).join(' ')),
      ['md-0: x is', 'w2 leaves', 'md-0: w2 is', 'w1 leaves'],
    );
  });

  it('tells what will stop it, after what can be done', () => {
    const steps = foreseen({ workers: { 'md-0': 2 }, nodes: [a], spares: { 'md-0': ['x'] } });

    assert.equal(steps.length, 2);
    assert.match(steps[0] ?? '', /^md-0: x is installed and joins/);
    assert.match(steps[1] ?? '', /^blocked: the group md-0 lacks one machine/);
  });

  it('tells who leaves, why, and what becomes of its disks', () => {
    const nodes = [a, node('w', 'md-0', 'ready')];
    assert.deepEqual(foreseen({ nodes }), [
      'w leaves c1 because the group md-0 is not wanted any more; its disks are wiped',
    ]);
    assert.deepEqual(foreseen({ nodes, options: { wipe: false } }), [
      'w leaves c1 because the group md-0 is not wanted any more; its disks are left as they are',
    ]);
  });

  it('ends with the cluster itself when that is deleted', () => {
    assert.deepEqual(foreseen({ state: 'deleting', nodes: [a] }), [
      'a leaves c1 because the cluster c1 is being deleted; its disks are wiped',
      'the cluster c1, its secrets and its templates are gone',
    ]);
  });

  it('wipes no disk of a machine that leaves before its installation began', () => {
    const pending = node('w', 'md-0', 'provisioning', { run: 'pending' });
    const running = node('x', 'md-0', 'provisioning', { run: 'pending', tries: 2 });
    const steps = foreseen({ state: 'deleting', workers: { 'md-0': 2 }, nodes: [pending, running] });

    assert.match(steps.find((step) => step.startsWith('w ')) ?? '', /its disks are left as they are$/);
    assert.match(steps.find((step) => step.startsWith('x ')) ?? '', /its disks are wiped$/);
  });
});
