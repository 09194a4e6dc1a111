import { TinsmithError } from '#proto/errors.ts';
import { candidates } from '../cluster/assign-machines.ts';
import { checkChange } from '../cluster/check-change.ts';
import { type ClusterOptions, DEFAULT_CLUSTER_OPTIONS } from '../cluster/cluster-options.ts';
import { type ClusterFiles, knownRecords, readClusterFiles } from '../cluster/cluster-request.ts';
import {
  changeCluster,
  clusterKubeconfig,
  createCluster,
  isCreated,
  isSameDefinition,
  knownCluster,
  withCounts,
} from '../cluster/cluster-verbs.ts';
import { foreseeCluster } from '../cluster/foresee-cluster.ts';
import { planRequest } from '../cluster/plan-request.ts';
import { readFacts } from '../cluster/read-facts.ts';
import type { ClusterDefinition } from '../manifests/cluster-kind.ts';
import type { Cluster } from '../store/store.ts';
import { planParts } from './cluster-plan-route.ts';
import {
  type ClusterChangeAnswer,
  type ClusterOptionsRequest,
  clusterChangeAnswerSchema,
  clusterCreateAnswerSchema,
  clusterCreateRequestSchema,
  clusterDeleteAnswerSchema,
  clusterDeleteQuerySchema,
  clusterScaleRequestSchema,
  clusterSchema,
  clusterUpgradeRequestSchema,
  kubeconfigSchema,
} from './cluster-types.ts';
import { clusterView, type ImportsOf } from './cluster-view.ts';
import { type ApiDeps, defineRoute } from './route.ts';
import { listSchema, nameParamsSchema } from './types.ts';

export const clusterRoutes = [
  defineRoute({
    method: 'GET',
    path: '/clusters',
    summary: 'Lists clusters, sorted by name, with their nodes and what each of them waits for.',
    response: listSchema(clusterSchema),
    async handle(_, { store, clock, images }) {
      const found = await store.listClusters();
      return {
        items: await Promise.all(found.map((cluster) => clusterView(store, cluster, clock(), importNames(images)))),
      };
    },
  }),
  defineRoute({
    method: 'GET',
    path: '/clusters/:name',
    summary: 'Shows one cluster with its nodes and what each of them waits for.',
    params: nameParamsSchema,
    response: clusterSchema,
    async handle({ params }, { store, clock, images }) {
      return clusterView(store, await knownCluster(store, params.name), clock(), importNames(images));
    },
  }),
  defineRoute({
    method: 'POST',
    path: '/clusters',
    summary:
      'Creates a cluster from its files and applies the Hardware in them; with `dryRun` it tells whether it is there.',
    body: clusterCreateRequestSchema,
    response: clusterCreateAnswerSchema,
    // Twice is harmless: a cluster of that definition is there already.
    async handle({ body, cause, signal }, deps) {
      const { store, clock, images } = deps;
      const known = await knownRecords(store);
      const { definition, hardware, warnings } = readClusterFiles(body.files, known, deps.actionImages);
      const isNew = !(await isCreated(store, definition));
      if (isNew && body.dryRun === true) return { outcome: 'created', warnings };
      // What is there already goes on; a new cluster must be possible before anything of it is stored.
      if (isNew) await planRequest(body, planParts(deps), signal);
      if (body.dryRun !== true) await deps.transitions.apply({ hardware, templates: [], workflows: [] }, cause);
      const options = optionsOf(DEFAULT_CLUSTER_OPTIONS, body.options);
      const outcome = await createCluster(deps, definition, options, cause);
      const cluster = await knownCluster(store, definition.cluster.name);
      return { outcome, warnings, cluster: await clusterView(store, cluster, clock(), importNames(images)) };
    },
  }),
  defineRoute({
    method: 'POST',
    path: '/clusters/:name/scale',
    summary: 'Changes how many nodes a cluster has; with `dryRun` it tells what would be done.',
    params: nameParamsSchema,
    body: clusterScaleRequestSchema,
    response: clusterChangeAnswerSchema,
    // Twice is harmless: the second time nothing is changed.
    async handle({ params, body, cause }, deps) {
      const before = await knownCluster(deps.store, params.name);
      const read =
        body.files === undefined
          ? undefined
          : readClusterFiles(body.files, await knownRecords(deps.store), deps.actionImages);
      const definition = withCounts(read?.definition ?? before.definition, body);
      return change(deps, { before, definition, intent: 'scale', read, request: body, cause });
    },
  }),
  defineRoute({
    method: 'POST',
    path: '/clusters/:name/upgrade',
    summary: 'Gives a cluster another definition; its nodes are made anew; with `dryRun` it tells what would be done.',
    params: nameParamsSchema,
    body: clusterUpgradeRequestSchema,
    response: clusterChangeAnswerSchema,
    // Twice is harmless: the second time nothing is changed.
    async handle({ params, body, cause }, deps) {
      const before = await knownCluster(deps.store, params.name);
      const read = readClusterFiles(body.files, await knownRecords(deps.store), deps.actionImages);
      return change(deps, { before, definition: read.definition, intent: 'upgrade', read, request: body, cause });
    },
  }),
  defineRoute({
    method: 'DELETE',
    path: '/clusters/:name',
    summary:
      'Deletes a cluster: its workers are released, then its control plane, then its secrets; with `dryRun` it only tells.',
    params: nameParamsSchema,
    query: clusterDeleteQuerySchema,
    response: clusterDeleteAnswerSchema,
    // Twice is harmless: it is being deleted already, or not found.
    async handle({ params, query, cause }, { store, transitions }) {
      const cluster = await knownCluster(store, params.name);
      const options = { ...cluster.options, wipe: query.wipe ?? true };
      const facts = await readFacts({ store, candidates }, { ...cluster, options, state: 'deleting' });
      const { steps } = foreseeCluster(facts);
      if (query.dryRun !== true) await transitions.startClusterDelete(params.name, options, cause);
      return { kind: 'Cluster', name: params.name, steps };
    },
  }),
  defineRoute({
    method: 'POST',
    path: '/clusters/:name/resume',
    summary: 'Lets a cluster go on: failed machines are tried afresh, released ones may be chosen again.',
    params: nameParamsSchema,
    response: clusterSchema,
    // Twice is harmless: it goes on already.
    async handle({ params, cause }, { store, transitions, clock, images }) {
      await transitions.resumeCluster(params.name, { afresh: true }, cause);
      return clusterView(store, await knownCluster(store, params.name), clock(), importNames(images));
    },
  }),
  defineRoute({
    method: 'GET',
    path: '/clusters/:name/kubeconfig',
    summary: 'The administrator’s kubeconfig of a cluster: a secret, its certificate made for this answer.',
    params: nameParamsSchema,
    response: kubeconfigSchema,
    async handle({ params }, deps) {
      return { kubeconfig: await clusterKubeconfig(deps, params.name) };
    },
  }),
];

interface Change {
  readonly before: Cluster;
  readonly definition: ClusterDefinition;
  readonly intent: 'scale' | 'upgrade';
  readonly read: ClusterFiles | undefined;
  readonly request: { readonly options?: ClusterOptionsRequest; readonly dryRun?: boolean };
  readonly cause: Parameters<typeof changeCluster>[2];
}

async function change(deps: ApiDeps, wanted: Change): Promise<ClusterChangeAnswer> {
  const { before, definition, intent, read, request, cause } = wanted;
  if (definition.cluster.name !== before.name) {
    throw new TinsmithError(
      'invalid_input',
      `cannot change cluster ${before.name}: the files describe cluster ${definition.cluster.name}`,
    );
  }
  checkChange({ before: before.definition, after: definition, intent, placeOf: read?.placeOf });
  // What concerns one change only is not kept from an earlier one.
  const options = optionsOf({ ...before.options, skipDrain: false, loseState: false }, request.options);
  const isDryRun = request.dryRun === true;
  if (!isDryRun && read !== undefined) {
    await deps.transitions.apply({ hardware: read.hardware, templates: [], workflows: [] }, cause);
  }
  const foreseen = await foresee(deps, { before, definition, options });
  const outcome = isDryRun ? foreseen.outcome : await changeCluster(deps, { definition, options }, cause);
  return { outcome, steps: foreseen.steps, warnings: read?.warnings ?? [] };
}

async function foresee(
  deps: ApiDeps,
  { before, definition, options }: { before: Cluster; definition: ClusterDefinition; options: ClusterOptions },
): Promise<Pick<ClusterChangeAnswer, 'outcome' | 'steps'>> {
  const cluster: Cluster = { ...before, definition, options, state: 'changing' };
  const facts = await readFacts({ store: deps.store, candidates }, cluster);
  const { steps, obstacles } = foreseeCluster(facts);
  const all = [...steps, ...obstacles.map((obstacle) => `then it is blocked: ${obstacle}`)];
  const isSame = isSameDefinition(before.definition, definition) && before.state === 'ready';
  return { outcome: isSame ? 'unchanged' : 'configured', steps: all };
}

function importNames({ firstUse }: ApiDeps['images']): ImportsOf {
  return (workflow) => firstUse?.waitsOf(workflow).map(({ image }) => image) ?? [];
}

function optionsOf(defaults: ClusterOptions, given: ClusterOptionsRequest = {}): ClusterOptions {
  return { ...defaults, ...given };
}
