import type { HardwareFacts } from '#proto/actions/facts.ts';
import type { ActionRunResult } from './actions/run-action.ts';

/** Which task of which attempt of a workflow. */
export interface TaskRef {
  readonly workflow: string;
  readonly attempt: number;
  /** Index in the workflow. */
  readonly task: number;
}

/** What the agent tells, in its own terms; link-wire.ts makes messages of it. Dates are the server's time: see ServerClock. */
export type Report =
  | { readonly kind: 'taskAccepted'; readonly task: TaskRef }
  | { readonly kind: 'actionStarted'; readonly task: TaskRef; readonly action: number; readonly at: Date }
  | { readonly kind: 'actionLog'; readonly task: TaskRef; readonly action: number; readonly lines: readonly LogLine[] }
  | {
      readonly kind: 'actionFinished';
      readonly task: TaskRef;
      readonly action: number;
      readonly at: Date;
      readonly result: ActionRunResult;
    }
  | { readonly kind: 'inventory'; readonly inventoryJson: string };

export interface LogLine {
  readonly at: Date;
  readonly stream: 'stdout' | 'stderr' | 'agent';
  readonly text: string;
}

/** How far an action is. Only the latest counts; it is neither stored nor acknowledged. */
export interface ProgressReport {
  readonly task: TaskRef;
  readonly action: number;
  readonly done: number;
  /** Absent: not known. */
  readonly total?: number;
  readonly perSecond: number;
  readonly unit: string;
  /** How long nothing was done any more; absent: it gets on. */
  readonly idleMs?: number;
  /** Why, where it is known. */
  readonly trouble?: string;
  /** That it is not its turn yet, which is no trouble. */
  readonly waitsFor?: string;
  /** How long it only waited for its turn, of all its time. */
  readonly waitedMs?: number;
}

/** What the server asks for. Every command may come twice. */
export type Command =
  | ({ readonly kind: 'runTask' } & Task)
  | { readonly kind: 'cancel'; readonly task: TaskRef; readonly reason: string }
  | { readonly kind: 'collectInventory' }
  | { readonly kind: 'reboot' }
  | { readonly kind: 'powerOff' };

export interface Task {
  readonly task: TaskRef;
  readonly name: string;
  readonly actions: readonly TaskAction[];
  readonly facts: HardwareFacts;
}

export interface TaskAction {
  readonly name: string;
  /** As the server said it; it may know more built-ins than this agent. */
  readonly builtIn: string;
  /** 0: no limit. */
  readonly timeoutMs: number;
  readonly environment: Readonly<Record<string, string>>;
  readonly command: readonly string[];
  readonly retries: number;
}

/** One text for each task of each attempt. */
export function taskKey(task: TaskRef): string {
  return `${task.workflow} ${task.attempt} ${task.task}`;
}
