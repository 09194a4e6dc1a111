import type { Cluster, ClusterNode } from '../store/store.ts';
import type { NodeFacts, WantedGroup } from './cluster-facts.ts';
import type { ClusterOptions } from './cluster-options.ts';
import type { NodeRole } from './node-groups.ts';

export interface GroupFacts {
  readonly cluster: Cluster;
  readonly wanted: WantedGroup;
  readonly members: readonly NodeFacts[];
  /** Machines that another group of this decision takes; those of this one are added. */
  readonly taken: Set<string>;
  /** Nodes may be replaced now: the control plane is as wanted. */
  readonly mayReplace: boolean;
}

export interface GroupDecision {
  readonly wanted: WantedGroup;
  readonly role: NodeRole;
  readonly claims: readonly string[];
  readonly release: readonly { readonly each: NodeFacts; readonly reason: string; readonly powersOff: boolean }[];
  /** To be made anew on their own machines. */
  readonly replace: readonly NodeFacts[];
  readonly obstacles: readonly string[];
  /** As many nodes as wanted, all ready and made from the wanted revision. */
  readonly isCurrent: boolean;
  /** Another node of the group is ready: whoever is made anew joins it. */
  readonly hasOthers: boolean;
}

/** No installation of it is tried any more: that was often enough, or an operator cancelled it and did not resume the cluster since. */
export function isSpent({ node, workflow }: NodeFacts, { retries }: Pick<ClusterOptions, 'retries'>): boolean {
  if (node.state !== 'failed') return false;
  return node.tries > retries || (node.tries > 0 && workflow?.state === 'cancelled');
}

/** Who joins a group, who leaves it and who is made anew; pure. */
export function decideGroup(facts: GroupFacts): GroupDecision {
  const { cluster, wanted, members } = facts;
  const { group, revision } = wanted;
  const withdrawn = new Set(cluster.released.map(({ hardware }) => hardware));
  const present = members.filter(({ node }) => node.state !== 'releasing' && !withdrawn.has(node.hardware));
  const spent = present.filter((each) => isSpent(each, cluster.options));
  const living = present.filter((each) => !isSpent(each, cluster.options));
  const ready = living.filter(({ node }) => node.state === 'ready');
  const outdated = living.filter(({ node }) => node.revision !== revision && node.state !== 'claimed');
  const state: GroupState = { ...facts, living, ready, outdated, spent };
  const none: GroupDecision = {
    wanted,
    role: group.role,
    claims: [],
    release: [],
    replace: [],
    obstacles: [],
    isCurrent: living.length === group.count && ready.length === living.length && outdated.length === 0,
    hasOthers: ready.length > 1,
  };
  const missing = group.count - living.length;
  if (missing > 0) return { ...none, ...fill(state, missing) };
  if (outdated.length > 0 && facts.mayReplace) return { ...none, ...renew(state) };
  if (missing < 0 && outdated.length === 0) return { ...none, release: surplus(state, -missing) };
  return none;
}

interface GroupState extends GroupFacts {
  /** Neither leaving nor given up. */
  readonly living: readonly NodeFacts[];
  readonly ready: readonly NodeFacts[];
  /** Made from something else than is wanted now. */
  readonly outdated: readonly NodeFacts[];
  readonly spent: readonly NodeFacts[];
}

/** Takes spares that nobody took before. */
function takeSpares({ wanted, taken }: GroupFacts, count: number): readonly string[] {
  const chosen = wanted.spares.filter((name) => !taken.has(name)).slice(0, Math.max(0, count));
  for (const name of chosen) taken.add(name);
  return chosen;
}

function fill(state: GroupState, missing: number): Pick<GroupDecision, 'claims' | 'obstacles'> {
  const { cluster, wanted, spent } = state;
  const isStopped = spent.length > 0 && cluster.options.onFailure === 'stop';
  // A failed node keeps its place where nobody may take it.
  const claims = takeSpares(state, isStopped ? missing - spent.length : missing);
  const lacking = missing - claims.length;
  if (lacking === 0) return { claims, obstacles: [] };
  const failed = spent.slice(0, lacking).map(({ node }) => failedNode(node, isStopped));
  if (failed.length >= lacking) return { claims, obstacles: failed };
  const more = lacking - failed.length;
  const machines = more === 1 ? 'one machine' : `${more} machines`;
  const leaving = state.members.some(({ node }) => node.state === 'releasing');
  // What is being wiped may be what is missed: it is a spare as soon as it is free.
  if (leaving && failed.length === 0) return { claims, obstacles: [] };
  const obstacle = `the group ${wanted.group.name} lacks ${machines}: apply Hardware that its machine config ${wanted.group.machineConfig.name} selects, or scale it`;
  return { claims, obstacles: [...failed, obstacle] };
}

function failedNode({ hardware, failure, tries, cluster }: ClusterNode, isStopped: boolean): string {
  const times = tries === 1 ? 'once' : `${tries} times`;
  const spare = isStopped ? '' : ', and no spare machine fits';
  return `${hardware} failed ${times} (${failure ?? 'no reason is known'})${spare}: repair it and resume (tinsmith cluster resume ${cluster})`;
}

/** Another revision is wanted: one node after the other, or as many as the group's strategy lets. */
function renew(state: GroupState): Pick<GroupDecision, 'claims' | 'release' | 'replace' | 'obstacles'> {
  const { wanted, living, ready, outdated, members } = state;
  const { group } = wanted;
  const nothing = { claims: [], release: [], replace: [], obstacles: [] };
  const broken = outdated.filter(({ node }) => node.state === 'failed');
  // What does not work is made anew at once, where the order of installations allows it (installSteps).
  const working = outdated.filter(({ node }) => node.state === 'ready');
  if (working.length === 0) return nothing;
  const above = living.length - group.count;
  const spare = ready.length - (group.count - allowedGaps(group.rollout));
  if (above > 0) {
    const leaving = Math.min(above, group.role === 'controlPlane' ? Math.min(1, spare) : spare, working.length);
    const reason = `a node of another revision took its place`;
    return {
      ...nothing,
      release: lastFirst(working)
        .slice(0, Math.max(0, leaving))
        .map((each) => ({ each, reason, powersOff: false })),
    };
  }
  const isQuiet = ready.length === living.length;
  if (group.role === 'controlPlane' && (!isQuiet || broken.length > 0)) return nothing;
  const surge = group.rollout.type === 'RollingUpdate' ? group.rollout.maxSurge : 0;
  const claims = takeSpares(
    state,
    group.role === 'controlPlane' ? Math.min(1, surge) : Math.min(surge, working.length),
  );
  if (claims.length > 0) return { ...nothing, claims };
  // Its machine is the next spare.
  if (surge > 0 && members.some(({ node }) => node.state === 'releasing')) return nothing;
  return { ...nothing, ...renewInPlace(state, working) };
}

function renewInPlace(state: GroupState, working: readonly NodeFacts[]): Pick<GroupDecision, 'replace' | 'obstacles'> {
  const { wanted, living, ready, cluster } = state;
  const { group } = wanted;
  if (group.role === 'controlPlane' && group.count === 1 && !cluster.options.loseState) {
    const name = working[0]?.node.hardware ?? '';
    const fact = `the only control-plane node ${name} cannot be made anew on its own machine without losing what the cluster remembers`;
    return { replace: [], obstacles: [`${fact}: apply a spare machine for it, or upgrade with --lose-state`] };
  }
  const atOnce = group.role === 'controlPlane' ? 1 : Math.max(1, allowedGaps(group.rollout));
  const busy = living.length - ready.length;
  return { replace: working.slice(0, Math.max(0, atOnce - busy)), obstacles: [] };
}

function allowedGaps({ type, maxUnavailable }: WantedGroup['group']['rollout']): number {
  return type === 'RollingUpdate' ? maxUnavailable : 1;
}

/** Those that go when fewer are wanted: what does not work first, then the newest; of the control plane one after the other. */
function surplus(state: GroupState, count: number): GroupDecision['release'] {
  const { wanted, living, ready } = state;
  const { group } = wanted;
  const notReady = living.filter(({ node }) => node.state !== 'ready');
  const order = [...lastFirst(notReady), ...lastFirst(ready)];
  const isControlPlane = group.role === 'controlPlane';
  const isLeaving = state.members.some(({ node }) => node.state === 'releasing');
  const most = isControlPlane ? (isLeaving ? 0 : 1) : count;
  const reason = `the group ${group.name} is to have ${group.count} nodes`;
  return order.slice(0, Math.min(count, most)).map((each) => ({ each, reason, powersOff: true }));
}

/** The node that made the control plane goes last. */
function lastFirst(nodes: readonly NodeFacts[]): readonly NodeFacts[] {
  return nodes.toSorted(
    ({ node: a }, { node: b }) =>
      Number(a.initialises) - Number(b.initialises) ||
      b.claimedAt.getTime() - a.claimedAt.getTime() ||
      b.hardware.localeCompare(a.hardware),
  );
}
