import type { HardwareManifest } from '../manifests/hardware-kind.ts';
import { affinityScore, fits, requirementsText } from '../manifests/hardware-requirements.ts';
import type { NodeGroup } from './node-groups.ts';

type Machine = Pick<HardwareManifest, 'name' | 'labels'>;

/** Nodes that a group lacks, and the free machines that fit it, best first: see `candidates`. */
export interface Demand {
  readonly group: NodeGroup;
  readonly missing: number;
  readonly fitting: readonly Machine[];
}

/** A machine for a place in a group, and why this one. */
export interface Choice {
  readonly machine: string;
  readonly group: string;
  readonly reason: string;
}

/** Groups that together need more machines than fit any of them. */
export interface Shortage {
  readonly groups: readonly NodeGroup[];
  readonly needed: number;
  readonly fitting: readonly string[];
}

export interface Assignment {
  /** In the order of the groups, of each the best first. */
  readonly choices: readonly Choice[];
  readonly shortages: readonly Shortage[];
}

/** Machines that fit a group, best first: by score, then by name. */
export function candidates<M extends Machine>(
  group: Pick<NodeGroup, 'machineConfig'>,
  machines: readonly M[],
): readonly M[] {
  const { machineConfig } = group;
  const scored = machines
    .filter((machine) => fits(machine, machineConfig))
    .map((machine) => ({ machine, score: affinityScore(machine, machineConfig) }));
  return scored.toSorted((a, b) => b.score - a.score || byName(a.machine, b.machine)).map(({ machine }) => machine);
}

/**
 * Finds a machine for every place, no machine twice. Groups are served in their order, each with its best machines; a machine is
 * given to a later group after all if an earlier one can do with another and the later one cannot. So a place stays empty only
 * where no choice at all would fill it. The same input gives the same answer.
 */
export function assignMachines(demands: readonly Demand[]): Assignment {
  const places = demands.flatMap(({ group, missing, fitting }) => {
    const names = fitting.map(({ name }) => name);
    return Array.from({ length: Math.max(0, missing) }, (): Place => ({ group, names }));
  });
  const owners = new Map<string, Place>();
  const failed = new Set<string>();
  const tight: Tight[] = [];
  for (const place of places) {
    if (failed.has(place.group.name)) continue; // another place of that group found nothing, and since then nothing came free
    const seen = new Set<string>();
    if (take(place, owners, seen)) continue;
    failed.add(place.group.name);
    const rivals = [...seen].flatMap((name) => owners.get(name)?.group.name ?? []);
    tight.push({ groups: new Set([place.group.name, ...rivals]), machines: seen });
  }
  return {
    choices: demands.flatMap((demand) => choicesOf(demand, owners)),
    shortages: merged(tight).map(({ groups, machines }) => {
      const short = demands.filter(({ group }) => groups.has(group.name));
      return {
        groups: short.map(({ group }) => group),
        needed: short.reduce((sum, { missing }) => sum + missing, 0),
        fitting: [...machines].toSorted(),
      };
    }),
  };
}

/**
 * Free machines of each group in the order in which to take them: first what a whole assignment gives it, then what no group gets,
 * then what another group needs more. Whoever takes from the front, group after group, takes what `assignMachines` chose.
 */
export function rankedSpares(demands: readonly Demand[]): ReadonlyMap<string, readonly string[]> {
  const { choices } = assignMachines(demands);
  const groupOf = new Map(choices.map(({ machine, group }) => [machine, group]));
  return new Map(
    demands.map(({ group, fitting }) => {
      const rank = ({ name }: Machine): number => {
        const owner = groupOf.get(name);
        return owner === group.name ? 0 : owner === undefined ? 1 : 2;
      };
      return [group.name, fitting.toSorted((a, b) => rank(a) - rank(b)).map(({ name }) => name)];
    }),
  );
}

/** One node that is to be; `names`: machines that fit, best first. */
interface Place {
  readonly group: NodeGroup;
  readonly names: readonly string[];
}

/** Finds a machine for a place, moving others if they can do with another one (an augmenting path of a bipartite matching). */
function take(place: Place, owners: Map<string, Place>, seen: Set<string>): boolean {
  const name = place.names.find((each) => !owners.has(each));
  if (name !== undefined) {
    owners.set(name, place);
    return true;
  }
  for (const each of place.names) {
    if (seen.has(each)) continue;
    seen.add(each);
    const owner = owners.get(each);
    if (owner === undefined || !take(owner, owners, seen)) continue;
    owners.set(each, place);
    return true;
  }
  return false;
}

function choicesOf({ group, fitting }: Demand, owners: ReadonlyMap<string, Place>): readonly Choice[] {
  const own = fitting.filter(({ name }) => owners.get(name)?.group.name === group.name);
  return own.map((machine, index) => {
    const before = fitting.slice(0, fitting.indexOf(machine));
    const elsewhere = before.filter((each) => !own.includes(each));
    const reason = reasonOf(group, machine, { index, elsewhere, owners });
    return { machine: machine.name, group: group.name, reason };
  });
}

/** `label type=cp; first free by name`, `affinity score 30; next by name`, `…; m1 goes to md-0`. */
function reasonOf(
  { machineConfig }: NodeGroup,
  machine: Machine,
  place: {
    readonly index: number;
    readonly elsewhere: readonly Machine[];
    readonly owners: ReadonlyMap<string, Place>;
  },
): string {
  const { hardwareSelector, hardwareAffinity } = machineConfig;
  const score = affinityScore(machine, machineConfig);
  const why = [
    ...(hardwareSelector === undefined ? [] : [`label ${requirementsText({ hardwareSelector })}`]),
    ...(hardwareAffinity === undefined ? [] : [requirementsText({ hardwareAffinity })]),
    ...(hardwareAffinity === undefined || hardwareAffinity.preferred.length === 0 ? [] : [`affinity score ${score}`]),
    place.index === 0 ? 'first free by name' : 'next free by name',
    ...place.elsewhere.map(({ name }) => `${name} goes to ${place.owners.get(name)?.group.name ?? 'nobody'}`),
  ];
  return why.join('; ');
}

interface Tight {
  readonly groups: ReadonlySet<string>;
  readonly machines: ReadonlySet<string>;
}

/** Shortages that share a group or a machine are one. */
function merged(tight: readonly Tight[]): readonly Tight[] {
  const done: Tight[] = [];
  for (const next of tight) {
    const isNear = (other: Tight): boolean =>
      !next.groups.isDisjointFrom(other.groups) || !next.machines.isDisjointFrom(other.machines);
    const near = done.filter(isNear);
    const whole = near.reduce(
      (sum, each) => ({ groups: sum.groups.union(each.groups), machines: sum.machines.union(each.machines) }),
      next,
    );
    done.splice(0, done.length, ...done.filter((each) => !near.includes(each)), whole);
  }
  return done;
}

function byName(a: Machine, b: Machine): number {
  return a.name < b.name ? -1 : a.name > b.name ? 1 : 0;
}
