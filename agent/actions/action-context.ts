import type { HardwareFacts } from '#proto/actions/facts.ts';
import type { Standstill } from '#transfer/standstill.ts';
import type { Machine } from '../machine/machine.ts';
import type { PeerDirectory } from '../write/library/peers/peer-directory.ts';

/** Everything that an action may touch. */
export interface ActionContext {
  readonly machine: Machine;
  /** What the server's record says of this machine. */
  readonly facts: HardwareFacts;
  /** Other machines that write the same image; only to be used where the facts allow it. Absent: there are none. */
  readonly peers?: PeerDirectory;
  /** Aborted when the action is cancelled or its time is over; its reason is a meaningful error. */
  readonly signal: AbortSignal;
  /** One line, never a secret. */
  readonly log: (stream: 'stdout' | 'stderr' | 'agent', text: string) => void;
  /** The latest state only; may be called often. */
  readonly progress: (progress: ActionProgress) => void;
  /** Nothing is done now, and why; until progress tells of more. Absent: nobody wants to know. */
  readonly standstill?: (why: Standstill) => void;
  /** How long it only waited for its turn by now, which no time-out counts. Absent: not at all. */
  readonly waitedMs?: () => number;
  /** Asks for the machine to go down after every report is acknowledged. The last request counts. */
  readonly requestPower: (kind: PowerRequest) => void;
  /**
   * Done before it is reported that the task ended in any other way than success, latest first; the signal ends it. For what
   * must not stay as it is when the rest of the task is missing.
   */
  readonly onTaskFailure: (undo: Undo) => void;
}

/** May be repeated; a rejection is logged and keeps nothing else from being undone. */
export type Undo = (signal: AbortSignal) => Promise<void>;

export interface ActionProgress {
  readonly done: number;
  /** Absent: not known. */
  readonly total?: number;
  /** Default: bytes. */
  readonly unit?: string;
}

/** `kexec`: a kernel is loaded and is started instead of the firmware. */
export type PowerRequest = 'reboot' | 'poweroff' | 'kexec';

/** An action's function: parse came before it, a report comes after it. */
export type Action<Params> = (params: Params, context: ActionContext) => Promise<void>;
