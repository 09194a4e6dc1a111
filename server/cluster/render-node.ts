import { type Problem, TinsmithError } from '#proto/errors.ts';
import { CLUSTER_LABEL, PURPOSE_LABEL, type WorkflowPurpose } from '../life/workflow-purpose.ts';
import type { ActionImages } from '../manifests/action-images.ts';
import type { HardwareManifest } from '../manifests/hardware-kind.ts';
import { agentIdentityOf } from '../manifests/known-machines.ts';
import { normaliseMac } from '../manifests/network-address.ts';
import { type RenderResult, renderWorkflow } from '../manifests/render-workflow.ts';
import type { TemplateManifest } from '../manifests/template-kind.ts';
import type { NodeWorkflow } from '../store/cluster-contract.ts';
import type { NodeToRender } from './cluster-parts.ts';
import { defaultTemplate, templateName } from './default-template.ts';

/** What every node of a site is rendered with. */
export interface RenderSite {
  /** Base URL of this server's metadata service as machines reach it. */
  readonly metadataUrl: string;
  /** For actions whose template names no timeout. */
  readonly actionTimeoutMs: number;
  /** A site's own names of actions. */
  readonly actionImages?: ActionImages;
}

/** A node to render; its machine need not be stored yet. */
export interface NodeSubject extends Omit<NodeToRender, 'hardware'> {
  readonly hardware: HardwareManifest;
}

/** The installation of a node, or what is wrong with it. */
export interface NodeRendering {
  /** Missing when there are problems. */
  readonly node?: NodeWorkflow;
  readonly problems: readonly Problem[];
  readonly warnings: readonly Problem[];
}

/**
 * Renders the template of a node's group for its machine: the one that its machine config names, or the default of its OS family.
 * User data is no part of it: the installed system fetches it. Never throws for what definition and template say.
 */
export function tryRenderNode(subject: NodeSubject, site: RenderSite): NodeRendering {
  const { definition, group, hardware, workflow } = subject;
  const identity = agentIdentityOf(hardware);
  const refuse = (message: string): NodeRendering => {
    return { problems: [{ file: `Workflow ${workflow}`, line: 0, column: 0, message }], warnings: [] };
  };
  if (identity === undefined) {
    return refuse(`Hardware ${hardware.name} has no MAC to boot from: add spec.interfaces[0].dhcp.mac`);
  }
  let source: TemplateManifest;
  try {
    source = sourceOf(subject, site.metadataUrl);
  } catch (thrown) {
    const error = TinsmithError.from(thrown);
    if (error.code === 'internal') throw error;
    return error.problems.length > 0 ? { problems: error.problems, warnings: [] } : refuse(error.message);
  }
  const labels = { [PURPOSE_LABEL]: 'install' satisfies WorkflowPurpose, [CLUSTER_LABEL]: definition.cluster.name };
  const template = { ...source, name: templateName(definition.cluster, group), labels };
  const result = render({ workflow, template, hardware, identity }, site);
  const { problems, warnings, rendered } = result;
  if (rendered === undefined || problems.length > 0) return { problems, warnings };
  const spec = { templateRef: template.name, hardwareRef: hardware.name, hardwareMap: { device_1: identity } };
  const manifest = { name: workflow, labels, annotations: {}, spec };
  const planned = { manifest, rendered, hardware: result.hardware, chosen: false };
  return { node: { template, workflow: planned }, problems, warnings };
}

/** The same for whoever needs it done. Throws `invalid_template` with every problem. */
export function renderNode(subject: NodeSubject, site: RenderSite): NodeWorkflow {
  const { node, problems } = tryRenderNode(subject, site);
  if (node !== undefined) return node;
  const fact = problems[0]?.message ?? 'nothing comes out of its template';
  throw new TinsmithError('invalid_template', `cannot render the installation of ${subject.hardware.name}: ${fact}`, {
    problems,
  });
}

function sourceOf({ definition, group }: NodeSubject, metadataUrl: string): TemplateManifest {
  const { templateRef } = group.machineConfig;
  if (templateRef === undefined) return defaultTemplate(definition, group, metadataUrl);
  const template = definition.templates[templateRef];
  if (template !== undefined) return template;
  throw new TinsmithError(
    'internal',
    `the definition of Cluster ${definition.cluster.name} lacks TinkerbellTemplateConfig ${templateRef}`,
  );
}

interface Rendering {
  readonly workflow: string;
  readonly template: TemplateManifest;
  readonly hardware: HardwareManifest;
  readonly identity: string;
}

/** A node's workflow runs on its own machine only. */
function render({ workflow, template, hardware, identity }: Rendering, site: RenderSite): RenderResult {
  const macs = hardware.spec.interfaces.flatMap(({ dhcp }) => dhcp?.mac ?? []);
  const isOwn = (worker: string): boolean =>
    [hardware.name, identity, ...macs].includes(worker.trim()) || macs.includes(normaliseMac(worker.trim()) ?? '');
  const request = {
    workflow,
    template,
    hardware,
    isUserDataKnown: false,
    bindings: { device_1: identity },
    findHardware: () => undefined,
    resolveWorker: (worker: string) => (isOwn(worker) ? hardware.name : undefined),
  };
  return renderWorkflow(request, site);
}
