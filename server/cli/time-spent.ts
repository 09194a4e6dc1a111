import type { ActionRunView, EventView, WorkflowView } from '../api/types.ts';

/** A piece of a workflow's time; the pieces of one attempt follow each other. */
export interface Span {
  readonly label: string;
  /** Milliseconds since the workflow was created. */
  readonly fromMs: number;
  readonly durationMs: number;
  /** State of the action; absent for time between actions. */
  readonly state?: string;
  readonly detail?: string;
}

/** Shorter pauses between actions are not worth a line. */
const SHORTEST_GAP_MS = 1000;

/**
 * Where the time of one attempt went: waiting for the machine, its boot, each action, and what lies between.
 * `before`: when the attempt could begin (creation of the workflow, or the end of the former attempt).
 */
export function attemptSpans(
  workflow: WorkflowView,
  attempt: {
    readonly before: number;
    readonly actions: readonly ActionRunView[];
    readonly events: readonly EventView[];
  },
  now: Date,
): readonly Span[] {
  const origin = Date.parse(workflow.createdAt);
  const spans: Span[] = [];
  let cursor = attempt.before;
  const add = (label: string, until: number, more: Partial<Span> = {}): void => {
    spans.push({ label, fromMs: cursor - origin, durationMs: Math.max(0, until - cursor), ...more });
    cursor = Math.max(cursor, until);
  };
  const begun = attempt.actions.filter(({ startedAt }) => startedAt !== undefined);
  const firstStart = Math.min(now.getTime(), ...begun.map(({ startedAt = '' }) => Date.parse(startedAt)));
  for (const [label, at] of arrivals(attempt.events, cursor, firstStart)) add(label, at);
  if (firstStart - cursor >= SHORTEST_GAP_MS) {
    add(spans.length === 0 ? 'waiting for the machine' : 'until the first action', firstStart);
  }
  for (const action of begun) {
    const startedAt = Date.parse(action.startedAt ?? '');
    if (startedAt - cursor >= SHORTEST_GAP_MS) add('between actions', startedAt);
    cursor = startedAt;
    const finishedAt = action.finishedAt === undefined ? now.getTime() : Date.parse(action.finishedAt);
    add(action.name, finishedAt, { state: action.state, ...detailOf(action) });
  }
  return spans;
}

/** Stages that the machine passed on its way to the first action: the newest of each that lies in the window. */
function arrivals(events: readonly EventView[], from: number, until: number): readonly (readonly [string, number])[] {
  const inside = events
    .map((event) => ({ name: event.name, at: Date.parse(event.at) }))
    .filter(({ at }) => at >= from && at <= until);
  const booting = inside.find(({ name }) => name === 'machine.booting')?.at;
  const enrolled = inside.findLast(({ name }) => name === 'machine.enrolled')?.at;
  const found: (readonly [string, number])[] = [];
  if (booting !== undefined) found.push(['waiting for the machine to boot', booting]);
  if (enrolled !== undefined && enrolled >= (booting ?? from)) found.push(['boot environment starts', enrolled]);
  return found;
}

function detailOf({ error, tries, exitCode }: ActionRunView): { readonly detail?: string } {
  const parts = [
    ...(error === undefined ? [] : [`${error.code}: ${error.message}`]),
    ...(exitCode === undefined || exitCode === 0 ? [] : [`exit code ${exitCode}`]),
    ...(tries === undefined || tries <= 1 ? [] : [`${tries} tries`]),
  ];
  return parts.length === 0 ? {} : { detail: parts.join('; ') };
}
