import { listed } from './findings.ts';
import type { HardwareManifest } from './hardware-kind.ts';
import { fits, requirementsText } from './hardware-requirements.ts';
import { faultOfSelector } from './hardware-selector.ts';
import type { MachineConfigManifest } from './machine-config-kind.ts';

type Machine = Pick<HardwareManifest, 'name' | 'labels'>;
type Choice = Pick<MachineConfigManifest, 'hardwareSelector' | 'hardwareAffinity'>;

/** How many machines a group of nodes needs, and which ones it may have. */
export interface GroupNeed {
  readonly name: string;
  readonly count: number;
  readonly machineConfig: Choice;
}

/** The needs of all groups that choose by the same labels, added up, against the machines that there are. */
interface HardwareRequirement {
  /** `type=cp`. */
  readonly condition: string;
  readonly groups: readonly string[];
  readonly need: number;
  /** Names of the machines that fit. */
  readonly machines: readonly string[];
  /** Machines that are missing when everybody gets theirs; a machine that fits several counts for one only. */
  readonly missing: number;
}

/** What each condition needs and has, in the order of the groups. */
function hardwareRequirements(
  groups: readonly GroupNeed[],
  machines: readonly Machine[],
): readonly HardwareRequirement[] {
  const conditions = conditionsOf(groups, machines);
  const missing = missingOf(conditions);
  return conditions.map(({ text, groups: sharing, need, fitting }, index) => ({
    condition: text,
    groups: sharing.map(({ name }) => name),
    need,
    machines: fitting,
    missing: missing[index] ?? 0,
  }));
}

/** A fault of the hardware, told of the group that is the first to have it. */
export interface HardwareFault {
  readonly group: string;
  readonly message: string;
}

/** Says which machines are missing; empty: every group gets its machines. */
export function hardwareShortfalls(groups: readonly GroupNeed[], machines: readonly Machine[]): HardwareFault[] {
  return hardwareRequirements(groups, machines).flatMap((requirement) => {
    const { condition, need, missing, machines: fitting } = requirement;
    const [group = ''] = requirement.groups;
    if (missing === 0) return [];
    const selector = groups.find(({ name }) => name === group)?.machineConfig.hardwareSelector;
    const fault = selector === undefined || fitting.length > 0 ? undefined : faultOfSelector(selector, machines);
    if (fault !== undefined) return [{ group, message: fault }];
    const names = requirement.groups.join(' and ');
    const verb = requirement.groups.length === 1 ? 'needs' : 'need';
    const are = fitting.length === 1 ? 'is' : 'are';
    const have = fitting.length === 0 ? 'there is none' : `there ${are} ${fitting.length} (${listed(fitting)})`;
    const shared = need <= fitting.length ? ', which other groups need as well' : '';
    const machine = need === 1 ? 'machine' : 'machines';
    const message = `${names} ${verb} ${need} ${machine} with ${condition} and ${have}${shared}`;
    return [{ group, message: `${message}: add ${missing}, or lower a count` }];
  });
}

/** Machines that fit two different selectors, which EKS Anywhere refuses: here each gets one place, but maybe not the one meant. */
export function contestedMachines(groups: readonly GroupNeed[], machines: readonly Machine[]): HardwareFault[] {
  const conditions = conditionsOf(groups, machines).filter(({ choice }) => choice.hardwareSelector !== undefined);
  const faults: HardwareFault[] = [];
  for (const [index, first] of conditions.entries()) {
    for (const second of conditions.slice(index + 1)) {
      const both = first.fitting.filter((name) => second.fitting.includes(name));
      if (both.length === 0) continue;
      const fact = `${listed(both)} ${both.length === 1 ? 'has' : 'have'} both ${first.text} and ${second.text}`;
      const group = second.groups[0]?.name ?? '';
      faults.push({
        group,
        message: `${fact}: it goes where it is needed, remove one of its labels if that matters`,
      });
    }
  }
  return faults;
}

interface Condition {
  readonly text: string;
  readonly choice: Choice;
  readonly groups: GroupNeed[];
  readonly fitting: readonly string[];
  need: number;
}

function conditionsOf(groups: readonly GroupNeed[], machines: readonly Machine[]): readonly Condition[] {
  const conditions = new Map<string, Condition>();
  for (const group of groups) {
    const text = requirementsText(group.machineConfig);
    const before = conditions.get(text);
    if (before !== undefined) {
      before.groups.push(group);
      before.need += group.count;
      continue;
    }
    const choice = group.machineConfig;
    const fitting = machines.filter((machine) => fits(machine, choice)).map(({ name }) => name);
    conditions.set(text, { text, choice, groups: [group], fitting, need: group.count });
  }
  return [...conditions.values()];
}

/** Machines that fit the same conditions are alike: `free` of them are nobody's, `given[i]` are condition i's. */
interface MachineClass {
  readonly fits: ReadonlySet<number>;
  free: number;
  readonly given: number[];
}

/**
 * What each condition lacks when the machines are given out as well as possible: a flow of machines to conditions, where a
 * condition takes a machine from another that can take one elsewhere.
 */
function missingOf(conditions: readonly Condition[]): readonly number[] {
  const classes = classesOf(conditions);
  return conditions.map(({ need }, index) => {
    let lacking = need;
    while (lacking > 0 && takeOne(index, classes, new Set())) lacking--;
    return lacking;
  });
}

function takeOne(condition: number, classes: readonly MachineClass[], tried: Set<MachineClass>): boolean {
  const able = classes.filter((one) => one.fits.has(condition) && !tried.has(one));
  const free = able.find((one) => one.free > 0);
  if (free !== undefined) {
    free.free--;
    free.given[condition] = (free.given[condition] ?? 0) + 1;
    return true;
  }
  for (const one of able) {
    tried.add(one);
    for (const other of one.fits) {
      if (other === condition || (one.given[other] ?? 0) === 0 || !takeOne(other, classes, tried)) continue;
      one.given[other] = (one.given[other] ?? 0) - 1;
      one.given[condition] = (one.given[condition] ?? 0) + 1;
      return true;
    }
  }
  return false;
}

function classesOf(conditions: readonly Condition[]): readonly MachineClass[] {
  const fitsOf = new Map<string, number[]>();
  for (const [index, { fitting }] of conditions.entries()) {
    for (const name of fitting) fitsOf.set(name, [...(fitsOf.get(name) ?? []), index]);
  }
  const classes = new Map<string, MachineClass>();
  for (const indexes of fitsOf.values()) {
    const key = indexes.join(',');
    const one = classes.get(key) ?? { fits: new Set(indexes), free: 0, given: [] };
    one.free++;
    classes.set(key, one);
  }
  return [...classes.values()];
}
