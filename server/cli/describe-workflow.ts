import type { ActionRunView, EventView, WorkflowView } from '../api/types.ts';
import { eventLine } from './event-line.ts';
import { importWaitText, missingImageText } from './import-wait.ts';
import { bar, progressText } from './progress-bar.ts';
import { durationText } from './quantity-text.ts';
import { labelsText, templateOf } from './resource-kind.ts';
import { attemptSpans, type Span } from './time-spent.ts';

interface Facts {
  /** Actions of all attempts. */
  readonly history: readonly ActionRunView[];
  /** Of the workflow and, while it existed, of its machines. */
  readonly events: readonly EventView[];
  readonly now: Date;
  readonly columns: number;
}

const BAR_WIDTH = 12;
const EVENTS_SHOWN = 20;

/** The lines of `describe workflow`: what it is, a timeline of each attempt, where the time went, the last events. */
export function describeWorkflow(workflow: WorkflowView, facts: Facts): readonly string[] {
  const attempts = Map.groupBy(facts.history, ({ attempt }) => attempt);
  const latest = spansOf(workflow, facts, workflow.attempt, attempts);
  return [
    ...heading(workflow, facts.now),
    ...[...attempts.keys()]
      .toSorted((a, b) => a - b)
      .flatMap((attempt) => timeline(workflow, facts, attempt, attempts)),
    ...summary(latest),
    ...pending(workflow),
    '',
    'Events (UTC)',
    ...facts.events.slice(-EVENTS_SHOWN).map((event) => `  ${eventLine(event)}`),
  ];
}

function heading(workflow: WorkflowView, now: Date): readonly string[] {
  const { name, state, hardware, labels, attempt, createdAt, startedAt, finishedAt, error } = workflow;
  const until = finishedAt === undefined ? now.getTime() : Date.parse(finishedAt);
  const took = durationText(until - Date.parse(startedAt ?? createdAt));
  const progress = startedAt === undefined ? `for ${took}` : `${finishedAt === undefined ? 'for' : 'after'} ${took}`;
  return [
    `Workflow   ${name}`,
    `State      ${state} ${progress}${attempt > 1 ? `, attempt ${attempt}` : ''}`,
    ...imageLines(workflow),
    ...(error === undefined ? [] : [`Error      ${error.code}: ${error.message}`]),
    `Template   ${templateOf(workflow)}`,
    `Hardware   ${hardware.join(', ')}`,
    `Labels     ${labelsText(labels) || '–'}`,
    `Created    ${createdAt}`,
    `Started    ${startedAt ?? '–'}`,
    `Finished   ${finishedAt ?? '–'}`,
  ];
}

function imageLines({ imports = [], missingImages = [], nearestImages = {} }: WorkflowView): readonly string[] {
  return [
    ...imports.map((each) => `Waits      ${importWaitText(each).replace('waits ', '')}`),
    ...missingImages.map((each) => `Image      ${missingImageText(each, nearestImages[each]).replace('image ', '')}`),
  ];
}

type Attempts = ReadonlyMap<number, readonly ActionRunView[]>;

function spansOf(workflow: WorkflowView, { events, now }: Facts, attempt: number, attempts: Attempts): readonly Span[] {
  const actions = attempts.get(attempt) ?? [];
  // A former attempt that ran nothing has no end that is known.
  if (attempt < workflow.attempt && actions.every(({ startedAt }) => startedAt === undefined)) return [];
  const former = (attempts.get(attempt - 1) ?? []).flatMap(({ finishedAt }) => finishedAt ?? []);
  const before = Math.max(Date.parse(workflow.createdAt), ...former.map((at) => Date.parse(at)));
  const end = workflow.finishedAt !== undefined && attempt === workflow.attempt ? new Date(workflow.finishedAt) : now;
  return attemptSpans(workflow, { before, actions, events }, end);
}

function timeline(workflow: WorkflowView, facts: Facts, attempt: number, attempts: Attempts): readonly string[] {
  const spans = spansOf(workflow, facts, attempt, attempts);
  if (spans.length === 0) return [];
  const total = Math.max(1, ...spans.map(({ fromMs, durationMs }) => fromMs + durationMs)) - (spans[0]?.fromMs ?? 0);
  const width = Math.max(...spans.map(({ label }) => label.length));
  return [
    '',
    `Attempt ${attempt}`,
    ...spans.flatMap((span) => {
      const share = bar(span.durationMs / total, BAR_WIDTH);
      const at = `+${durationText(span.fromMs)}`.padStart(9);
      const state = span.state ?? '';
      const line = `  ${at}  ${span.label.padEnd(width)}  ${durationText(span.durationMs).padStart(8)}  ${share}  ${state}`;
      return [line.trimEnd(), ...(span.detail === undefined ? [] : [`${' '.repeat(13)}${span.detail}`])];
    }),
    ...running(attempts.get(attempt) ?? []),
  ];
}

function running(actions: readonly ActionRunView[]): readonly string[] {
  const current = actions.find(({ state }) => state === 'running');
  return current?.progress === undefined ? [] : [`${' '.repeat(13)}${progressText(current.progress, BAR_WIDTH)}`];
}

/** The longest pieces of the newest attempt, as shares of it. */
function summary(spans: readonly Span[]): readonly string[] {
  const total = spans.reduce((sum, { durationMs }) => sum + durationMs, 0);
  if (spans.length < 2 || total === 0) return [];
  const longest = spans.toSorted((a, b) => b.durationMs - a.durationMs).slice(0, 3);
  const shares = longest.map(({ label, durationMs }) => `${label} ${Math.round((100 * durationMs) / total)} %`);
  return ['', `Where the time went: ${shares.join(', ')} of ${durationText(total)}`];
}

function pending({ actions }: WorkflowView): readonly string[] {
  const names = actions.filter(({ state }) => state === 'pending').map(({ name }) => name);
  const skipped = actions.filter(({ state }) => state === 'skipped').map(({ name }) => name);
  return [
    ...(names.length === 0 ? [] : ['', `Still to do: ${names.join(', ')}`]),
    ...(skipped.length === 0 ? [] : ['', `Never ran: ${skipped.join(', ')}`]),
  ];
}
