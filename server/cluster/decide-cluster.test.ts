import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { AT, type NodeSituation, node, situation } from '#test/support/cluster-situation.ts';
import type { RolloutStrategy } from '../manifests/cluster-kind.ts';
import type { ClusterFacts } from './cluster-facts.ts';
import type { ClusterOptions } from './cluster-options.ts';
import type { ClusterStep } from './cluster-step.ts';
import { decideCluster } from './decide-cluster.ts';
import { CONTROL_PLANE } from './node-groups.ts';

const ready = (name: string, group: string, more: NodeSituation = {}) => node(name, group, 'ready', more);

/** Steps in a short form: `claim m1 md-0`, `provision m1 init`. */
function steps(facts: ClusterFacts): readonly string[] {
  return decideCluster(facts).steps.map(shortOf);
}

function shortOf(step: ClusterStep): string {
  if (step.kind === 'block') return `block ${step.reason}`;
  if (!('hardware' in step)) return step.kind;
  const text = `${step.kind} ${step.hardware}`;
  if (step.kind === 'claim') return `${text} ${step.wanted.group.name}`;
  if (step.kind === 'provision') return `${text} ${step.step}${step.leaves ? ' leaves' : ''}`;
  return step.kind === 'release' ? `${text}${step.leaves ? ' leaves' : ''}${step.wipe ? ' wipe' : ''}` : text;
}

const FAILED = 'workflow w2-install-1 failed: no disk';
const failed = (tries: number) => node('w', 'md-0', 'failed', { tries, failure: 'no disk', run: 'failed' });
const cancelled = (tries: number) => node('w', 'md-0', 'failed', { tries, run: 'cancelled' });
const wiping = (tries: number) => node('w2', 'md-0', 'releasing', { run: 'failed', tries, note: FAILED });

describe('a new cluster', () => {
  const spares = { [CONTROL_PLANE]: ['a', 'b', 'c', 'd'], 'md-0': ['b', 'd', 'e'] };

  it('claims the machines of all its groups at once, each once', () => {
    assert.deepEqual(steps(situation({ controlPlane: 3, workers: { 'md-0': 2 }, spares })), [
      'claim a control-plane',
      'claim b control-plane',
      'claim c control-plane',
      'claim d md-0',
      'claim e md-0',
    ]);
  });

  it('installs one node that makes the control plane, and nothing beside it', () => {
    const nodes = [
      node('a', CONTROL_PLANE, 'claimed'),
      node('b', CONTROL_PLANE, 'claimed'),
      node('w', 'md-0', 'claimed'),
    ];
    const facts = { controlPlane: 2, workers: { 'md-0': 1 } };

    assert.deepEqual(steps(situation({ ...facts, nodes })), ['provision a init']);
    for (const busy of [
      node('a', CONTROL_PLANE, 'provisioning', { run: 'running' }),
      node('a', CONTROL_PLANE, 'installed', { run: 'succeeded' }),
    ]) {
      assert.deepEqual(steps(situation({ ...facts, nodes: [busy, ...nodes.slice(1)] })), []);
    }
  });

  it('lets the others of the control plane join one after the other, and then the workers side by side', () => {
    const workers = ['w1', 'w2', 'w3'].map((name) => node(name, 'md-0', 'claimed'));
    const facts = { controlPlane: 3, workers: { 'md-0': 3 }, options: { parallel: 2 } };
    const [b, c] = ['b', 'c'].map((name) => node(name, CONTROL_PLANE, 'claimed'));
    assert.ok(b && c);
    const a = ready('a', CONTROL_PLANE);

    assert.deepEqual(steps(situation({ ...facts, nodes: [a, b, c, ...workers] })), ['provision b joinControlPlane']);
    const second = [a, ready('b', CONTROL_PLANE), c, ...workers];
    assert.deepEqual(steps(situation({ ...facts, nodes: second })), ['provision c joinControlPlane']);
    const all = [a, ready('b', CONTROL_PLANE), ready('c', CONTROL_PLANE), ...workers];
    assert.deepEqual(steps(situation({ ...facts, nodes: all })), [
      'provision w1 joinWorker',
      'provision w2 joinWorker',
    ]);
  });

  it('writes down what happened before it decides anything else', () => {
    const nodes = [
      node('a', CONTROL_PLANE, 'provisioning', { run: 'succeeded' }),
      node('b', CONTROL_PLANE, 'installed', { machine: { readyAt: AT } }),
      node('c', CONTROL_PLANE, 'installed', { machine: { readyBy: 'installed' } }),
      node('d', 'md-0', 'provisioning', { run: 'failed' }),
      node('e', 'md-0', 'provisioning', { workflow: 'deleted' }),
      node('f', 'md-0', 'releasing', { run: 'succeeded' }),
      node('g', 'md-0', 'releasing'),
      node('h', 'md-0', 'installed'),
    ];

    assert.deepEqual(steps(situation({ controlPlane: 3, workers: { 'md-0': 9 }, spares, nodes })), [
      'installed a',
      'ready b',
      'ready c',
      'failed d',
      'failed e',
      'giveBack f',
      'giveBack g',
    ]);
  });

  it('is ready when all nodes are, and is then left alone', () => {
    const nodes = [ready('a', CONTROL_PLANE), ready('w', 'md-0')];
    const facts = { workers: { 'md-0': 1 }, nodes };

    assert.deepEqual(steps(situation(facts)), ['settle']);
    assert.deepEqual(steps(situation({ ...facts, workers: { 'md-0': 2 }, spares, state: 'ready' })), []);
  });

  it('is blocked while machines are missing, says so once, and goes on when they are there', () => {
    const nodes = [ready('a', CONTROL_PLANE)];
    const facts = { workers: { 'md-0': 1 }, nodes };
    const [blocked = ''] = steps(situation(facts));

    assert.match(blocked, /^block the group md-0 lacks one machine: apply Hardware that its machine config dp selects/);
    const failure = blocked.slice('block '.length);
    assert.deepEqual(steps(situation({ ...facts, state: 'blocked', failure })), []);
    const going = situation({ ...facts, state: 'blocked', failure, spares: { 'md-0': ['w'] } });
    assert.deepEqual(steps(going), ['resume', 'claim w md-0']);
  });
});

describe('a node that failed', () => {
  const a = ready('a', CONTROL_PLANE);
  const workers = { 'md-0': 1 };

  it('is one whose system says that its first start failed, whatever else it did', () => {
    const machine = { bootstrapFailure: 'kubeadm join: exit code 1', readyAt: AT, readyBy: 'metadata' } as const;
    const silent = node('w', 'md-0', 'installed', { run: 'succeeded', machine });
    const reason = 'its first start failed: kubeadm join: exit code 1';
    const happened = { kind: 'failed', hardware: 'w', workflow: 'w-install-1', reason } as const;
    assert.deepEqual(decideCluster(situation({ workers, nodes: [a, silent] })).steps, [happened]);
    const told = (tries: number) => node('w', 'md-0', 'failed', { run: 'succeeded', tries, machine, failure: reason });
    const { steps: anew } = decideCluster(situation({ workers, nodes: [a, told(1)] }));
    const [provision] = anew;
    assert.ok(provision?.kind === 'provision' && provision.leaves, 'it may have joined Kubernetes before it failed');
    const spares = { 'md-0': ['x'] };
    assert.deepEqual(steps(situation({ workers, nodes: [a, told(2)], spares })), ['claim x md-0']);
    const [blocked = ''] = steps(situation({ workers, nodes: [a, told(2)], spares, options: { onFailure: 'stop' } }));
    assert.match(blocked, /^block w failed 2 times \(its first start failed: kubeadm join: exit code 1\)/);
  });

  it('is tried again on its own machine as often as told', () => {
    assert.deepEqual(steps(situation({ workers, nodes: [a, failed(1)] })), ['provision w joinWorker']);
    assert.deepEqual(steps(situation({ workers, nodes: [a, failed(3)], options: { retries: 3 } })), [
      'provision w joinWorker',
    ]);
  });

  it('is then replaced by a spare, and keeps its own place for the operator to look at', () => {
    const spares = { 'md-0': ['x', 'y'] };
    assert.deepEqual(steps(situation({ workers, nodes: [a, failed(2)], spares })), ['claim x md-0']);
    const replaced = [a, failed(2), node('x', 'md-0', 'ready')];
    assert.deepEqual(steps(situation({ workers, nodes: replaced, spares })), ['settle']);
  });

  it('blocks the cluster where no spare fits, or none is to be taken', () => {
    const [noSpare = ''] = steps(situation({ workers, nodes: [a, failed(2)] }));
    assert.match(noSpare, /^block w failed 2 times \(no disk\), and no spare machine fits: repair it and resume/);
    const stop: Partial<ClusterOptions> = { onFailure: 'stop' };
    const others = [a, failed(2), node('v', 'md-0', 'claimed')];
    const wanted = { workers: { 'md-0': 2 }, nodes: others, spares: { 'md-0': ['x'] }, options: stop };
    const [stopped = '', ...more] = steps(situation(wanted));
    assert.match(stopped, /^block w failed 2 times \(no disk\): repair it and resume \(tinsmith cluster resume c1\)/);
    assert.deepEqual(more, [], 'nothing new is begun');
  });

  it('is taken up again when an operator retries its workflow', () => {
    for (const run of ['pending', 'running', 'succeeded'] as const) {
      const again = node('w', 'md-0', 'failed', { tries: 2, run });
      assert.deepEqual(steps(situation({ workers, nodes: [a, again] })), ['retried w']);
    }
  });

  it('is not tried again by itself when an operator cancelled it', () => {
    const [blocked = ''] = steps(situation({ workers, nodes: [a, cancelled(1)] }));
    assert.match(blocked, /^block w failed once/);
    assert.deepEqual(steps(situation({ workers, nodes: [a, cancelled(0)] })), ['provision w joinWorker'], 'resumed');
  });

  it('that was to make the control plane gives that to the spare that takes its place', () => {
    const first = node('a', CONTROL_PLANE, 'failed', { tries: 2, initialises: true });
    const spares = { [CONTROL_PLANE]: ['b'] };
    assert.deepEqual(steps(situation({ nodes: [first], spares })), ['claim b control-plane']);
    const nodes = [first, node('b', CONTROL_PLANE, 'claimed')];
    assert.deepEqual(steps(situation({ nodes })), ['provision b init']);
  });
});

describe('a cluster that is changed', () => {
  const state = 'changing';
  const a = ready('a', CONTROL_PLANE, { initialises: true });
  const [w1, w2] = [new Date(1), new Date(2)].map((claimedAt, index) => ready(`w${index + 1}`, 'md-0', { claimedAt }));
  assert.ok(w1 && w2);

  it('gives up the newest of the nodes that are not wanted any more', () => {
    assert.deepEqual(steps(situation({ state, workers: { 'md-0': 1 }, nodes: [a, w1, w2] })), [
      'release w2 leaves wipe',
    ]);
    const leaving = node('w2', 'md-0', 'releasing', { run: 'pending' });
    assert.deepEqual(steps(situation({ state, workers: { 'md-0': 1 }, nodes: [a, w1, leaving] })), []);
    assert.deepEqual(steps(situation({ state, workers: {}, nodes: [a, w1, w2] })), [
      'release w1 leaves wipe',
      'release w2 leaves wipe',
    ]);
  });

  it('gives up a node that never began without touching its disks', () => {
    const claimed = node('w2', 'md-0', 'claimed');
    const waiting = node('w2', 'md-0', 'provisioning', { run: 'pending' });
    for (const each of [claimed, waiting]) {
      assert.deepEqual(steps(situation({ state, workers: { 'md-0': 1 }, nodes: [a, w1, each] })), ['release w2']);
    }
  });

  it('gives up nodes of the control plane one after the other, last the one that made it', () => {
    const three = [a, ready('b', CONTROL_PLANE), ready('c', CONTROL_PLANE)];
    assert.deepEqual(steps(situation({ state, nodes: three })), ['release c leaves wipe']);
    const leaving = node('c', CONTROL_PLANE, 'releasing', { run: 'running' });
    assert.deepEqual(steps(situation({ state, nodes: [...three.slice(0, 2), leaving] })), []);
  });

  it('lets a machine go that its operator took, and fills its place', () => {
    const released = [{ hardware: 'w1', wipe: false }];
    const facts = { state, workers: { 'md-0': 1 }, nodes: [a, w1], released, spares: { 'md-0': ['x'] } } as const;
    assert.deepEqual(steps(situation(facts)), ['release w1 leaves', 'claim x md-0']);
  });

  it('tries a wipe that failed again, then says what can be done', () => {
    const facts = { state, workers: { 'md-0': 1 } } as const;
    assert.deepEqual(steps(situation({ ...facts, nodes: [a, w1, wiping(1)] })), ['release w2 wipe']);
    const [stuck = ''] = steps(situation({ ...facts, nodes: [a, w1, wiping(2)] }));
    assert.match(stuck, /^block the disks of w2 could not be wiped .*tinsmith hardware release w2 --no-wipe/);
    const released = [{ hardware: 'w2', wipe: false }];
    assert.deepEqual(steps(situation({ ...facts, nodes: [a, w1, wiping(2)], released })), ['release w2']);
  });
});

describe('an upgrade', () => {
  const state = 'changing';
  const old = { revision: 'old' };
  const a = ready('a', CONTROL_PLANE);
  const rolling: RolloutStrategy = { type: 'RollingUpdate', maxSurge: 1, maxUnavailable: 0 };

  it('begins with the control plane: a spare joins, then the old node leaves, and then come the workers', () => {
    const oldNode = ready('a', CONTROL_PLANE, old);
    const worker = ready('w', 'md-0', old);
    const spares = { [CONTROL_PLANE]: ['b', 'x'], 'md-0': ['x'] };
    const facts = { state, workers: { 'md-0': 1 }, rollout: rolling, spares } as const;

    assert.deepEqual(steps(situation({ ...facts, nodes: [oldNode, worker] })), ['claim b control-plane']);
    const claimed = node('b', CONTROL_PLANE, 'claimed');
    assert.deepEqual(steps(situation({ ...facts, nodes: [oldNode, claimed, worker] })), [
      'provision b joinControlPlane',
    ]);
    const joined = ready('b', CONTROL_PLANE);
    assert.deepEqual(steps(situation({ ...facts, nodes: [oldNode, joined, worker] })), ['release a leaves wipe']);
    const leaving = node('a', CONTROL_PLANE, 'releasing', { run: 'pending' });
    assert.deepEqual(steps(situation({ ...facts, nodes: [leaving, joined, worker] })), ['claim x md-0']);
  });

  it('replaces workers by as many spares as may be above their number', () => {
    const nodes = [a, ...['w1', 'w2', 'w3'].map((name) => ready(name, 'md-0', old))];
    const rollout: RolloutStrategy = { ...rolling, maxSurge: 2 };
    const facts = { state, workers: { 'md-0': 3 }, rollout } as const;

    const spares = { 'md-0': ['x', 'y', 'z'] };
    assert.deepEqual(steps(situation({ ...facts, nodes, spares })), ['claim x md-0', 'claim y md-0']);
    const one = [...nodes, ready('x', 'md-0'), node('y', 'md-0', 'installed')];
    assert.deepEqual(steps(situation({ ...facts, nodes: one, spares })), ['release w3 leaves wipe']);
  });

  it('takes the machine of a node that left as the next spare, and does not go on in place meanwhile', () => {
    const leaving = node('w1', 'md-0', 'releasing', { run: 'running' });
    const nodes = [a, ready('x', 'md-0'), ready('w2', 'md-0', old), leaving];
    assert.deepEqual(steps(situation({ state, workers: { 'md-0': 2 }, rollout: rolling, nodes })), []);
  });

  it('without a spare makes workers anew on their own machines, one after the other', () => {
    const nodes = [a, ready('w1', 'md-0', old), ready('w2', 'md-0', old)];
    const facts = { state, workers: { 'md-0': 2 }, rollout: rolling } as const;
    assert.deepEqual(steps(situation({ ...facts, nodes })), ['provision w1 joinWorker leaves']);
    const first = [a, node('w1', 'md-0', 'provisioning', { run: 'pending' }), ready('w2', 'md-0', old)];
    assert.deepEqual(steps(situation({ ...facts, nodes: first })), []);
  });

  it('in place never takes a spare', () => {
    const nodes = [a, ready('w1', 'md-0', old)];
    const rollout: RolloutStrategy = { type: 'InPlace', maxSurge: 0, maxUnavailable: 0 };
    const facts = { state, workers: { 'md-0': 1 }, rollout, spares: { 'md-0': ['x'] } } as const;
    assert.deepEqual(steps(situation({ ...facts, nodes })), ['provision w1 joinWorker leaves']);
  });

  it('makes a control plane of three anew one after the other, each joining the others', () => {
    const three = ['a', 'b', 'c'].map((name) => ready(name, CONTROL_PLANE, old));
    const facts = { state, controlPlane: 3, rollout: { ...rolling, maxSurge: 0 } } as const;
    assert.deepEqual(steps(situation({ ...facts, nodes: three })), ['provision a joinControlPlane leaves']);
    const busy = [node('a', CONTROL_PLANE, 'installed'), ...three.slice(1)];
    assert.deepEqual(steps(situation({ ...facts, nodes: busy })), []);
  });

  it('does not make the only control-plane node anew on its own machine unless told that its state may go', () => {
    const nodes = [ready('a', CONTROL_PLANE, old)];
    const [refused = ''] = steps(situation({ state, rollout: rolling, nodes }));
    assert.match(refused, /^block the only control-plane node a cannot .*--lose-state/);
    const told = situation({ state, rollout: rolling, nodes, options: { loseState: true } });
    assert.deepEqual(steps(told), ['provision a init']);
  });

  it('lets an installation of the old revision end before it is replaced', () => {
    const nodes = [a, node('w1', 'md-0', 'provisioning', { ...old, run: 'running' })];
    assert.deepEqual(steps(situation({ state, workers: { 'md-0': 1 }, nodes, spares: { 'md-0': ['x'] } })), []);
  });
});

describe('a cluster that is deleted', () => {
  it('gives up its workers, then its control plane, then itself', () => {
    const state = 'deleting';
    const a = ready('a', CONTROL_PLANE);
    const workers = [ready('w1', 'md-0'), node('w2', 'md-0', 'claimed')];

    assert.deepEqual(steps(situation({ state, nodes: [a, ...workers] })), ['release w1 wipe', 'release w2']);
    const leaving = node('w1', 'md-0', 'releasing', { run: 'pending' });
    assert.deepEqual(steps(situation({ state, nodes: [a, leaving] })), []);
    assert.deepEqual(steps(situation({ state, nodes: [a] })), ['release a wipe']);
    assert.deepEqual(steps(situation({ state, nodes: [a], options: { wipe: false } })), ['release a']);
    assert.deepEqual(steps(situation({ state, nodes: [] })), ['remove']);
  });
});
