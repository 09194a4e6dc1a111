import type { Problem } from '#proto/errors.ts';
import type { Hardware, Template, Workflow } from '../store/store.ts';
import type { ApplyChange, PlannedWorkflow } from '../store/transitions-contract.ts';
import { type ChosenMachine, chooseMachines, existing, isDeviceKey } from './choose-machine.ts';
import { identitiesOf } from './claims.ts';
import { clusterDefinitions } from './cluster-definitions.ts';
import { type ClusterDefinition, CONTROL_PLANE } from './cluster-kind.ts';
import { didYouMean } from './did-you-mean.ts';
import { Findings, shown } from './findings.ts';
import { faultOfSelector, selectorText } from './hardware-selector.ts';
import { contestedMachines, hardwareShortfalls } from './hardware-shortfalls.ts';
import { agentIdentityOf, type KnownMachine, knownMachines, machineFinder } from './known-machines.ts';
import type { LoadedManifests } from './load-manifests.ts';
import { type Located, placeOf } from './located.ts';
import type { MachineConfigManifest } from './machine-config-kind.ts';
import { type RenderDefaults, renderWorkflow } from './render-workflow.ts';
import type { TemplateManifest } from './template-kind.ts';
import type { WorkflowManifest } from './workflow-kind.ts';

/** What the store holds; for a check without a server, empty lists. */
export interface KnownRecords {
  readonly hardware: readonly Hardware[];
  readonly templates: readonly Template[];
  readonly workflows: readonly Workflow[];
}

export interface ApplyPlan {
  /** Complete only when neither the plan nor the loaded manifests have problems. */
  readonly change: ApplyChange;
  /** Those of the plan; those of reading the files are in the loaded manifests. */
  readonly problems: readonly Problem[];
  readonly warnings: readonly Problem[];
}

/**
 * Turns loaded manifests into one change of the store: references resolved, a machine for each workflow, templates
 * rendered and checked. Never throws for what the manifests say. A workflow that is stored already keeps its machines and
 * its tasks: applying it again changes nothing.
 */
export function planApply(loaded: LoadedManifests, known: KnownRecords, defaults: RenderDefaults): ApplyPlan {
  const plan = preparePlan(loaded, known, defaults);
  checkAgainstStored(loaded, known.hardware, plan.findings);
  for (const config of loaded.machineConfigs) checkMachineConfig(config, plan);
  const clusters = clusterDefinitions(loaded, known);
  for (const definition of clusters.definitions) checkClusterHardware(definition, plan);
  const stored = new Map(known.workflows.map((workflow) => [workflow.name, workflow]));
  const fresh = loaded.workflows.filter(({ value }) => !stored.has(value.name));
  const chosen = chooseMachines(fresh, plan);
  const workflows = loaded.workflows.flatMap((workflow) => {
    const before = stored.get(workflow.value.name);
    return (before === undefined ? planWorkflow(workflow, chosen, plan) : planAgain(workflow.value, before)) ?? [];
  });
  const change = {
    hardware: loaded.hardware.map(({ value }) => value),
    templates: loaded.templates.map(({ value }) => value),
    workflows,
  };
  const { problems, warnings } = plan.findings;
  return { change, problems: [...problems, ...clusters.problems], warnings: [...warnings, ...clusters.warnings] };
}

interface Plan {
  readonly defaults: RenderDefaults;
  readonly findings: Findings;
  readonly machines: ReadonlyMap<string, KnownMachine>;
  readonly findMachine: (identity: string) => KnownMachine | undefined;
  readonly hasRefusedHardware: boolean;
  readonly taken: Map<string, string>;
  readonly templates: ReadonlyMap<string, TemplateManifest>;
  readonly refused: ReadonlySet<string>;
}

function preparePlan(loaded: LoadedManifests, known: KnownRecords, defaults: RenderDefaults): Plan {
  const machines = knownMachines(loaded.hardware, known.hardware, known.workflows);
  const templates = [...known.templates, ...loaded.templates.map(({ value }) => value)];
  return {
    defaults,
    findings: new Findings(),
    machines,
    findMachine: machineFinder(machines),
    hasRefusedHardware: [...loaded.refused].some((name) => name.startsWith('Hardware/')),
    taken: new Map(),
    templates: new Map(templates.map((template) => [template.name, template])),
    refused: loaded.refused,
  };
}

/** A MAC or address that a stored machine has, which is not among the files, cannot be given to another. */
export function checkAgainstStored(loaded: LoadedManifests, stored: readonly Hardware[], findings: Findings): void {
  const replaced = new Set(loaded.hardware.map(({ value }) => value.name));
  const owners = new Map<string, string>();
  for (const machine of stored) {
    if (replaced.has(machine.name)) continue;
    for (const { what, value } of identitiesOf(machine)) owners.set(`${what} ${value}`, machine.name);
  }
  for (const located of loaded.hardware) {
    for (const { what, value, path } of identitiesOf(located.value)) {
      const owner = owners.get(`${what} ${value}`);
      if (owner === undefined) continue;
      const fact = `the ${what} ${value} of Hardware ${located.value.name} belongs to the stored Hardware ${owner}`;
      findings.refuse(placeOf(located, path), `${fact}: correct it, or delete Hardware ${owner} first`, value);
    }
  }
}

/** A selector that no machine has: mostly a label is misspelt. Without any machine the hardware may come later. */
function checkMachineConfig(config: Located<MachineConfigManifest>, plan: Plan): void {
  const { hardwareSelector } = config.value;
  const { findings, machines } = plan;
  if (hardwareSelector === undefined || plan.hasRefusedHardware) return;
  const manifests = [...machines.values()].map(({ manifest }) => manifest);
  const fault = faultOfSelector(hardwareSelector, manifests);
  const at = placeOf(config, 'spec.hardwareSelector');
  if (fault !== undefined && manifests.length === 0) findings.warn(at, fault, selectorText(hardwareSelector));
  else if (fault !== undefined) findings.refuse(at, fault, selectorText(hardwareSelector));
}

/** Machines that a cluster needs and that are not there, whoever has them now. Which one becomes what is not decided here. */
function checkClusterHardware({ value, fields, at }: Located<ClusterDefinition>, plan: Plan): void {
  const machines = [...plan.machines.values()].map(({ manifest }) => manifest);
  if (machines.length === 0 || plan.hasRefusedHardware) return;
  const { controlPlane, workerGroups } = value.cluster;
  const first = { ...controlPlane, name: CONTROL_PLANE, path: 'spec.controlPlaneConfiguration' };
  const workers = workerGroups.map((group, index) => {
    return { ...group, path: `spec.workerNodeGroupConfigurations[${index}]` };
  });
  const groups = [first, ...workers].flatMap(({ name, count, path, machineConfig }) => {
    const config = value.machineConfigs[machineConfig];
    if (config === undefined) return [];
    // A selector that no machine has is told at the selector.
    const { hardwareSelector } = config;
    if (hardwareSelector !== undefined && faultOfSelector(hardwareSelector, machines) !== undefined) return [];
    return [{ name, count, path, machineConfig: config }];
  });
  const placeOfGroup = (group: string) => {
    const path = groups.find(({ name }) => name === group)?.path ?? '';
    return fields.get(`${path}.machineGroupRef.name`) ?? at;
  };
  for (const { group, message } of hardwareShortfalls(groups, machines)) {
    plan.findings.refuse(placeOfGroup(group), message);
  }
  for (const { group, message } of contestedMachines(groups, machines))
    plan.findings.warn(placeOfGroup(group), message);
}

/** Whether the spec is still the same is the store's to say, inside its transaction: another spec is a conflict there. */
function planAgain(manifest: WorkflowManifest, before: Workflow): PlannedWorkflow {
  return { manifest, rendered: before.rendered, hardware: before.hardware, chosen: false };
}

function planWorkflow(
  workflow: Located<WorkflowManifest>,
  chosen: ReadonlyMap<string, ChosenMachine>,
  plan: Plan,
): PlannedWorkflow | undefined {
  const manifest = workflow.value;
  const template = findTemplate(workflow, plan);
  const choice = chosen.get(manifest.name);
  if (template === undefined || choice === undefined) return undefined;
  const { machine, isChosen } = choice;
  const { findings } = plan;
  const result = renderWorkflow(
    {
      workflow: manifest.name,
      template,
      hardware: machine.manifest,
      isUserDataKnown: machine.manifest.spec.userData !== undefined || machine.stored?.hasUserData !== true,
      bindings: bindingsOf(manifest, machine),
      findHardware: (name) => plan.machines.get(name)?.manifest,
      resolveWorker: (identity) => plan.findMachine(identity)?.manifest.name,
    },
    plan.defaults,
  );
  for (const problem of result.problems) findings.refuse(problem, problem.message, problem.value);
  for (const warning of result.warnings) findings.warn(warning, warning.message, warning.value);
  const retired = result.hardware.find((name) => plan.machines.get(name)?.stored?.stage === 'retired');
  if (retired !== undefined) {
    findings.refuse(
      workflow.at,
      `Workflow ${manifest.name} needs Hardware ${retired}, which is retired: restore it first`,
    );
  }
  if (result.rendered === undefined || retired !== undefined) return undefined;
  return { manifest, rendered: result.rendered, hardware: result.hardware, chosen: isChosen };
}

function findTemplate(workflow: Located<WorkflowManifest>, plan: Plan): TemplateManifest | undefined {
  const { templateRef } = workflow.value.spec;
  const template = plan.templates.get(templateRef);
  const isRefused = ['Template', 'TinkerbellTemplateConfig'].some((kind) => plan.refused.has(`${kind}/${templateRef}`));
  if (template !== undefined || isRefused) return isRefused ? undefined : template;
  const names = [...plan.templates.keys()];
  const hint = didYouMean(templateRef, names) || `: ${existing('Template', names)}`;
  const at = placeOf(workflow, 'spec.templateRef');
  plan.findings.refuse(at, `there is no Template ${shown(templateRef)}${hint}`, templateRef);
  return undefined;
}

/** The hardwareMap; without any `device_N` in it, `device_1` is the identity of the workflow's machine. */
function bindingsOf(manifest: WorkflowManifest, machine: KnownMachine): Readonly<Record<string, string>> {
  const { hardwareMap } = manifest.spec;
  const identity = agentIdentityOf(machine.manifest);
  const hasDevice = Object.keys(hardwareMap).some(isDeviceKey);
  return hasDevice || identity === undefined ? hardwareMap : { ...hardwareMap, device_1: identity };
}
