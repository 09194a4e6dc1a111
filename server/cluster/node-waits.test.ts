import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { AT, type NodeSituation, node, situation } from '#test/support/cluster-situation.ts';
import type { NodeState } from '../life/node-life.ts';
import { CONTROL_PLANE } from './node-groups.ts';
import { nodeWait, type WaitFacts } from './node-waits.ts';

const { cluster } = situation({});
const a = node('m1', CONTROL_PLANE, 'provisioning');

interface Case extends NodeSituation {
  readonly hasAgent?: boolean;
  readonly imports?: readonly string[];
  readonly startupMs?: number;
  readonly afterMs?: number;
}

function waits(
  state: NodeState,
  { hasAgent = false, afterMs = 1_000, startupMs, imports, ...more }: Case = {},
): string {
  const each = node('m2', 'md-0', state, more);
  const facts: WaitFacts = {
    cluster,
    node: each.node,
    hardware: each.hardware,
    nodes: [a.node, each.node],
    hasAgent,
    ...(imports && { imports }),
    ...(startupMs !== undefined && { startupMs }),
    now: new Date(AT.getTime() + afterMs),
    ...(each.workflow && { workflow: each.workflow }),
  };
  const wait = nodeWait(facts);
  return wait === undefined ? 'nothing' : `${wait.forOperator ? 'operator: ' : ''}${wait.text}`;
}

/** A node of the control plane. */
function made(name: string, state: NodeState) {
  return node(name, CONTROL_PLANE, state);
}

describe('what a node waits for', () => {
  it('is nothing while it is at work, and once it is ready', () => {
    assert.equal(waits('provisioning', { run: 'running' }), 'nothing');
    assert.equal(waits('releasing', { run: 'running' }), 'nothing');
    assert.equal(waits('ready'), 'nothing');
  });

  it('is its turn: the control plane comes first', () => {
    assert.equal(waits('claimed'), 'waits for the control plane: m1');
  });

  it('of a control-plane node is the one that is being made, not those that wait like it', () => {
    const turn = (...others: readonly ReturnType<typeof made>[]) => {
      const each = made('m3', 'claimed');
      const nodes = [each, ...others].map((one) => one.node);
      return nodeWait({ cluster, node: each.node, hardware: each.hardware, nodes, hasAgent: false, now: AT })?.text;
    };

    assert.equal(turn(made('m1', 'provisioning'), made('m2', 'claimed')), 'waits for the control plane: m1');
    assert.equal(turn(made('m1', 'ready'), made('m2', 'installed')), 'waits for the control plane: m2');
    assert.equal(turn(made('m1', 'ready'), made('m2', 'claimed')), 'waits for its turn');
  });

  it('is somebody who powers exactly this machine on, or off and on', () => {
    const now = 'now: it boots from the network and begins its installation';
    assert.equal(waits('provisioning', { run: 'pending' }), `operator: power on m2 (MAC 02:00:00:00:00:01) ${now}`);
    const installed = { run: 'pending', machine: { stage: 'installed' } } as const;
    assert.equal(
      waits('provisioning', installed),
      'operator: power-cycle m2 (MAC 02:00:00:00:00:01) now and let it boot from the network: it stops what it runs and begins its installation',
    );
    assert.match(waits('releasing', installed), /^operator: power-cycle m2 .* begins the wipe of its disks$/);
    const lost = { run: 'waiting', machine: { stage: 'provisioning' } } as const;
    assert.match(waits('provisioning', lost), /^operator: power-cycle m2/);
  });

  it('is nobody while the machine boots or its agent is there, and somebody when that lasts', () => {
    const booting = { run: 'pending', machine: { stage: 'booting' } } as const;
    assert.equal(waits('provisioning', booting), 'it is booting');
    assert.match(waits('provisioning', { ...booting, afterMs: 180_000 }), /^operator: power-cycle m2/);
    assert.equal(waits('provisioning', { run: 'pending', machine: { stage: 'enrolled' } }), 'its agent begins');
    const early = { run: 'pending', machine: { stage: 'enrolled' }, hasAgent: true } as const;
    assert.equal(waits('provisioning', early), 'its agent is there and begins its installation');
    assert.match(waits('provisioning', { ...early, afterMs: 180_000 }), /^operator: power-cycle m2/);
    const importing = { ...early, imports: ['d.raw.xz'], afterMs: 180_000 };
    assert.equal(waits('provisioning', importing), 'waits for the import of d.raw.xz');
    assert.match(waits('provisioning', { ...importing, hasAgent: false }), /^operator: power-cycle m2/);
  });

  it('is its system, which deserves a look when it stays silent', () => {
    assert.equal(waits('installed'), 'waits for its system to come up');
    assert.match(waits('installed', { afterMs: 700_000 }), /^operator: its system is silent for 11 minutes: look at/);
    assert.equal(waits('installed', { afterMs: 700_000, startupMs: 1_200_000 }), 'waits for its system to come up');
  });

  it('is an operator once its tries are used up', () => {
    assert.equal(waits('failed', { failure: 'no disk', tries: 1 }), 'no disk; it is tried again');
    assert.match(waits('failed', { failure: 'no disk', tries: 2 }), /^operator: no disk; repair it and resume/);
  });

  it('is what its note says, before anything else', () => {
    assert.equal(waits('ready', { note: 'Kubernetes does not answer' }), 'operator: Kubernetes does not answer');
  });
});
