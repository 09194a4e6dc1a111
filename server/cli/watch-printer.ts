import type { EventView, HardwareView, WorkflowView } from '../api/types.ts';
import type { CommandContext } from './command.ts';
import { eventLine } from './event-line.ts';
import { LiveBlock } from './live-block.ts';
import { progressOf } from './progress-bar.ts';
import { WatchBoard } from './watch-board.ts';

interface WatchPrinter {
  show(event: EventView): void;
  /** Stops drawing; what is on the screen stays. */
  close(): void;
}

interface Records {
  readonly hardwareViews: readonly HardwareView[];
  readonly workflowViews: readonly WorkflowView[];
}

const REDRAW_MS = 200;
/** Plain output tells progress at most so often per action. */
const PLAIN_STEP_PERCENT = 10;
const PLAIN_STEP_MS = 10_000;

/** Live bars on a terminal; plain lines in a pipe or a log; JSON lines where asked for. */
export function watchPrinter(
  { out, now }: Pick<CommandContext, 'out' | 'now'>,
  records: Records,
  asJson: boolean,
): WatchPrinter {
  const named = actionNames(records.workflowViews);
  if (asJson) return { show: (event) => out.line(JSON.stringify(event)), close: () => undefined };
  if (!out.isInteractive) {
    const isNews = progressFilter();
    return {
      show(event) {
        const full = named(event);
        if (event.name !== 'action.log' && isNews(event)) out.line(eventLine(full, out.paint));
      },
      close: () => undefined,
    };
  }
  const board = new WatchBoard(records.hardwareViews, records.workflowViews);
  const block = new LiveBlock(out);
  const draw = (): void => block.draw(board.lines(out, now(), Math.max(1, out.rows() - 4)));
  // A display may be late, never wrong: nothing else depends on this timer.
  const timer = setInterval(draw, REDRAW_MS);
  draw();
  return {
    show(event) {
      const full = named(event);
      board.apply(full);
      if (!isLiveOnly(event)) block.print(eventLine(full, out.paint));
    },
    close() {
      clearInterval(timer);
      draw();
    },
  };
}

/** Progress events tell only the action's number: its name comes from the event of its start, or from the snapshot. */
function actionNames(workflows: readonly WorkflowView[]): (event: EventView) => EventView {
  const names = new Map(
    workflows.flatMap(({ name, actions }) => actions.map((run) => [`${name}/${run.task}/${run.action}`, run.name])),
  );
  return (event) => {
    const { name, task, action } = event.data;
    const key = `${event.workflow ?? ''}/${JSON.stringify(task)}/${JSON.stringify(action)}`;
    if (typeof name === 'string') {
      names.set(key, name);
      return event;
    }
    const known = names.get(key);
    return known === undefined ? event : { ...event, data: { ...event.data, name: known } };
  };
}

/** What the board shows and no line tells. */
function isLiveOnly({ name }: EventView): boolean {
  return name === 'action.progress' || name === 'action.log' || name === 'workflow.imageProgress';
}

/** Lets a progress event through when it is the first of its action, a step further, or late enough. */
function progressFilter(): (event: EventView) => boolean {
  const shown = new Map<string, { readonly step: number; readonly at: number }>();
  return (event) => {
    if (event.name !== 'action.progress' && event.name !== 'workflow.imageProgress') return true;
    const progress = progressOf(event);
    if (progress === undefined) return false;
    const key = `${event.hardware ?? ''}/${event.workflow ?? ''}`;
    const percent = progress.total === undefined ? 0 : (100 * progress.done) / progress.total;
    const next = { step: Math.floor(percent / PLAIN_STEP_PERCENT), at: Date.parse(event.at) };
    const former = shown.get(key);
    const isNews = former === undefined || next.step !== former.step || next.at - former.at >= PLAIN_STEP_MS;
    if (isNews) shown.set(key, next);
    return isNews;
  };
}
