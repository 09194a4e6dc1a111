import { withoutUrlSecrets } from '#proto/url-secrets.ts';
import type { ActionRun, StoredLogLine, Workflow } from '../store/store.ts';
import { redactEnvironment, redactObject } from './redact.ts';
import type { ActionRunView, LogLineView, RenderedTaskView, WorkflowView } from './types.ts';

/** Of the images of an unfinished workflow. */
export type WorkflowImages = Pick<WorkflowView, 'imports' | 'missingImages' | 'nearestImages'>;

/** A workflow without the text it was rendered to. */
export function workflowView(
  workflow: Workflow,
  { imports = [], missingImages = [], nearestImages = {} }: WorkflowImages = {},
): WorkflowView {
  return {
    name: workflow.name,
    labels: workflow.labels,
    annotations: workflow.annotations,
    spec: redactObject(workflow.spec),
    state: workflow.state,
    stateAt: workflow.stateAt.toISOString(),
    hardware: workflow.hardware,
    attempt: workflow.attempt,
    attemptsOfRun: workflow.attemptsOfRun,
    task: workflow.task,
    ...(workflow.startedAt && { startedAt: workflow.startedAt.toISOString() }),
    ...(workflow.finishedAt && { finishedAt: workflow.finishedAt.toISOString() }),
    ...(workflow.error && { error: workflow.error }),
    actions: workflow.actions.map(actionRunView),
    ...(imports.length > 0 && { imports }),
    ...(missingImages.length > 0 && { missingImages }),
    ...(Object.keys(nearestImages).length > 0 && { nearestImages }),
    version: workflow.version,
    createdAt: workflow.createdAt.toISOString(),
  };
}

/** Its tasks, with environments redacted. */
export function renderedTasks(workflow: Workflow): readonly RenderedTaskView[] {
  return workflow.rendered.tasks.map((task) => ({
    name: task.name,
    worker: task.worker,
    actions: task.actions.map((action) => ({
      name: action.name,
      image: action.image,
      timeoutMs: action.timeoutMs,
      retries: action.retries,
      command: action.command.map(withoutUrlSecrets),
      environment: redactEnvironment(action.image, action.environment),
    })),
  }));
}

export function actionRunView({ startedAt, finishedAt, ...run }: ActionRun): ActionRunView {
  return {
    ...run,
    ...(startedAt && { startedAt: startedAt.toISOString() }),
    ...(finishedAt && { finishedAt: finishedAt.toISOString() }),
  };
}

export function logLineView({ id, attempt, task, action, at, stream, text }: StoredLogLine): LogLineView {
  return { id, attempt, task, action, at: at.toISOString(), stream, text };
}
