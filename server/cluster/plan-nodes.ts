import { workflowLife } from '../life/workflow-life.ts';
import { requirementsText } from '../manifests/hardware-requirements.ts';
import type { Cluster, Hardware } from '../store/store.ts';
import { type Assignment, assignMachines, candidates, type Demand } from './assign-machines.ts';
import type { ClusterFacts, NodeFacts, WantedGroup } from './cluster-facts.ts';
import type { PlannedNode, PlannedSpares, UnfitMachine } from './cluster-plan.ts';
import type { ClusterStep, ProvisionStep, ReleaseStep } from './cluster-step.ts';
import { type Foreseen, foreseeCluster } from './foresee-cluster.ts';
import { nodeGroups } from './node-groups.ts';
import { hardwareOf, type PlanInput } from './plan-input.ts';
import { freeMachines, missingIn, wantedGroups } from './read-facts.ts';

/** Who becomes what, as the controller will decide it. */
export interface NodePlan {
  readonly nodes: readonly PlannedNode[];
  /** In their order; a machine that is installed several times is in it with its last installation. */
  readonly installs: readonly ProvisionStep[];
  readonly foreseen: Foreseen;
  readonly assignment: Assignment;
  readonly spares: readonly PlannedSpares[];
  readonly unfit: readonly UnfitMachine[];
  /** By name. */
  readonly hardware: ReadonlyMap<string, Hardware>;
  /** Machines with an unfinished workflow. */
  readonly busy: ReadonlySet<string>;
}

/** Plays the controller's decisions through on what is known. */
export function planNodes(input: PlanInput, now: Date): NodePlan {
  const hardware = new Map([...input.machines].map(([name, known]) => [name, hardwareOf(known, now)]));
  const cluster = clusterOf(input, now);
  const present = nodesOf(input, hardware);
  const unfinished = input.workflows.filter(({ state }) => !workflowLife.isFinal(state));
  const free = freeMachines(cluster, [...hardware.values()], unfinished);
  const demands = nodeGroups(input.definition).map((group): Demand => {
    return { group, missing: missingIn(group, cluster, present), fitting: candidates(group, free) };
  });
  const facts: ClusterFacts = { cluster, groups: wantedGroups(input.definition, demands), nodes: present };
  const foreseen = foreseeCluster(facts);
  const assignment = assignMachines(demands);
  const installs = lastInstalls(foreseen.moves);
  const nodes = fatesOf({ facts, foreseen, assignment, installs, hardware });
  const used = new Set(nodes.map(({ machine }) => machine));
  const left = free.filter(({ name }) => !used.has(name));
  const busy = new Set(unfinished.flatMap((workflow) => workflow.hardware));
  return {
    nodes,
    installs,
    foreseen,
    assignment,
    hardware,
    busy,
    spares: sparesOf(facts.groups, left),
    unfit: [...hardware.values()]
      .filter(({ name }) => !used.has(name))
      .flatMap((machine) => unfitOf(machine, facts.groups, busy) ?? []),
  };
}

function clusterOf({ existing, definition, options }: PlanInput, now: Date): Cluster {
  if (existing !== undefined) return { ...existing.cluster, definition, options, state: 'changing' };
  const { name } = definition.cluster;
  return { name, version: 0, createdAt: now, state: 'creating', stateAt: now, definition, options, released: [] };
}

function nodesOf({ existing, workflows }: PlanInput, hardware: ReadonlyMap<string, Hardware>): readonly NodeFacts[] {
  return (existing?.nodes ?? []).flatMap((node): readonly NodeFacts[] => {
    const machine = hardware.get(node.hardware);
    const workflow = workflows.find(({ name }) => name === node.workflow);
    return machine === undefined ? [] : [{ node, hardware: machine, ...(workflow && { workflow }) }];
  });
}

function lastInstalls(moves: readonly ClusterStep[]): readonly ProvisionStep[] {
  const installs = new Map<string, ProvisionStep>();
  for (const move of moves) {
    if (move.kind === 'release') installs.delete(move.hardware);
    if (move.kind === 'provision') installs.set(move.hardware, move);
  }
  return [...installs.values()];
}

interface Fates {
  readonly facts: ClusterFacts;
  readonly foreseen: Foreseen;
  readonly assignment: Assignment;
  readonly installs: readonly ProvisionStep[];
  readonly hardware: ReadonlyMap<string, Hardware>;
}

function fatesOf({ facts, foreseen, assignment, installs, hardware }: Fates): readonly PlannedNode[] {
  const { nodes } = facts;
  const present = new Set(nodes.map(({ node }) => node.hardware));
  const reasons = new Map(assignment.choices.map(({ machine, reason }) => [machine, reason]));
  const place = (machine: string) => placeText(hardware.get(machine));
  const installed = installs.map(({ hardware: machine, wanted, step }, index): PlannedNode => {
    const { name: group, role, machineConfig } = wanted.group;
    const fate = present.has(machine) ? 'renewed' : 'added';
    const chosen = reasons.get(machine) ?? `${requirementsText(machineConfig)}; a spare while the group is renewed`;
    const reason = fate === 'added' ? chosen : 'its group is made from something else now';
    return { machine, group, role, fate, reason, order: index + 1, step, ...place(machine) };
  });
  const renewed = new Set(installs.map((step) => step.hardware));
  const releases = new Map(
    foreseen.moves.filter((move): move is ReleaseStep => move.kind === 'release').map((move) => [move.hardware, move]),
  );
  const others = nodes
    .filter(({ node }) => !renewed.has(node.hardware))
    .map(({ node }): PlannedNode => {
      const { hardware: machine, group, role } = node;
      const release = releases.get(machine);
      if (release !== undefined)
        return { machine, group, role, fate: 'removed', reason: release.reason, ...place(machine) };
      return { machine, group, role, fate: 'kept', reason: `is ${node.state}`, ...place(machine) };
    });
  const of = (fate: PlannedNode['fate']) => others.filter((node) => node.fate === fate);
  return [...installed, ...of('kept'), ...of('removed')];
}

function placeText(hardware: Hardware | undefined): Pick<PlannedNode, 'mac' | 'address'> {
  const dhcp = hardware?.spec.interfaces.find((nic) => nic.dhcp !== undefined)?.dhcp;
  if (dhcp === undefined) return {};
  return { mac: dhcp.mac, ...(dhcp.ip === undefined ? {} : { address: dhcp.ip.address }) };
}

/** What remains of each kind of machine. */
function sparesOf(groups: readonly WantedGroup[], left: readonly Hardware[]): readonly PlannedSpares[] {
  const byNeeds = Map.groupBy(groups, ({ group }) => requirementsText(group.machineConfig));
  return [...byNeeds].flatMap(([needs, sharing]): readonly PlannedSpares[] => {
    const [first] = sharing;
    if (first === undefined) return [];
    const machines = candidates(first.group, left).map(({ name }) => name);
    return [{ needs, groups: sharing.map(({ group }) => group.name), machines }];
  });
}

/** Why a machine is neither a node nor a spare. */
function unfitOf(
  machine: Hardware,
  groups: readonly WantedGroup[],
  busy: ReadonlySet<string>,
): UnfitMachine | undefined {
  const { name, labels } = machine;
  const isWanted = groups.some(({ group }) => candidates(group, [machine]).length > 0);
  const reason = isWanted ? whyNotFree(machine, busy) : 'no group wants its labels';
  return reason === undefined ? undefined : { machine: name, labels, reason };
}

/** Why a machine cannot be chosen; undefined: it can. */
export function whyNotFree({ name, claim, stage }: Hardware, busy: ReadonlySet<string>): string | undefined {
  if (claim !== undefined) return `is a node of cluster ${claim.cluster}`;
  if (stage === 'retired') return 'is retired';
  return busy.has(name) ? 'has an unfinished workflow' : undefined;
}
