import { TinsmithError } from '#proto/errors.ts';
import { libraryNames, missingImages, nearestImages } from '../library/image-use.ts';
import { workflowLife } from '../life/workflow-life.ts';
import type { Store, Workflow } from '../store/store.ts';
import { followLog } from './follow-log.ts';
import { hasLabels, parseLabels } from './labels.ts';
import { type ApiDeps, defineRoute, defineStream } from './route.ts';
import {
  actionRunSchema,
  cancelRequestSchema,
  deletedSchema,
  listSchema,
  logLineSchema,
  logQuerySchema,
  nameParamsSchema,
  type WorkflowView,
  workflowQuerySchema,
  workflowSchema,
} from './types.ts';
import { actionRunView, logLineView, renderedTasks, workflowView } from './workflow-view.ts';

const DEFAULT_LOG_LINES = 1000;

export const workflowRoutes = [
  defineRoute({
    method: 'GET',
    path: '/workflows',
    summary: 'Lists workflows, oldest first, without their rendered tasks.',
    query: workflowQuerySchema,
    response: listSchema(workflowSchema),
    async handle({ query }, { store, images, clock }) {
      const wanted = parseLabels(query.label);
      const found = await store.listWorkflows({
        ...(query.hardware !== undefined && { hardware: query.hardware }),
        ...(query.state && { states: query.state }),
      });
      const shown = found.filter((workflow) => hasLabels(workflow, wanted));
      return { items: await Promise.all(shown.map((each) => viewOf(each, images, clock()))) };
    },
  }),
  defineRoute({
    method: 'GET',
    path: '/workflows/:name',
    summary: 'Shows one workflow with its rendered tasks and the actions of its newest attempt.',
    params: nameParamsSchema,
    response: workflowSchema,
    async handle({ params }, { store, images, clock }) {
      const workflow = await knownWorkflow(store, params.name);
      return { ...(await viewOf(workflow, images, clock())), tasks: renderedTasks(workflow) };
    },
  }),
  defineRoute({
    method: 'GET',
    path: '/workflows/:name/actions',
    summary: 'Lists the actions of all attempts, oldest first.',
    params: nameParamsSchema,
    response: listSchema(actionRunSchema),
    async handle({ params }, { store, clock }) {
      await knownWorkflow(store, params.name);
      const now = clock();
      return { items: (await store.actionHistory(params.name)).map((run) => actionRunView(run, now)) };
    },
  }),
  defineRoute({
    method: 'GET',
    path: '/workflows/:name/logs',
    summary: 'Lists lines that the actions printed, oldest first.',
    params: nameParamsSchema,
    query: logQuerySchema,
    response: listSchema(logLineSchema),
    async handle({ params, query }, { store }) {
      await knownWorkflow(store, params.name);
      const lines = await store.logLines(params.name, { limit: DEFAULT_LOG_LINES, ...query });
      return { items: lines.map(logLineView) };
    },
  }),
  defineRoute({
    method: 'POST',
    path: '/workflows/:name/cancel',
    summary: 'Cancels a workflow that is not finished.',
    params: nameParamsSchema,
    body: cancelRequestSchema,
    response: workflowSchema,
    // Twice is harmless: the second time is a conflict, a final state is never rewritten.
    async handle({ params, body, cause }, { store, transitions, clock }) {
      await transitions.cancelWorkflow(params.name, body.reason ?? 'cancelled by the operator', cause);
      return workflowView(await knownWorkflow(store, params.name), clock());
    },
  }),
  defineRoute({
    method: 'POST',
    path: '/workflows/:name/retry',
    summary: 'Starts a failed, timed-out or cancelled workflow again from its first action.',
    params: nameParamsSchema,
    response: workflowSchema,
    // Twice is harmless: after the first time it is not finished, which makes the second a conflict.
    async handle({ params, cause }, { store, transitions, clock }) {
      await transitions.retryWorkflow(params.name, cause);
      return workflowView(await knownWorkflow(store, params.name), clock());
    },
  }),
  defineRoute({
    method: 'DELETE',
    path: '/workflows/:name',
    summary: 'Deletes a workflow that does not run, with its history and log.',
    params: nameParamsSchema,
    response: deletedSchema,
    // Twice is harmless: the second time it is not found.
    async handle({ params, cause }, { transitions }) {
      await transitions.deleteWorkflow(params.name, cause);
      return { kind: 'Workflow', name: params.name };
    },
  }),
];

export const logStream = defineStream({
  path: '/workflows/:name/logs/stream',
  summary: 'Follows the log; ends with an `end` message once the workflow is finished.',
  params: nameParamsSchema,
  query: logQuerySchema,
  message: logLineSchema,
  async open({ params, query, lastEventId, signal }, { store }) {
    await knownWorkflow(store, params.name);
    const after = lastEventId ?? query.after ?? 0;
    const attempt = query.attempt === undefined ? {} : { attempt: query.attempt };
    return followLog(store, params.name, { after, ...attempt }, signal);
  },
});

async function viewOf(workflow: Workflow, { firstUse, library }: ApiDeps['images'], now: Date): Promise<WorkflowView> {
  const isFailed = workflow.state === 'failed';
  if (workflowLife.isFinal(workflow.state) && !isFailed) return workflowView(workflow, now);
  const missing = await missingImages(libraryNames(workflow.rendered.tasks), library);
  return workflowView(workflow, now, {
    imports: isFailed ? [] : (firstUse?.waitsOf(workflow) ?? []),
    missingImages: missing,
    nearestImages: await nearestImages(missing, library),
  });
}

async function knownWorkflow(store: Store, name: string): Promise<Workflow> {
  const workflow = await store.workflow(name);
  if (workflow === undefined) throw new TinsmithError('not_found', `there is no Workflow "${name}"`);
  return workflow;
}
