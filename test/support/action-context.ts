import type { ActionContext } from '#agent/actions/action-context.ts';

/** What a test's action works with: `machine`, and nobody who listens but those that `changes` names. */
export function actionContext(
  machine: ActionContext['machine'],
  changes: Partial<Omit<ActionContext, 'machine'>> = {},
): ActionContext {
  return {
    machine,
    facts: { hardware: 'node-1', interfaces: [] },
    signal: new AbortController().signal,
    log: () => undefined,
    progress: () => undefined,
    requestPower: () => undefined,
    onTaskFailure: () => undefined,
    ...changes,
  };
}
