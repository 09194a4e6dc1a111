import { didYouMean } from './did-you-mean.ts';
import { type Findings, listed, shown } from './findings.ts';
import { faultOfSelector, matches, selectorText } from './hardware-selector.ts';
import type { KnownMachine } from './known-machines.ts';
import { type Located, placeOf } from './located.ts';
import type { WorkflowManifest } from './workflow-kind.ts';

/** What machines are chosen from, and where faults go. */
export interface Choosing {
  /** By name, sorted. */
  readonly machines: ReadonlyMap<string, KnownMachine>;
  readonly findMachine: (identity: string) => KnownMachine | undefined;
  /** A Hardware of the files was refused: a machine that is not found may be that one, and is no second mistake. */
  readonly hasRefusedHardware: boolean;
  readonly findings: Findings;
  /** Machines that workflows of this apply have, by machine name. */
  readonly taken: Map<string, string>;
}

export interface ChosenMachine {
  readonly machine: KnownMachine;
  /** Chosen by label, not named. */
  readonly isChosen: boolean;
}

/**
 * Finds the machine of each workflow. Workflows that name theirs come first, so that one that asks by label never gets a
 * machine that another names; then by label, in the order of the files, the first free machine by name. A workflow
 * without an answer is not in the result, and a problem unless the answer may stand in a refused Hardware.
 */
export function chooseMachines(
  workflows: readonly Located<WorkflowManifest>[],
  choosing: Choosing,
): ReadonlyMap<string, ChosenMachine> {
  const chosen = new Map<string, ChosenMachine>();
  for (const workflow of workflows) {
    const { name, spec } = workflow.value;
    const isMapSound = checkDevices(workflow, choosing);
    const machine = spec.hardwareSelector === undefined ? namedMachine(workflow, choosing) : undefined;
    if (machine === undefined || !isMapSound) continue;
    chosen.set(name, { machine, isChosen: false });
    choosing.taken.set(machine.manifest.name, name);
  }
  for (const workflow of workflows) {
    const { name, spec } = workflow.value;
    if (spec.hardwareSelector === undefined) continue;
    const machine = selectedMachine(workflow, spec.hardwareSelector, choosing);
    if (machine === undefined) continue;
    chosen.set(name, { machine, isChosen: true });
    choosing.taken.set(machine.manifest.name, name);
  }
  return chosen;
}

/** `device_1` and the like name machines by Tinkerbell's convention; other keys may hold anything. */
function checkDevices(workflow: Located<WorkflowManifest>, choosing: Choosing): boolean {
  const { findings, findMachine, hasRefusedHardware } = choosing;
  let isSound = true;
  for (const [key, value] of Object.entries(workflow.value.spec.hardwareMap)) {
    if (!isDeviceKey(key) || findMachine(value) !== undefined) continue;
    isSound = false;
    if (hasRefusedHardware) continue;
    const fix = 'write the MAC, the name or the agentID of a Hardware';
    const at = placeOf(workflow, `spec.hardwareMap.${key}`);
    const hint = didYouMean(value, choosing.machines.keys());
    findings.refuse(at, `spec.hardwareMap.${key} ${shown(value)} is no known Hardware${hint}: ${fix}`, value);
  }
  return isSound;
}

export function isDeviceKey(key: string): boolean {
  return /^device_\d+$/.test(key);
}

function namedMachine(workflow: Located<WorkflowManifest>, choosing: Choosing): KnownMachine | undefined {
  const { hardwareRef, hardwareMap } = workflow.value.spec;
  const { findings, findMachine, hasRefusedHardware, machines } = choosing;
  if (hardwareRef !== undefined) {
    const machine = machines.get(hardwareRef);
    if (machine !== undefined || hasRefusedHardware) return machine;
    const hint = didYouMean(hardwareRef, machines.keys()) || `: ${existing('Hardware', [...machines.keys()])}`;
    const at = placeOf(workflow, 'spec.hardwareRef');
    findings.refuse(at, `there is no Hardware ${shown(hardwareRef)}${hint}`, hardwareRef);
    return undefined;
  }
  const keys = Object.keys(hardwareMap);
  const inOrder = [...keys.filter(isDeviceKey).toSorted(), ...keys.filter((key) => !isDeviceKey(key))];
  for (const key of inOrder) {
    const machine = findMachine(hardwareMap[key] ?? '');
    if (machine !== undefined) return machine;
  }
  if (!keys.some(isDeviceKey) && !hasRefusedHardware) {
    const fix = 'add hardwareRef, hardwareSelector, or hardwareMap with device_1';
    findings.refuse(workflow.at, `Workflow ${workflow.value.name} names no machine: ${fix}`);
  }
  return undefined;
}

/** `there are a, b` for a list of what could have been named. */
export function existing(kind: string, names: readonly string[]): string {
  return names.length === 0 ? `there is no ${kind} yet` : `there are ${listed(names)}`;
}

function selectedMachine(
  workflow: Located<WorkflowManifest>,
  selector: Readonly<Record<string, string>>,
  choosing: Choosing,
): KnownMachine | undefined {
  const candidates = [...choosing.machines.values()].filter(({ manifest }) => matches(manifest, selector));
  const free = candidates.find((machine) => whyNotFree(machine, choosing) === undefined);
  if (free !== undefined || choosing.hasRefusedHardware) return free;
  const reasons = candidates.map((machine) => `${machine.manifest.name} ${whyNotFree(machine, choosing)}`);
  const text = selectorText(selector);
  const fault =
    faultOfSelector(
      selector,
      [...choosing.machines.values()].map(({ manifest }) => manifest),
    ) ?? `no Hardware with ${text} is free: ${listed(reasons)}: add a machine, or wait or cancel`;
  choosing.findings.refuse(placeOf(workflow, 'spec.hardwareSelector'), fault, text);
  return undefined;
}

function whyNotFree(machine: KnownMachine, choosing: Choosing): string | undefined {
  const { manifest, stored, unfinished } = machine;
  if (stored?.stage === 'retired') return 'is retired';
  if (unfinished.length > 0) return `has the unfinished Workflow ${unfinished[0]}`;
  const taker = choosing.taken.get(manifest.name);
  return taker === undefined ? undefined : `is taken by Workflow ${taker} of this apply`;
}
