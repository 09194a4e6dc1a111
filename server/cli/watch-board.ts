import type { ActionRunView, EventView, HardwareView, ProgressView, WorkflowView } from '../api/types.ts';
import { importWaitText } from './import-wait.ts';
import { progressOf, progressText, shortProgressText } from './progress-bar.ts';
import { durationText } from './quantity-text.ts';
import { printable, type Terminal } from './terminal.ts';

interface Row {
  readonly stage: string;
  readonly since: number;
  readonly workflow?: string;
  /** What its workflow waits for. */
  readonly waits?: string;
  readonly action?: { readonly name: string; readonly since: number; readonly progress?: ProgressView };
}

const BAR_WIDTH = 16;
const SHORT_BAR_WIDTH = 8;
/** Stages in which nothing moves: left out first when the terminal is too low for all machines. */
const QUIET = new Set(['discovered', 'installed', 'retired']);

/** What is known of each watched machine, kept up to date by events; no clock, no terminal. */
export class WatchBoard {
  readonly #rows = new Map<string, Row>();
  /** When each progress was first shown: of an agent that is not heard any more no event tells. */
  readonly #shownAt = new WeakMap<ProgressView, number>();

  constructor(hardware: readonly HardwareView[], workflows: readonly WorkflowView[]) {
    for (const { name, stage, stageAt } of hardware) this.#rows.set(name, { stage, since: Date.parse(stageAt) });
    for (const workflow of workflows) this.#showRunning(workflow);
  }

  #showRunning({ name, hardware, actions, imports, task }: WorkflowView): void {
    const [waited] = imports ?? [];
    const waiting = hardware[task] ?? '';
    const held = this.#rows.get(waiting);
    if (waited !== undefined && held !== undefined) {
      this.#rows.set(waiting, { ...held, workflow: name, waits: importWaitText(waited) });
      return;
    }
    const current = actions.find(({ state }) => state === 'running');
    for (const machine of hardware) {
      const row = this.#rows.get(machine);
      if (row !== undefined)
        this.#rows.set(machine, { ...row, workflow: name, ...(current && { action: rowAction(current) }) });
    }
  }

  apply(event: EventView): void {
    if (event.hardware === undefined) return;
    const at = Date.parse(event.at);
    const row = this.#rows.get(event.hardware) ?? { stage: 'discovered', since: at };
    const next = rowAfter(row, event, at);
    if (next === undefined) this.#rows.delete(event.hardware);
    else this.#rows.set(event.hardware, next);
  }

  /** At most `most` lines, each at most as wide as the terminal. */
  lines(out: Pick<Terminal, 'columns' | 'paint'>, now: Date, most: number): readonly string[] {
    const all = [...this.#rows].toSorted(([a], [b]) => a.localeCompare(b));
    const moving = all.filter(([, { stage }]) => !QUIET.has(stage));
    const shown = (all.length <= most ? all : moving).slice(0, most);
    const width = Math.max(0, ...shown.map(([name]) => name.length));
    const lines = shown.map(([name, row]) => {
      const forms = rowForms(this.#aged(row, now), now).map((text) => `${printable(name).padEnd(width)}  ${text}`);
      return fit(forms, out.columns() - 1);
    });
    const rest = all.length - shown.length;
    return rest === 0 ? lines : [...lines, `… and ${rest} more`];
  }

  #aged(row: Row, now: Date): Row {
    const progress = row.action?.progress;
    if (row.action === undefined || progress === undefined) return row;
    const shownAt = this.#shownAt.get(progress) ?? now.getTime();
    this.#shownAt.set(progress, shownAt);
    return { ...row, action: { ...row.action, progress: agedProgress(progress, now.getTime() - shownAt) } };
  }
}

function rowAfter(row: Row, event: EventView, at: number): Row | undefined {
  const { action: _, waits: _waits, ...resting } = row;
  if (event.name === 'hardware.deleted') return undefined;
  if (event.name.startsWith('machine.') && event.name !== 'machine.ready') {
    const kept = row.waits === undefined ? {} : { waits: row.waits };
    return { ...resting, ...kept, stage: event.name.slice('machine.'.length), since: at };
  }
  if (event.name === 'workflow.imageProgress') return { ...row, ...workflowOf(event), ...waitsOf(event) };
  if (event.name === 'action.started') {
    return { ...resting, ...workflowOf(event), action: { name: actionName(event), since: at } };
  }
  if (event.name === 'action.progress') {
    const progress = progressOf(event);
    const action = row.action ?? { name: actionName(event), since: at };
    return progress === undefined ? row : { ...row, ...workflowOf(event), action: { ...action, progress } };
  }
  return /^(action\.finished|workflow\.(imageReady|lost|succeeded|failed|timedOut|cancelled))$/.test(event.name)
    ? resting
    : row;
}

/** The row in words, the fullest form first; what a narrow terminal leaves out is what the lines above it say as well. */
function rowForms({ stage, since, workflow, waits, action }: Row, now: Date): readonly string[] {
  const elapsed = (from: number): string =>
    durationText(Math.floor((now.getTime() - from) / 1000) * 1000).replace('.0s', 's');
  if (action === undefined && waits !== undefined) {
    const head = `${stage.padEnd(12)}  `;
    const text = printable(waits);
    return [...(workflow === undefined ? [] : [`${head}${printable(workflow)} ${text}`]), head + text, text];
  }
  if (action === undefined) return [`${stage.padEnd(12)}  ${elapsed(since)}`];
  const { progress } = action;
  const head = `${stage.padEnd(12)}  `;
  const doing = `${printable(action.name)}  ${elapsed(action.since)}`;
  const owned = workflow === undefined ? doing : `${printable(workflow)} / ${doing}`;
  if (progress === undefined) return [head + owned, head + doing];
  const full = progressText(progress, BAR_WIDTH);
  const short = shortProgressText(progress, SHORT_BAR_WIDTH);
  return [`${head}${owned}  ${full}`, `${head}${doing}  ${full}`, `${head}${doing}  ${short}`, `${doing}  ${short}`];
}

/** The first form that fits, or else the last one cut off. */
function fit(forms: readonly string[], columns: number): string {
  const line = forms.find(({ length }) => length <= columns) ?? forms.at(-1) ?? '';
  return line.length <= columns ? line : `${line.slice(0, Math.max(0, columns - 1))}…`;
}

/** Agents tell each half second that they get on, and every two that they do not. */
const SILENT_MS = 5_000;

function agedProgress(progress: ProgressView, silentMs: number): ProgressView {
  const { done, total, idleMs = 0 } = progress;
  const isDone = total !== undefined && done >= total;
  return isDone || silentMs < SILENT_MS ? progress : { ...progress, perSecond: 0, idleMs: idleMs + silentMs };
}

function rowAction({ name, startedAt, progress }: ActionRunView): NonNullable<Row['action']> {
  return { name, since: startedAt === undefined ? 0 : Date.parse(startedAt), ...(progress && { progress }) };
}

function waitsOf(event: EventView): Pick<Row, 'waits'> {
  const progress = progressOf(event);
  const { image, before, trouble } = event.data;
  if (progress === undefined || typeof image !== 'string') return {};
  const more = {
    ...(typeof before === 'number' && { before }),
    ...(typeof trouble === 'string' && { trouble }),
  };
  return { waits: importWaitText({ image, ...progress, ...more }) };
}

function workflowOf({ workflow }: EventView): Pick<Row, 'workflow'> {
  return workflow === undefined ? {} : { workflow };
}

function actionName({ data }: EventView): string {
  return typeof data['name'] === 'string' ? data['name'] : 'action';
}
