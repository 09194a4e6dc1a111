import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { ClusterView, NodeView } from '../api/cluster-types.ts';
import { clusterLines, instructionsOf } from './cluster-lines.ts';

const NOW = new Date('2026-01-01T00:01:00.000Z');
const SINCE = '2026-01-01T00:00:30.000Z';
const out = (columns: number) => ({ columns: () => columns, paint: (_style: unknown, text: string) => text });

function nodeView(hardware: string, change: Partial<NodeView> = {}): NodeView {
  return {
    hardware,
    group: 'md-0',
    role: 'worker',
    state: 'provisioning',
    stateAt: SINCE,
    stage: 'provisioning',
    tries: 1,
    initialises: false,
    isCurrent: true,
    revision: 'r',
    ...change,
  };
}

function cluster(nodes: readonly NodeView[], change: Partial<ClusterView> = {}): ClusterView {
  return {
    name: 'mgmt',
    state: 'creating',
    stateAt: SINCE,
    kubernetesVersion: '1.30',
    endpoint: '10.0.0.9',
    bootstrapper: 'kubeadm',
    options: { retries: 1, onFailure: 'spare', parallel: 16, skipDrain: false, wipe: true, loseState: false },
    groups: [
      { name: 'control-plane', role: 'controlPlane', count: 1, ready: 1, kubernetesVersion: '1.30' },
      { name: 'md-0', role: 'worker', count: 1, ready: 0, kubernetesVersion: '1.30' },
    ],
    nodes,
    version: 1,
    createdAt: SINCE,
    ...change,
  };
}

const writing = nodeView('dp-1', {
  workflow: {
    name: 'dp-1-install-1',
    state: 'running',
    attempt: 1,
    actions: 5,
    done: 1,
    current: {
      attempt: 1,
      task: 0,
      action: 1,
      taskName: 't',
      name: 'stream image',
      image: 'image2disk',
      state: 'running',
      startedAt: '2026-01-01T00:00:50.000Z',
      progress: { done: 1_073_741_824, total: 2_147_483_648, perSecond: 107_374_182, unit: 'bytes' },
    },
  },
});
const ready = nodeView('cp-1', { group: 'control-plane', role: 'controlPlane', state: 'ready' });
const power = nodeView('dp-2', { waits: { text: 'power on dp-2 (MAC 02:00:00:00:00:02) now', forOperator: true } });

describe('the live view of a cluster', () => {
  it('has one line a node with what it does, how far, how fast and how long still', () => {
    assert.deepEqual(clusterLines(out(140), cluster([ready, writing]), NOW, 20), [
      'cluster mgmt  creating  1 of 2 nodes ready  30s',
      '  cp-1  control-plane  ready',
      '  dp-1  md-0           provisioning  2/5 stream image  10s  ████████░░░░░░░░  50 %  1.0 GiB of 2.0 GiB  102.4 MiB/s  10.0s left',
    ]);
  });

  it('says below its nodes what somebody has to do now, and why it is blocked', () => {
    const lines = clusterLines(out(140), cluster([power], { state: 'blocked', failure: 'no spare' }), NOW, 20);

    assert.deepEqual(lines.slice(1), [
      '  dp-2  md-0  provisioning  waits for you  30s',
      '✗ no spare',
      '▶ power on dp-2 (MAC 02:00:00:00:00:02) now',
    ]);
    assert.deepEqual(instructionsOf(cluster([ready, power])), ['power on dp-2 (MAC 02:00:00:00:00:02) now']);
  });

  it('fits any terminal', () => {
    const many = Array.from({ length: 40 }, (_, index) => ({ ...writing, hardware: `machine-${index}` }));
    for (const columns of [30, 60, 80]) {
      const lines = clusterLines(out(columns), cluster([...many, power]), NOW, 12);
      assert.ok(lines.length <= 12, `${lines.length} lines`);
      for (const line of lines) assert.ok(line.length < columns, line);
      assert.match(lines.join('\n'), /… and \d+ more/);
    }
  });
});
