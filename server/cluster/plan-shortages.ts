import { type Findings, listed } from '../manifests/findings.ts';
import { fits, requirementsText } from '../manifests/hardware-requirements.ts';
import { faultOfSelector } from '../manifests/hardware-selector.ts';
import type { Hardware } from '../store/store.ts';
import type { Shortage } from './assign-machines.ts';
import type { PlaceOf } from './cluster-request.ts';
import { CONTROL_PLANE, type NodeGroup, nodeGroups } from './node-groups.ts';
import type { PlanInput } from './plan-input.ts';
import { type NodePlan, whyNotFree } from './plan-nodes.ts';

/** Machines that are missing, and those that several groups may want: every group gets its own wherever that is possible. */
export function checkMachines(input: PlanInput, plan: NodePlan, findings: Findings): void {
  const machines = [...plan.hardware.values()];
  const { busy } = plan;
  for (const shortage of plan.assignment.shortages) {
    for (const { at, message } of faultsOf(shortage, { machines, busy, input })) findings.refuse(at, message);
  }
  for (const { name, labels } of machines) {
    const wanting = selecting(input).filter(({ machineConfig }) => fits({ name, labels }, machineConfig));
    const needs = [...new Set(wanting.map((group) => requirementsText(group.machineConfig)))];
    if (needs.length < 2) continue;
    const at = input.placeOf('Hardware', name, 'metadata.labels');
    const groups = listed(wanting.map((group) => group.name));
    findings.warn(
      at,
      `${name} fits several selectors (${needs.join(', ')}) of ${groups}: EKS Anywhere refuses it, here it is one of them only`,
    );
  }
}

function selecting({ definition }: PlanInput): readonly NodeGroup[] {
  return nodeGroups(definition).filter(({ machineConfig }) => machineConfig.hardwareSelector !== undefined);
}

interface ShortageFacts {
  readonly machines: readonly Hardware[];
  readonly busy: ReadonlySet<string>;
  readonly input: PlanInput;
}

interface MachineFault {
  readonly at: ReturnType<PlaceOf>;
  readonly message: string;
}

function faultsOf(
  { groups, needed, fitting }: Shortage,
  { machines, busy, input }: ShortageFacts,
): readonly MachineFault[] {
  const [first] = groups;
  if (first === undefined) return [];
  const { machineConfig } = first;
  const selector = machineConfig.hardwareSelector;
  const fault = selector === undefined ? undefined : faultOfSelector(selector, machines);
  if (fault !== undefined && groups.length === 1) {
    return [
      { at: input.placeOf('TinkerbellMachineConfig', machineConfig.name, 'spec.hardwareSelector'), message: fault },
    ];
  }
  const conditions = [...new Set(groups.map((group) => requirementsText(group.machineConfig)))];
  const names = listed(groups.map(({ name }) => name));
  const counts = groups.length === 1 ? '' : ' together';
  const verb = groups.length === 1 ? 'needs' : 'need';
  const word = needed === 1 ? 'machine' : 'machines';
  const have =
    fitting.length === 0
      ? 'none is free'
      : `${fitting.length} ${fitting.length === 1 ? 'is' : 'are'} free (${listed(fitting)})`;
  const others = machines
    .filter((machine) => groups.some((group) => fits(machine, group.machineConfig)))
    .flatMap((machine) => {
      const why = whyNotFree(machine, busy);
      return why === undefined ? [] : [`${machine.name} ${why}`];
    });
  const missing = needed - fitting.length;
  const message =
    `${names} ${verb} ${needed} ${word} with ${conditions.join(' or ')}${counts} and ${have}` +
    `${others.length === 0 ? '' : `; ${listed(others, 5)}`}: add ${missing}, or lower a count${existingLabels(machines)}`;
  return [{ at: groupPlace(input, first.name), message }];
}

/** ` (labels: type=cp on a, b; type=dp on c)`. */
function existingLabels(machines: readonly Hardware[]): string {
  const labels = new Map<string, string[]>();
  for (const { name, labels: own } of machines) {
    for (const [key, value] of Object.entries(own)) {
      const label = `${key}=${value}`;
      labels.set(label, [...(labels.get(label) ?? []), name]);
    }
  }
  const found = [...labels]
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([label, on]) => `${label} on ${listed(on, 4)}`);
  return found.length === 0
    ? ''
    : ` (labels that exist: ${found.slice(0, 6).join('; ')}${found.length > 6 ? '; …' : ''})`;
}

/** Where a group's machine config is named. */
function groupPlace({ definition, placeOf }: PlanInput, name: NodeGroup['name']): ReturnType<PlaceOf> {
  const { cluster } = definition;
  const index = cluster.workerGroups.findIndex((group) => group.name === name);
  const part = name === CONTROL_PLANE ? 'controlPlaneConfiguration' : `workerNodeGroupConfigurations[${index}]`;
  return placeOf('Cluster', cluster.name, `spec.${part}.machineGroupRef.name`);
}
