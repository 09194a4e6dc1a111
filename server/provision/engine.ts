import type { ActionName } from '#proto/actions/catalog.ts';
import type { HardwareFacts } from '#proto/actions/facts.ts';
import type { ErrorCode } from '#proto/errors.ts';
import type { Inventory } from '#proto/inventory.ts';
import type { Workflow } from '../store/store.ts';

/** Which task of which attempt of a workflow. An attempt number fences: reports of an older one change nothing. */
export interface TaskRef {
  readonly workflow: string;
  readonly attempt: number;
  /** Index in the workflow. */
  readonly task: number;
}

/** One agent process on one boot of one machine; reports are counted within it. */
export interface AgentSession {
  readonly session: string;
  readonly hardware: string;
  readonly bootId: string;
  readonly agentVersion: string;
  /** Address of the stream. */
  readonly from: string;
}

/** What an agent told, in our own types (wire types stop at agent-service.ts). Everything but progress is stored. */
export type AgentReport =
  | { readonly kind: 'taskAccepted'; readonly task: TaskRef }
  | { readonly kind: 'actionStarted'; readonly task: TaskRef; readonly action: number; readonly at: Date }
  | {
      readonly kind: 'actionProgress';
      readonly task: TaskRef;
      readonly action: number;
      readonly progress: ActionProgress;
    }
  | { readonly kind: 'actionLog'; readonly task: TaskRef; readonly action: number; readonly lines: readonly LogLine[] }
  | { readonly kind: 'actionFinished'; readonly task: TaskRef; readonly action: number; readonly result: ActionResult }
  | { readonly kind: 'inventory'; readonly inventory: Inventory };

export interface ActionProgress {
  readonly done: number;
  /** Absent: not known. */
  readonly total?: number;
  readonly perSecond: number;
  /** `bytes` unless said otherwise. */
  readonly unit: string;
  /** How long nothing was done any more when it was told; absent: it got on. */
  readonly idleMs?: number;
  /** Why, where that is known. */
  readonly trouble?: string;
  /** What it waits for, which is no trouble: `its turn (2nd in line)`. */
  readonly waitsFor?: string;
  /** Of the action's time, how long it only waited for its turn: no time-out of the action counts it. */
  readonly waitedMs?: number;
}

export interface LogLine {
  readonly at: Date;
  readonly stream: 'stdout' | 'stderr' | 'agent';
  readonly text: string;
}

export interface ActionResult {
  readonly outcome: 'succeeded' | 'failed' | 'timedOut' | 'cancelled';
  readonly at: Date;
  readonly exitCode: number;
  readonly error?: { readonly code: ErrorCode; readonly message: string };
  readonly tries: number;
}

/** What the agent is told to do. Every command may be sent twice: the agent knows what it already runs or ran. */
export type AgentCommand =
  | {
      readonly kind: 'runTask';
      readonly task: TaskRef;
      readonly name: string;
      readonly actions: readonly TaskAction[];
      readonly facts: HardwareFacts;
    }
  | { readonly kind: 'cancel'; readonly task: TaskRef; readonly reason: string }
  | { readonly kind: 'reboot' }
  | { readonly kind: 'powerOff' }
  | { readonly kind: 'collectInventory' };

export interface TaskAction {
  readonly name: string;
  readonly builtIn: ActionName;
  readonly timeoutMs: number;
  readonly environment: Readonly<Record<string, string>>;
  readonly command: readonly string[];
  readonly retries: number;
}

/** Whether a task may begin, as far as its images are concerned. */
export type TaskImages =
  | { readonly kind: 'waiting' }
  /** Digest of the library's image by the index of the action that gets it instead of its URL. */
  | { readonly kind: 'ready'; readonly digests: ReadonlyMap<number, string> }
  | { readonly kind: 'failed'; readonly fault: { readonly code: ErrorCode; readonly message: string } };

/** What the library room does for us; app.ts brings the two together. The event `workflow.imageReady` ends a wait. */
export interface FirstUseImages {
  forTask(workflow: Workflow): TaskImages;
}

/**
 * The workflow engine as the agent service sees it. Decisions are pure (workflow-decisions.ts), this shell runs them against
 * the store. Every verb is idempotent: the agent may repeat anything after a reconnect.
 */
export interface WorkflowEngine {
  /**
   * A stream was opened (hello). `running` is what the agent process still holds. A run that this machine should have but
   * that `running` does not name is lost: the next attempt is decided. Resolves to what the agent must do now.
   */
  agentConnected(session: AgentSession, running: TaskRef | undefined): Promise<readonly AgentCommand[]>;
  /** Highest sequence of this session that is stored; 0 for a new one. */
  acknowledged(session: string): Promise<number>;
  /** Stores a report with its sequence in one transaction; a sequence that is stored already changes nothing. Progress has sequence 0. */
  report(session: AgentSession, sequence: number, report: AgentReport): Promise<void>;
  /** The agent lives: renews its lease. */
  heartbeat(session: AgentSession): void;
  /** The stream ended. The lease runs on; nothing is lost yet. */
  agentDisconnected(session: AgentSession): Promise<void>;
  /** What the machine's agent must do now; asked after every change of `changes`. Empty: nothing. */
  commandsFor(session: AgentSession): Promise<readonly AgentCommand[]>;
  /** Yields the name of a Hardware whenever its commands may have changed. */
  changes(signal: AbortSignal): AsyncIterable<string>;
  /** Ends what is overdue: leases, action time-outs that the agent failed to enforce, global time-outs. */
  sweep(): Promise<void>;
}
