import { TinsmithError } from '#proto/errors.ts';
import { withoutUrlSecrets } from '#proto/url-secrets.ts';
import { Findings } from '../manifests/findings.ts';
import type { RenderedTemplate } from '../manifests/template-kind.ts';
import { faultsOfChange } from './cluster-changes.ts';
import type { ClusterPlan, ErasedDisk, NodeActions, PlannedUserData } from './cluster-plan.ts';
import type { ProvisionStep } from './cluster-step.ts';
import { metadataUrls } from './default-template.ts';
import { nodeGroups } from './node-groups.ts';
import { planAddresses, wantedAddresses } from './plan-addresses.ts';
import { erasedDisks } from './plan-disks.ts';
import { plannedGroup } from './plan-groups.ts';
import type { PlanEnvironment, PlanInput } from './plan-input.ts';
import { type NodePlan, planNodes } from './plan-nodes.ts';
import { checkMachines } from './plan-shortages.ts';
import { tryRenderNode } from './render-node.ts';

/**
 * What will be done for a cluster that is new or changes: the controller's own decisions played through, every workflow rendered,
 * every address looked at. Pure; never throws for what is wanted.
 */
export function planCluster(input: PlanInput, environment: PlanEnvironment): ClusterPlan {
  const { definition, options, existing } = input;
  const { cluster, datacenter } = definition;
  const findings = new Findings();
  if (existing !== undefined) checkChange(input, existing.cluster.definition, findings);
  const plan = planNodes(input, environment.now);
  checkMachines(input, plan, findings);
  const installs = plan.installs.flatMap((step) => planInstall(step, { input, environment, plan, findings }) ?? []);
  const addresses = planAddresses(input, wantedAddresses(input, plan), environment, findings);
  if (findings.problemCount === 0) {
    const at = input.placeOf('Cluster', cluster.name, 'metadata.name');
    for (const obstacle of plan.foreseen.obstacles) findings.refuse(at, obstacle);
  }
  return {
    cluster: cluster.name,
    kind: existing === undefined ? 'create' : 'change',
    kubernetesVersion: cluster.kubernetesVersion,
    bootstrapper: environment.bootstrapper,
    options,
    groups: nodeGroups(definition).map(plannedGroup),
    nodes: plan.nodes,
    steps: plan.foreseen.steps,
    spares: plan.spares,
    unfit: plan.unfit,
    disks: installs.flatMap(({ disks }) => disks),
    workflows: installs.map(({ actions }) => actions),
    addresses,
    ports: environment.ports,
    metadataUrls: metadataUrls(environment.site.metadataUrl, datacenter.tinkerbellIP),
    problems: findings.problems,
    warnings: findings.warnings,
  };
}

/** Addresses to ask the network about before the plan is made. */
export function addressesToProbe(input: PlanInput, now: Date): readonly string[] {
  return [...new Set(wantedAddresses(input, planNodes(input, now)).map(({ address }) => address))];
}

function checkChange({ definition, placeOf }: PlanInput, before: PlanInput['definition'], findings: Findings): void {
  for (const { kind, name, path, message } of faultsOfChange(before, definition)) {
    findings.refuse(placeOf(kind, name, path), message);
  }
}

interface Planning {
  readonly input: PlanInput;
  readonly environment: PlanEnvironment;
  readonly plan: NodePlan;
  readonly findings: Findings;
}

interface PlannedInstall {
  readonly actions: NodeActions;
  readonly disks: readonly ErasedDisk[];
}

function planInstall({ hardware: name, wanted, step }: ProvisionStep, planning: Planning): PlannedInstall | undefined {
  const { input, environment, plan, findings } = planning;
  const { definition, placeOf } = input;
  const hardware = plan.hardware.get(name);
  if (hardware === undefined) return undefined;
  const { group } = wanted;
  const workflow = nextName(name, input);
  const { node, problems, warnings } = tryRenderNode({ definition, group, hardware, workflow }, environment.site);
  for (const problem of problems) findings.refuse(problem, problem.message, problem.value);
  for (const warning of warnings) findings.warn(warning, warning.message, warning.value);
  const userData = describeUserData({ group, hardware, step }, planning);
  if (node === undefined || userData === undefined) return undefined;
  const { rendered } = node.workflow;
  const disks = erasedDisks(
    hardware,
    rendered.tasks.flatMap((task) => task.actions),
    { placeOf, findings },
  );
  const template = group.machineConfig.templateRef ?? node.template.name;
  return { actions: { machine: name, workflow, template, ...shownActions(rendered, environment), userData }, disks };
}

/** Environments without what may be secret. */
function shownActions(
  { tasks, globalTimeoutMs }: RenderedTemplate,
  { redact }: PlanEnvironment,
): Pick<NodeActions, 'actions' | 'timeoutMs'> {
  const actions = tasks.flatMap((task) =>
    task.actions.map(({ name, image, timeoutMs, environment, command }) => ({
      name,
      image,
      timeoutMs,
      environment: redact(image, environment),
      command: command.map(withoutUrlSecrets),
    })),
  );
  return { actions, ...(globalTimeoutMs === undefined ? {} : { timeoutMs: globalTimeoutMs }) };
}

/** Its kind and size; what the bootstrapper cannot do is a problem of the machine config. */
function describeUserData(
  node: Parameters<PlanEnvironment['userDataOf']>[0],
  { input, environment, findings }: Planning,
): PlannedUserData | undefined {
  const { machineConfig } = node.group;
  try {
    const data = environment.userDataOf(node);
    if (data === undefined) return { kind: 'none', sizeBytes: 0, holdsKeys: false };
    const kind = data.text.startsWith('#cloud-config') ? 'cloud-config' : 'settings in TOML';
    return { kind, sizeBytes: Buffer.byteLength(data.text), holdsKeys: data.holdsKeys };
  } catch (thrown) {
    const error = TinsmithError.from(thrown);
    if (error.code === 'internal') throw error;
    findings.refuse(input.placeOf('TinkerbellMachineConfig', machineConfig.name, 'metadata.name'), error.message);
    return undefined;
  }
}

/** As the controller names it: the first that no workflow has. */
function nextName(machine: string, { workflows }: PlanInput): string {
  const taken = new Set(workflows.map(({ name }) => name));
  for (let number = 1; ; number += 1) {
    const name = `${machine}-install-${number}`;
    if (!taken.has(name)) return name;
  }
}
