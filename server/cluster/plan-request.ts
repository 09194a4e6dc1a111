import type { Problem } from '#proto/errors.ts';
import type { ActionImages } from '../manifests/action-images.ts';
import type { Position } from '../manifests/findings.ts';
import type { ManifestFile } from '../manifests/load-manifests.ts';
import type { Store } from '../store/store.ts';
import type { Bootstrapper } from './bootstrap/bootstrapper.ts';
import { bootstrapperFor } from './bootstrap/bootstrappers.ts';
import { makeToken } from './bootstrap-token.ts';
import { type ClusterOptions, DEFAULT_CLUSTER_OPTIONS } from './cluster-options.ts';
import type { ClusterPlan, NodeActions } from './cluster-plan.ts';
import { type ClusterFiles, faultyFiles, knownRecords, tryReadClusterFiles } from './cluster-request.ts';
import { addressesToProbe, planCluster } from './plan-cluster.ts';
import type { PlanHost } from './plan-host.ts';
import type { PlanEnvironment, PlanInput } from './plan-input.ts';

export interface PlanParts {
  readonly store: Store;
  readonly clock: () => Date;
  readonly actionTimeoutMs: number;
  /** A site's own names of actions. */
  readonly actionImages?: ActionImages;
  readonly host: PlanHost;
  readonly redact: PlanEnvironment['redact'];
  /** Warns of images that nodes are to be installed from and that are not there. */
  readonly imageWarnings: (nodes: readonly NodeImages[]) => Promise<readonly Problem[]>;
}

/** What a node is installed by, and where the machine config of its group stands. */
export interface NodeImages extends Pick<NodeActions, 'machine' | 'actions'> {
  readonly at: Position;
}

export interface PlanRequest {
  readonly files: readonly ManifestFile[];
  readonly options?: Partial<ClusterOptions>;
  /** Asks nobody on the network who has which address. */
  readonly skipIpCheck?: boolean;
}

/**
 * Plans the cluster of these files on what is stored, and stores nothing. Throws `invalid_input` that carries every problem, of
 * the files and of the plan.
 */
export async function planRequest(request: PlanRequest, parts: PlanParts, signal: AbortSignal): Promise<ClusterPlan> {
  const known = await knownRecords(parts.store);
  const { files, problems, warnings } = tryReadClusterFiles(request.files, known, parts.actionImages);
  if (files === undefined) throw faultyFiles(problems);
  const plan = await planFiles(files, request, { ...parts, known }, signal);
  const all: readonly Problem[] = [...problems, ...plan.problems];
  if (all.length > 0) throw faultyFiles(all);
  const missing = await parts.imageWarnings(
    plan.workflows.map((node) => ({ ...node, at: placeOfNode(node, plan, files) })),
  );
  return { ...plan, warnings: [...warnings, ...plan.warnings, ...missing] };
}

function placeOfNode({ machine }: NodeActions, { nodes, groups }: ClusterPlan, { placeOf }: ClusterFiles): Position {
  const group = nodes.find((node) => node.machine === machine)?.group;
  const config = groups.find(({ name }) => name === group)?.machineConfig ?? '';
  return placeOf('TinkerbellMachineConfig', config, 'metadata.name');
}

async function planFiles(
  files: ClusterFiles,
  { options, skipIpCheck }: PlanRequest,
  parts: PlanParts & { readonly known: Awaited<ReturnType<typeof knownRecords>> },
  signal: AbortSignal,
): Promise<ClusterPlan> {
  const { store, clock, actionTimeoutMs, actionImages, host, redact, known } = parts;
  const { definition, machines, placeOf } = files;
  const { name } = definition.cluster;
  const now = clock();
  const cluster = await store.cluster(name);
  const existing = cluster && { cluster, nodes: await store.nodes(name) };
  const input: PlanInput = {
    definition,
    machines,
    placeOf,
    workflows: known.workflows,
    options: { ...(cluster?.options ?? DEFAULT_CLUSTER_OPTIONS), ...options },
    ...(existing && { existing }),
  };
  const bootstrapper = bootstrapperFor(definition);
  const environment: PlanEnvironment = {
    site: { metadataUrl: host.metadataUrl, actionTimeoutMs, ...(actionImages && { actionImages }) },
    now,
    hostAddresses: host.addresses(),
    ports: host.ports,
    ...(host.pool && { pool: host.pool }),
    ...(skipIpCheck === true ? {} : { probes: await host.probe(addressesToProbe(input, now), signal) }),
    bootstrapper: { name: bootstrapper.name, summary: bootstrapper.summary },
    userDataOf: await rehearsal(bootstrapper, { definition, metadataUrl: host.metadataUrl, now }),
    redact,
  };
  return planCluster(input, environment);
}

/** User data as it will be, made with keys that are thrown away: what a plan tells of it must not need the cluster's own. */
async function rehearsal(
  bootstrapper: Bootstrapper,
  {
    definition,
    metadataUrl,
    now,
  }: Pick<PlanInput, 'definition'> & { readonly metadataUrl: string; readonly now: Date },
): Promise<PlanEnvironment['userDataOf']> {
  const secrets = await bootstrapper.makeSecrets(definition, now);
  const token = makeToken(now);
  return (node) => bootstrapper.userData({ ...node, definition, secrets, token, metadataUrl });
}
