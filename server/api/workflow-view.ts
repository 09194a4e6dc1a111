import { withoutUrlSecrets } from '#proto/url-secrets.ts';
import type { ActionRun, StoredLogLine, Workflow } from '../store/store.ts';
import { redactEnvironment, redactObject } from './redact.ts';
import type { ActionRunView, LogLineView, ProgressView, RenderedTaskView, WorkflowView } from './types.ts';

/** Of the images of an unfinished workflow. */
export type WorkflowImages = Pick<WorkflowView, 'imports' | 'missingImages' | 'nearestImages'>;

/** A workflow without the text it was rendered to, as it is `now`. */
export function workflowView(
  workflow: Workflow,
  now: Date,
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
    actions: workflow.actions.map((run) => actionRunView(run, now)),
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

export function actionRunView({ startedAt, finishedAt, progress, ...run }: ActionRun, now: Date): ActionRunView {
  return {
    ...run,
    ...(progress && { progress: progressView(progress, run.state === 'running' ? now : undefined) }),
    ...(startedAt && { startedAt: startedAt.toISOString() }),
    ...(finishedAt && { finishedAt: finishedAt.toISOString() }),
  };
}

/** An agent tells each half second that it gets on, and every two that it does not. Of one that tells nothing any more that is known, too. */
const SILENT_MS = 5_000;

/** `now`: undefined for an action that has ended. */
function progressView({ toldAt, ...told }: NonNullable<ActionRun['progress']>, now: Date | undefined): ProgressView {
  const { done, total, idleMs = 0, trouble: _trouble, waitsFor: _waitsFor, ...numbers } = told;
  if (now === undefined) return { done, ...(total !== undefined && { total }), ...numbers };
  const silentMs = toldAt === undefined ? 0 : now.getTime() - toldAt;
  const isDone = total !== undefined && done >= total;
  if (isDone || (idleMs === 0 && silentMs < SILENT_MS)) return told;
  return { ...told, perSecond: 0, idleMs: idleMs + Math.max(0, silentMs) };
}

export function logLineView({ id, attempt, task, action, at, stream, text }: StoredLogLine): LogLineView {
  return { id, attempt, task, action, at: at.toISOString(), stream, text };
}
