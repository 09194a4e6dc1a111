import { workflowLife } from '../life/workflow-life.ts';
import type { ClusterFacts, NodeFacts } from './cluster-facts.ts';
import type { ClusterStep, ProvisionStep, ReleaseStep } from './cluster-step.ts';
import { decideGroup, type GroupDecision, isSpent } from './decide-group.ts';
import type { NodeRole } from './node-groups.ts';

/** What to do now, and what keeps the cluster from going on by itself. */
export interface ClusterDecision {
  readonly steps: readonly ClusterStep[];
  /** One sentence each; not empty: an operator is needed. */
  readonly obstacles: readonly string[];
}

/**
 * What to do next for a cluster; pure. What happened is written down before anything else is decided. Machines are claimed for
 * all groups at once, so that nobody else takes them; they are installed control plane first: one node makes it, the others
 * join it one after the other, then come the workers side by side. A cluster that is ready is left alone.
 */
export function decideCluster(facts: ClusterFacts): ClusterDecision {
  const happened = facts.nodes.flatMap((each) => whatHappened(each));
  if (happened.length > 0) return { steps: happened, obstacles: [] };
  const { state } = facts.cluster;
  if (state === 'deleting') return { steps: decideDelete(facts), obstacles: [] };
  if (state === 'ready') return { steps: [], obstacles: [] };
  return decideMembers(facts);
}

function whatHappened(each: NodeFacts): readonly ClusterStep[] {
  switch (each.node.state) {
    case 'provisioning':
      return installed(each);
    case 'installed':
      return started(each);
    case 'failed':
      return retried(each);
    case 'releasing':
      return givenBack(each);
    case 'claimed':
    case 'ready':
      return [];
  }
}

function installed(each: NodeFacts): readonly ClusterStep[] {
  const { node, workflow } = each;
  if (workflow?.state !== 'succeeded') return failed(each);
  return [{ kind: 'installed', hardware: node.hardware, workflow: workflow.name }];
}

/** What a system last said of its first start counts; one that failed is an installation that failed. */
function started(each: NodeFacts): readonly ClusterStep[] {
  const { node } = each;
  const reason = startFailure(each);
  if (reason !== undefined) return [{ kind: 'failed', hardware: node.hardware, workflow: node.workflow ?? '', reason }];
  return isUp(each) ? [{ kind: 'ready', hardware: node.hardware }] : [];
}

/** Forgotten as soon as the machine is to be installed anew. */
function startFailure({ hardware: { bootstrapFailure } }: NodeFacts): string | undefined {
  return bootstrapFailure === undefined ? undefined : `its first start failed: ${bootstrapFailure}`;
}

function givenBack(each: NodeFacts): readonly ClusterStep[] {
  const { node, workflow } = each;
  if (node.workflow !== undefined && workflow?.state !== 'succeeded') return failed(each);
  return [{ kind: 'giveBack', hardware: node.hardware }];
}

/** A machine that cannot tell by itself is up as soon as it is installed. */
function isUp({ hardware: { stage, readyAt, readyBy } }: NodeFacts): boolean {
  return stage === 'installed' && (readyAt !== undefined || readyBy === 'installed');
}

function failed({ node, workflow }: NodeFacts): readonly ClusterStep[] {
  const reason = failureOf(workflow);
  if (reason === undefined || reason === node.note) return []; // none, or written down before
  return [{ kind: 'failed', hardware: node.hardware, workflow: node.workflow ?? '', reason }];
}

/** An operator started the workflow of a failed node again, or its system came up after all. */
function retried(each: NodeFacts): readonly ClusterStep[] {
  const { node, workflow } = each;
  if (workflow === undefined || failureOf(workflow) !== undefined || startFailure(each) !== undefined) return [];
  return [{ kind: 'retried', hardware: node.hardware, workflow: workflow.name }];
}

function failureOf(workflow: NodeFacts['workflow']): string | undefined {
  if (workflow === undefined) return 'its workflow was deleted';
  if (!workflowLife.isFinal(workflow.state) || workflow.state === 'succeeded') return undefined;
  return `workflow ${workflow.name} ${workflow.state}: ${workflow.error?.message ?? 'no reason is known'}`;
}

/** Workers first, so that they leave while there is a control plane; then that; then the record. */
function decideDelete(facts: ClusterFacts): readonly ClusterStep[] {
  const { nodes, cluster } = facts;
  if (nodes.length === 0) return [{ kind: 'remove' }];
  const workers = nodes.filter(({ node }) => node.role === 'worker');
  const now = workers.length > 0 ? workers : nodes;
  const reason = `the cluster ${cluster.name} is being deleted`;
  return now.flatMap((each) => releaseSteps(facts, each, { reason, leaves: false }));
}

/** The step that lets a node go, unless it is on its way; a wipe that failed is tried again as often as an installation. */
function releaseSteps(
  { cluster }: ClusterFacts,
  each: NodeFacts,
  { reason, leaves, powersOff = true }: Pick<ReleaseStep, 'reason' | 'leaves'> & { readonly powersOff?: boolean },
): readonly ReleaseStep[] {
  const { node } = each;
  const withdrawn = cluster.released.find(({ hardware }) => hardware === node.hardware);
  const mayWipe = withdrawn?.wipe ?? cluster.options.wipe;
  const what = { kind: 'release', hardware: node.hardware, reason, leaves, powersOff } as const;
  const release = (wipe: boolean): ReleaseStep => ({ ...what, wipe });
  if (node.state !== 'releasing') return [release(mayWipe && hasBegun(each))];
  const hasFailed = each.workflow === undefined || workflowLife.isFinal(each.workflow.state);
  if (!mayWipe) return [release(false)];
  return hasFailed && node.tries <= cluster.options.retries ? [release(true)] : [];
}

/** Whether an installation may have changed the machine's disks. */
function hasBegun({ node, workflow }: NodeFacts): boolean {
  if (node.state === 'claimed') return node.workflow !== undefined;
  return node.state !== 'provisioning' || node.tries > 1 || workflow?.startedAt !== undefined;
}

function decideMembers(facts: ClusterFacts): ClusterDecision {
  const { cluster, nodes } = facts;
  const taken = new Set<string>();
  const leaving = decideLeaving(facts);
  const decisions: GroupDecision[] = [];
  for (const wanted of facts.groups) {
    const isFirst = wanted.group.role === 'controlPlane';
    const mayReplace = isFirst || decisions.every(({ isCurrent, role }) => role === 'worker' || isCurrent);
    const members = nodes.filter(({ node }) => node.group === wanted.group.name);
    decisions.push(decideGroup({ cluster, wanted, members, taken, mayReplace }));
  }
  const obstacles = [...leaving.obstacles, ...decisions.flatMap((each) => each.obstacles)];
  const releases = decisions
    .flatMap(({ release }) => release)
    .flatMap(({ each, reason, powersOff }) =>
      releaseSteps(facts, each, { reason, leaves: isInKubernetes(each), powersOff }),
    );
  const claims = decisions.flatMap(({ claims: names, wanted }) =>
    names.map((hardware): ClusterStep => ({ kind: 'claim', hardware, wanted })),
  );
  const isStopped = cluster.options.onFailure === 'stop' && nodes.some((each) => isSpent(each, cluster.options));
  const installs = isStopped ? [] : [...installSteps(facts), ...replaceSteps(decisions)];
  const going = new Set([...leaving.steps, ...releases].map((step) => ('hardware' in step ? step.hardware : '')));
  const staying = installs.filter(({ hardware }) => !going.has(hardware));
  const work = [...leaving.steps, ...claims, ...releases, ...staying];
  if (work.length > 0 && obstacles.length === 0) return { steps: [...resumed(facts), ...work], obstacles };
  if (obstacles.length > 0) return { steps: [...work, ...blocked(facts, obstacles)], obstacles };
  const isWhole = decisions.every((each) => each.isCurrent) && !nodes.some(({ node }) => node.state === 'releasing');
  return { steps: [...resumed(facts), ...(isWhole && cluster.state !== 'blocked' ? settled : [])], obstacles };
}

const settled: readonly ClusterStep[] = [{ kind: 'settle' }];

function resumed({ cluster }: ClusterFacts): readonly ClusterStep[] {
  return cluster.state === 'blocked' ? [{ kind: 'resume' }] : [];
}

function blocked({ cluster }: ClusterFacts, obstacles: readonly string[]): readonly ClusterStep[] {
  const reason = obstacles.join('; ');
  return cluster.failure === reason ? [] : [{ kind: 'block', reason }];
}

/** Nodes that go whatever their group wants: their operator took them, their group is gone, or their wipe is to be tried again. */
function decideLeaving(facts: ClusterFacts): ClusterDecision {
  const { cluster, nodes, groups } = facts;
  const names = new Set(groups.map(({ group }) => group.name));
  const steps: ClusterStep[] = [];
  const obstacles: string[] = [];
  for (const each of nodes) {
    const { node } = each;
    const isWithdrawn = cluster.released.some(({ hardware }) => hardware === node.hardware);
    if (node.state === 'releasing') {
      const again = releaseSteps(facts, each, { reason: 'its wipe failed', leaves: false });
      steps.push(...again);
      if (again.length === 0 && node.note !== undefined) obstacles.push(stuckWipe(node.hardware, node.note));
    } else if (isWithdrawn) {
      steps.push(...releaseSteps(facts, each, { reason: 'an operator released it', leaves: isInKubernetes(each) }));
    } else if (!names.has(node.group)) {
      const reason = `the group ${node.group} is not wanted any more`;
      steps.push(...releaseSteps(facts, each, { reason, leaves: isInKubernetes(each) }));
    }
  }
  return { steps, obstacles };
}

function stuckWipe(hardware: string, note: string): string {
  return `the disks of ${hardware} could not be wiped (${note}): repair it and resume, or give it back as it is (tinsmith hardware release ${hardware} --no-wipe)`;
}

/** A node that came up once may have joined, whatever became of it. */
function isInKubernetes({ node, workflow }: NodeFacts): boolean {
  if (node.state === 'failed') return workflow?.state === 'succeeded'; // its system was there
  return node.state === 'ready' || node.state === 'installed';
}

const BUSY: ReadonlySet<string> = new Set(['provisioning', 'installed']);

/** The next installations of nodes that are claimed, or failed and may be tried again. */
function installSteps(facts: ClusterFacts): readonly ProvisionStep[] {
  const { cluster, groups, nodes } = facts;
  const wantedOf = new Map(groups.map((wanted) => [wanted.group.name, wanted]));
  const withdrawn = new Set(cluster.released.map(({ hardware }) => hardware));
  const ofRole = (role: NodeRole): readonly NodeFacts[] =>
    nodes.filter(
      (each) => each.node.role === role && each.node.state !== 'releasing' && !isSpent(each, cluster.options),
    );
  const provision = (each: NodeFacts, step: ProvisionStep['step']): readonly ProvisionStep[] => {
    const wanted = wantedOf.get(each.node.group);
    if (wanted === undefined || withdrawn.has(each.node.hardware)) return [];
    const leaves = step !== 'init' && isInKubernetes(each);
    return [{ kind: 'provision', hardware: each.node.hardware, wanted, step, leaves }];
  };
  const controlPlane = ofRole('controlPlane');
  const isUp = nodes.some(({ node }) => node.role === 'controlPlane' && node.state === 'ready');
  if (controlPlane.some(({ node }) => node.state !== 'ready')) {
    if (controlPlane.some(({ node }) => BUSY.has(node.state))) return [];
    const waiting = controlPlane.filter(({ node }) => node.state !== 'ready');
    const next = waiting.find(({ node }) => node.initialises) ?? waiting[0];
    return next === undefined ? [] : provision(next, isUp ? 'joinControlPlane' : 'init');
  }
  if (!isUp) return [];
  const workers = ofRole('worker');
  const free = cluster.options.parallel - workers.filter(({ node }) => BUSY.has(node.state)).length;
  const waiting = workers.filter(({ node }) => node.state === 'claimed' || node.state === 'failed');
  return waiting.slice(0, Math.max(0, free)).flatMap((each) => provision(each, 'joinWorker'));
}

/** Nodes that are made anew on their own machines. */
function replaceSteps(decisions: readonly GroupDecision[]): readonly ProvisionStep[] {
  return decisions.flatMap(({ replace, wanted, role, hasOthers }) =>
    replace.map((each): ProvisionStep => {
      const step = role === 'worker' ? 'joinWorker' : hasOthers ? 'joinControlPlane' : 'init';
      return { kind: 'provision', hardware: each.node.hardware, wanted, step, leaves: hasOthers || role === 'worker' };
    }),
  );
}
