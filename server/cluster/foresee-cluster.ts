import type { ClusterNode, Hardware } from '../store/store.ts';
import type { ClusterFacts, NodeFacts, WantedGroup } from './cluster-facts.ts';
import { type ClusterStep, type FactStep, isFactStep, isStateStep } from './cluster-step.ts';
import { decideCluster } from './decide-cluster.ts';

/** What will happen to a cluster if every step succeeds, in order, and what will then stop it. */
export interface Foreseen {
  readonly steps: readonly string[];
  /** The steps as the controller decides them. */
  readonly moves: readonly ClusterStep[];
  readonly obstacles: readonly string[];
}

/** More rounds than a cluster of any size needs for one step of one node each. */
const MOST_ROUNDS = 10_000;

/** Plays the controller's own decisions through to their end, so that what is told before is what is done after. Pure. */
export function foreseeCluster(facts: ClusterFacts): Foreseen {
  const told: string[] = [];
  const moves: ClusterStep[] = [];
  let current: ClusterFacts = { ...facts, nodes: facts.nodes.map((each) => settled(facts, each)) };
  for (let round = 0; round < MOST_ROUNDS; round += 1) {
    const { steps, obstacles } = decideCluster(current);
    const work = steps.filter(({ kind }) => kind !== 'settle' && kind !== 'resume' && kind !== 'block');
    if (work.length === 0) return { steps: told, moves, obstacles };
    for (const step of work) {
      const sentence = sentenceOf(current, step);
      if (sentence !== undefined) told.push(sentence);
      moves.push(step);
      current = after(current, step);
    }
    if (work.some(({ kind }) => kind === 'remove')) return { steps: told, moves, obstacles };
  }
  return { steps: told, moves, obstacles: [] };
}

/** What is under way counts as done, unless the node leaves anyhow: then it is not finished, and maybe not begun. */
function settled({ cluster }: ClusterFacts, each: NodeFacts): NodeFacts {
  const { state } = each.node;
  const isLeaving =
    cluster.state === 'deleting' || cluster.released.some(({ hardware }) => hardware === each.node.hardware);
  if (isLeaving && state !== 'releasing') return each;
  if (state === 'provisioning' || state === 'installed') return { ...each, node: { ...each.node, state: 'ready' } };
  if (state !== 'releasing') return each;
  const { workflow: _, note: _note, ...node } = each.node;
  return { node, hardware: each.hardware };
}

function sentenceOf({ cluster }: ClusterFacts, step: ClusterStep): string | undefined {
  if (step.kind === 'provision') {
    const { group } = step.wanted;
    const how = step.leaves
      ? 'leaves Kubernetes and is installed anew on its own machine'
      : step.step === 'init'
        ? 'is installed and makes the control plane'
        : 'is installed and joins';
    return `${group.name}: ${step.hardware} ${how}, Kubernetes ${group.kubernetesVersion}; its disks are erased`;
  }
  if (step.kind === 'release') {
    const disks = step.wipe ? 'its disks are wiped' : 'its disks are left as they are';
    return `${step.hardware} leaves ${cluster.name} because ${step.reason}; ${disks}`;
  }
  return step.kind === 'remove' ? `the cluster ${cluster.name}, its secrets and its templates are gone` : undefined;
}

/** The facts once a step has succeeded. */
function after(facts: ClusterFacts, step: ClusterStep): ClusterFacts {
  if (isStateStep(step)) return facts;
  if (isFactStep(step)) return afterFact(facts, step);
  if (step.kind === 'release') return withSpare(facts, step.hardware);
  if (step.kind === 'claim') {
    return { ...withoutSpare(facts, step.hardware), nodes: [...facts.nodes, claimed(facts, step)] };
  }
  const { revision } = step.wanted;
  return withNode(facts, step.hardware, { state: 'ready', revision, initialises: step.step === 'init' });
}

function afterFact(facts: ClusterFacts, step: FactStep): ClusterFacts {
  switch (step.kind) {
    case 'giveBack':
      return { ...facts, nodes: facts.nodes.filter(({ node }) => node.hardware !== step.hardware) };
    case 'ready':
    case 'installed':
    case 'retried':
      return withNode(facts, step.hardware, { state: 'ready' });
    case 'failed':
      return withNode(facts, step.hardware, { state: 'failed', failure: step.reason });
  }
}

function withNode(facts: ClusterFacts, name: string, change: Partial<ClusterNode>): ClusterFacts {
  const nodes = facts.nodes.map((each) =>
    each.node.hardware === name ? { ...each, node: { ...each.node, ...change } } : each,
  );
  return { ...facts, nodes };
}

/** A machine that left is a spare of the group that it was in, unless its operator took it. */
function withSpare(facts: ClusterFacts, name: string): ClusterFacts {
  const left = facts.nodes.find(({ node }) => node.hardware === name)?.node;
  const isTaken = facts.cluster.released.some(({ hardware }) => hardware === name);
  const groups = facts.groups.map((wanted): WantedGroup => {
    const isNext = !isTaken && wanted.group.name === left?.group;
    return isNext ? { ...wanted, spares: [...wanted.spares, name] } : wanted;
  });
  return { ...facts, groups, nodes: facts.nodes.filter(({ node }) => node.hardware !== name) };
}

function withoutSpare(facts: ClusterFacts, name: string): ClusterFacts {
  const groups = facts.groups.map((each) => ({ ...each, spares: each.spares.filter((spare) => spare !== name) }));
  return { ...facts, groups };
}

function claimed({ cluster }: ClusterFacts, step: Extract<ClusterStep, { kind: 'claim' }>): NodeFacts {
  const { group, revision } = step.wanted;
  const at = cluster.stateAt;
  const node: ClusterNode = {
    hardware: step.hardware,
    cluster: cluster.name,
    group: group.name,
    role: group.role,
    revision,
    initialises: false,
    state: 'claimed',
    stateAt: at,
    claimedAt: at,
    tries: 0,
  };
  const hardware: Hardware = {
    name: step.hardware,
    labels: {},
    annotations: {},
    spec: { interfaces: [], disks: [] },
    version: 0,
    createdAt: at,
    stage: 'discovered',
    stageAt: at,
    netboot: true,
    hasUserData: false,
  };
  return { node, hardware };
}
