import { setTimeout as delay } from 'node:timers/promises';
import type { EventName } from '../life/events.ts';
import { workflowLife } from '../life/workflow-life.ts';
import type { Store } from '../store/store.ts';
import type { StreamMessage } from './route.ts';
import { logLineView } from './workflow-view.ts';

const PAGE = 1000;
/** A follower that is too slow loses live-only events; looking again by itself makes that a delay, not a loss. */
const LOOK_AGAIN_MS = 5000;
const WAKING: readonly EventName[] = [
  'action.log',
  'action.finished',
  'workflow.succeeded',
  'workflow.failed',
  'workflow.timedOut',
  'workflow.cancelled',
  'workflow.deleted',
];

/**
 * Every stored log line of a workflow after `after`, then new ones as they come, each exactly once and in order. Ends with
 * a message `end` once the workflow is finished or deleted, or without one when the signal says so.
 */
export async function* followLog(
  store: Store,
  workflow: string,
  from: { readonly after: number; readonly attempt?: number },
  signal: AbortSignal,
): AsyncGenerator<StreamMessage> {
  const ending = new AbortController();
  const untilDone = AbortSignal.any([signal, ending.signal]);
  const events = store.followEvents({ workflow, names: WAKING }, untilDone)[Symbol.asyncIterator]();
  let wake = nextOrNothing(events);
  let after = from.after;
  try {
    while (!signal.aborted) {
      // The state is read before the lines: lines that came before the end are then never missed.
      const state = (await store.workflow(workflow))?.state;
      if (state === undefined) {
        yield { event: 'end', data: { state: 'deleted' } };
        return;
      }
      for (let more = true; more; ) {
        const lines = await store.logLines(workflow, { ...from, after, limit: PAGE });
        for (const line of lines) yield { id: line.id, data: logLineView(line) };
        after = lines.at(-1)?.id ?? after;
        more = lines.length === PAGE;
      }
      if (workflowLife.isFinal(state)) {
        yield { event: 'end', data: { state } };
        return;
      }
      const woken = await Promise.race([wake, pause(untilDone)]);
      if (woken) wake = nextOrNothing(events);
    }
  } finally {
    ending.abort();
  }
}

/** True when an event came; never rejects, because a follower that was cut off is looked after by the pause. */
async function nextOrNothing(events: AsyncIterator<unknown>): Promise<boolean> {
  try {
    const next = await events.next();
    return next.done !== true;
  } catch {
    return false;
  }
}

async function pause(signal: AbortSignal): Promise<false> {
  try {
    await delay(LOOK_AGAIN_MS, undefined, { signal });
  } catch {
    // Aborted: the loop sees it.
  }
  return false;
}
