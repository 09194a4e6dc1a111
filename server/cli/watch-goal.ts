import { TinsmithError } from '#proto/errors.ts';
import type { HardwareView, ListOf, WorkflowView } from '../api/types.ts';
import type { ApiClient } from './api-client.ts';
import { actionText, KIND_PATHS, recordPath } from './resource-kind.ts';

export type Goal = 'installed' | 'finished';

/** What is watched: machines and the workflows that counted when it began. */
export interface Watched {
  readonly hardware: readonly string[];
  readonly workflows: readonly string[];
}

const FINAL: ReadonlySet<WorkflowView['state']> = new Set(['succeeded', 'failed', 'timedOut', 'cancelled']);

export function isFinished({ state }: WorkflowView): boolean {
  return FINAL.has(state);
}

/**
 * Asks the server how far the watched ones are: a sentence about what is still missing, or nothing when the goal is reached.
 * `installed` counts only without an unfinished workflow: a machine that is being installed again still shows its old stage.
 * @throws TinsmithError with the workflow's own code when the goal can't be reached any more.
 */
export async function missingFor(goal: Goal, watched: Watched, api: ApiClient): Promise<string | undefined> {
  if (goal === 'finished') {
    const workflows = await Promise.all(
      watched.workflows.map((name) => api.get<WorkflowView>(recordPath('workflow', name))),
    );
    return firstOf(workflows.map(missingWorkflow));
  }
  const missing = await Promise.all(watched.hardware.map((name) => missingMachine(name, api)));
  return firstOf(missing);
}

async function missingMachine(name: string, api: ApiClient): Promise<string | undefined> {
  const { items } = await api.get<ListOf<WorkflowView>>(KIND_PATHS.workflow, { hardware: name });
  const open = items.find((workflow) => !isFinished(workflow));
  if (open !== undefined) return missingWorkflow(open);
  const hardware = await api.get<HardwareView>(recordPath('hardware', name));
  if (hardware.stage === 'installed') return undefined;
  const last = items.at(-1);
  if (last !== undefined) missingWorkflow(last);
  if (hardware.stage === 'failed') {
    throw new TinsmithError('command_failed', `${name} failed: ${hardware.failure ?? 'no reason is known'}`);
  }
  return `${name} is ${hardware.stage} and has no workflow to run`;
}

function missingWorkflow(workflow: WorkflowView): string | undefined {
  const { name, state, error } = workflow;
  if (state === 'succeeded') return undefined;
  if (!isFinished(workflow)) return `workflow ${name} ${ENDINGS[state]} (action ${actionText(workflow)})`;
  const reason = error === undefined ? '' : `: ${error.message}`;
  throw new TinsmithError(error?.code ?? codeOf(state), `workflow ${name} ${ENDINGS[state]}${reason}`);
}

const ENDINGS: Readonly<Record<WorkflowView['state'], string>> = {
  pending: 'is pending',
  running: 'is running',
  waiting: 'waits for its machine',
  succeeded: 'succeeded',
  failed: 'failed',
  timedOut: 'timed out',
  cancelled: 'was cancelled',
};

function codeOf(state: WorkflowView['state']): 'cancelled' | 'timed_out' | 'command_failed' {
  if (state === 'cancelled') return 'cancelled';
  return state === 'timedOut' ? 'timed_out' : 'command_failed';
}

function firstOf(texts: readonly (string | undefined)[]): string | undefined {
  return texts.find((text) => text !== undefined);
}
