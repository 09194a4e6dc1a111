import { setInterval } from 'node:timers/promises';
import { actionNameOf, isActionName } from '#proto/actions/catalog.ts';
import { ERROR_CODES, TinsmithError } from '#proto/errors.ts';
import { withoutUrlSecrets } from '#proto/url-secrets.ts';
import { trustAuthorities } from '#transfer/trust-authorities.ts';
import type { ActionContext, ActionProgress, PowerRequest, Undo } from './actions/action-context.ts';
import type { ActionCall, ActionRunResult } from './actions/run-action.ts';
import { progressText } from './console-text.ts';
import { Headway } from './headway.ts';
import type { Machine } from './machine/machine.ts';
import type { Outbox } from './outbox.ts';
import { ProgressMeter } from './progress-meter.ts';
import type { ProgressReport, Task, TaskAction } from './report.ts';
import type { PeerDirectory } from './write/library/peers/peer-directory.ts';

export interface TaskRunOptions {
  readonly machine: Machine;
  readonly outbox: Outbox;
  readonly peers: PeerDirectory;
  /** Runs one action with its timeout and retries; never rejects. */
  readonly runAction: (call: ActionCall, context: ActionContext) => Promise<ActionRunResult>;
  /** The server's time. */
  readonly clock: () => Date;
  /** Milliseconds of a clock that never goes back. */
  readonly now: () => number;
  /** One line for the console. */
  readonly say: (line: string) => void;
  /** How often it is told that an action stands still. Default: 2 s. */
  readonly standsEveryMs?: number;
}

export interface TaskEnd {
  readonly outcome: ActionRunResult['outcome'];
  /** What the machine is to do now that the task succeeded. */
  readonly power?: PowerRequest;
}

const CONSOLE_PROGRESS_MS = 5_000;
const STANDS_EVERY_MS = 2_000;
const UNDO_LIMIT_MS = 30_000;

/**
 * Runs a task's actions one after the other and puts what happens into the outbox: it never waits for the server. The first
 * action that does not succeed ends the task. Never rejects.
 */
export async function runTask(task: Task, options: TaskRunOptions, signal: AbortSignal): Promise<TaskEnd> {
  const { outbox, say } = options;
  outbox.add({ kind: 'taskAccepted', task: task.task });
  say(`workflow ${task.task.workflow}, attempt ${task.task.attempt}: ${task.actions.length} actions`);
  // Told by the authenticated server; what it says later counts besides.
  const authorities = task.facts.library?.authorities;
  if (authorities !== undefined) trustAuthorities(authorities);
  const unknown = task.actions.findIndex((action) => !isActionName(action.builtIn));
  const undos: Undo[] = [];
  let power: PowerRequest | undefined;
  for (const [index, action] of task.actions.entries()) {
    // One that this agent does not know is refused before anything runs.
    if (unknown !== -1 && index !== unknown) continue;
    const run = new ActionRun({ task, index, action, undos }, options);
    const result = await run.run(signal);
    power = run.power ?? power;
    if (result.outcome !== 'succeeded') return { outcome: result.outcome };
  }
  return power === undefined ? { outcome: 'succeeded' } : { outcome: 'succeeded', power };
}

interface ActionPlace {
  readonly task: Task;
  readonly index: number;
  readonly action: TaskAction;
  /** What this task's actions asked to have undone; shared by all of them. */
  readonly undos: Undo[];
}

/** One action of one task, from its first report to its last. */
class ActionRun {
  /** What it asked for; the last request counts. */
  power: PowerRequest | undefined;
  readonly #place: ActionPlace;
  readonly #options: TaskRunOptions;
  readonly #meter: ProgressMeter;
  readonly #headway: Headway;
  readonly #title: string;
  #consoleAt: number;

  constructor(place: ActionPlace, options: TaskRunOptions) {
    this.#place = place;
    this.#options = options;
    this.#meter = new ProgressMeter(options.now);
    this.#headway = new Headway(options.now);
    this.#consoleAt = options.now();
    this.#title = `action ${place.index + 1} of ${place.task.actions.length}, ${place.action.name}`;
  }

  async run(signal: AbortSignal): Promise<ActionRunResult> {
    const { outbox, clock, now, say } = this.#options;
    const { task } = this.#place.task;
    const { index: action } = this.#place;
    const startedAt = now();
    outbox.add({ kind: 'actionStarted', task, action, at: clock() });
    say(`${this.#title}: started`);
    const result = fitToShow(await this.#perform(signal));
    if (result.outcome !== 'succeeded') await this.#undoAll();
    outbox.add({ kind: 'actionFinished', task, action, at: clock(), result });
    const seconds = ((now() - startedAt) / 1000).toFixed(1);
    const why = result.error === undefined ? '' : `: ${result.error.message}`;
    say(`${this.#title}: ${result.outcome} after ${seconds} s${why}`);
    return result;
  }

  async #perform(signal: AbortSignal): Promise<ActionRunResult> {
    const { builtIn, environment, command, timeoutMs, retries } = this.#place.action;
    if (!isActionName(builtIn)) return failedResult(refusal(builtIn));
    const call = { builtIn, environment, command, timeoutMs, retries };
    const ended = new AbortController();
    const telling = this.#tellStanding(ended.signal);
    try {
      return await this.#options.runAction(call, this.#context(signal));
    } catch (thrown) {
      return failedResult(TinsmithError.from(thrown));
    } finally {
      ended.abort();
      await telling;
    }
  }

  /** Whoever looks sees that nothing is done any more, and why, while no action says so by itself. Never rejects. */
  async #tellStanding(signal: AbortSignal): Promise<void> {
    const { standsEveryMs = STANDS_EVERY_MS } = this.#options;
    try {
      for await (const _ of setInterval(standsEveryMs, undefined, { signal })) {
        if (this.#headway.standing() !== undefined) this.#report(this.#headway.progress ?? { done: 0 });
      }
    } catch {
      // The action has ended.
    }
  }

  /** Not under the action's signal, which may be what ended it. */
  async #undoAll(): Promise<void> {
    const signal = AbortSignal.timeout(UNDO_LIMIT_MS);
    for (const undo of this.#place.undos.toReversed()) {
      try {
        await undo(signal);
      } catch (thrown) {
        this.#log('agent', `cannot undo a part of the task: ${TinsmithError.from(thrown).message}`);
      }
    }
  }

  readonly #log: ActionContext['log'] = (stream, text) => {
    const { outbox, clock } = this.#options;
    outbox.addLogLine(this.#place.task.task, this.#place.index, { at: clock(), stream, text: withoutUrlSecrets(text) });
  };

  #context(signal: AbortSignal): ActionContext {
    const { machine, peers } = this.#options;
    const { facts } = this.#place.task;
    return {
      machine,
      facts,
      peers,
      signal,
      log: this.#log,
      progress: (progress) => this.#noteProgress(progress),
      standstill: (why) => {
        this.#headway.stands(why);
        if (why.kind === 'inLine') this.#report(this.#headway.progress ?? { done: 0 });
      },
      waitedMs: () => this.#headway.waitedMs(),
      requestPower: (kind) => {
        this.power = kind;
      },
      onTaskFailure: (undo) => {
        this.#place.undos.push(undo);
      },
    };
  }

  #noteProgress(progress: ActionProgress): void {
    const { now, say } = this.#options;
    this.#headway.moved(progress);
    const known = this.#report(progress);
    if (now() - this.#consoleAt < CONSOLE_PROGRESS_MS) return;
    this.#consoleAt = now();
    say(`${this.#title}: ${progressText(known)}`);
  }

  #report(progress: ActionProgress): ProgressReport {
    const { task, index: action } = this.#place;
    const waitedMs = this.#headway.waitedMs();
    const standing = this.#headway.standing();
    const perSecond = this.#meter.perSecond(progress.done);
    const report = {
      ...progress,
      task: task.task,
      action,
      perSecond: standing === undefined ? perSecond : 0,
      unit: progress.unit ?? 'bytes',
      ...standing,
      ...(waitedMs > 0 && { waitedMs }),
    };
    this.#options.outbox.setProgress(report);
    return report;
  }
}

/** Programs and servers may quote URLs in what they say. */
function fitToShow(result: ActionRunResult): ActionRunResult {
  if (result.error === undefined) return result;
  const { code, message, cause } = result.error;
  return { ...result, error: new TinsmithError(code, withoutUrlSecrets(message), { cause }) };
}

/** The sentence of the catalog itself, which lists what exists. */
function refusal(builtIn: string): TinsmithError {
  try {
    actionNameOf(builtIn);
  } catch (thrown) {
    return TinsmithError.from(thrown);
  }
  return new TinsmithError('unknown_action', `the server asked for ${builtIn}, which is no built-in of this agent`);
}

function failedResult(error: TinsmithError): ActionRunResult {
  return { outcome: 'failed', exitCode: ERROR_CODES[error.code].exit, error, tries: 1 };
}
