import type { ErrorCode } from '#proto/errors.ts';
import type { Inventory } from '#proto/inventory.ts';
import type { HardwareManifest, JsonObject } from '../manifests/hardware-kind.ts';
import type { RenderedTemplate, TemplateManifest } from '../manifests/template-kind.ts';
import type { WorkflowManifest } from '../manifests/workflow-kind.ts';
import type { ActionProgress, ActionResult, AgentSession, LogLine, TaskRef } from '../provision/engine.ts';
import type { ClusterTransitions } from './cluster-contract.ts';
import type { Cause, Hardware, Workflow } from './store.ts';

/**
 * The verbs of transitions.ts: the ONLY place where a stage or state changes. Each is one transaction that writes the change
 * and its event; each may be called twice with the same effect as once.
 */
export interface Transitions extends ClusterTransitions {
  /**
   * Creates or replaces records, all or none. Unchanged records make no event. A Hardware without `userData` keeps what is
   * stored (a CSV has no such column), an empty one drops it; that of a node stays whatever is applied: it is its cluster's. Throws `conflict` as described at PlannedWorkflow, and if a
   * MAC or address belongs to another Hardware.
   */
  apply(change: ApplyChange, cause: Cause): Promise<readonly AppliedRecord[]>;
  /** Throws `conflict` while the Hardware has an unfinished workflow or is a node of a cluster. */
  deleteHardware(name: string, cause: Cause): Promise<void>;
  deleteTemplate(name: string, cause: Cause): Promise<void>;
  /** Throws `conflict` while it runs: cancel first. */
  deleteWorkflow(name: string, cause: Cause): Promise<void>;
  setNetboot(hardware: string, netboot: boolean, cause: Cause): Promise<void>;

  /** Writes down what happened in the image library. */
  noteImage(event: 'image.added' | 'image.failed' | 'image.removed', data: JsonObject, cause: Cause): Promise<void>;
  /** Writes down that a workflow waits for an image's import, or that it need not wait any more. */
  noteWorkflowImage(
    event: 'workflow.waitsForImage' | 'workflow.imageReady',
    note: WorkflowImageNote,
    cause: Cause,
  ): Promise<void>;
  /**
   * Writes down what a task's agent is about to be told to write: the library keeps it until the workflow has ended, also over a
   * restart. Does nothing for an attempt that is not the newest.
   */
  noteGivenImages(ref: TaskRef, digests: readonly string[], cause: Cause): Promise<void>;
  /** Sent to followers only. */
  showImageProgress(note: WorkflowImageNote, cause: Cause): Promise<void>;

  /** DHCP heard from a known machine: keeps `lastSeenAt`; the first time it is an event `machine.discovered`. */
  noteSeen(hardware: string, cause: Cause): Promise<void>;
  /** An unknown machine becomes a Hardware named `machine-<mac without colons>` (label `tinsmith.dev/discovered=true`). Returns the existing one the second time. */
  discover(machine: DiscoveredMachine, cause: Cause): Promise<Hardware>;
  /** The boot script was fetched: stage → booting; this token replaces older unused ones of the machine. */
  startBoot(boot: { readonly hardware: string; readonly token: BootToken }, cause: Cause): Promise<void>;
  /**
   * Uses up a boot token: stage → enrolled, inventory stored. The same token with the same nonce and key is answered again.
   * Anything else throws `unauthenticated` after an event `enroll.refused` on the hardware the token names (or the MAC's).
   */
  enroll(request: EnrollAttempt, cause: Cause): Promise<Hardware>;
  /**
   * The installed system asked for its metadata or phoned home: ready if that is what its `readyBy` waits for (who phones home
   * is up in any case). The first time per installation each is an event. Does nothing before the machine is installed.
   */
  noteReady(hardware: string, how: 'metadata' | 'phoneHome', cause: Cause): Promise<void>;
  /** The installed system phoned home that its first start failed. The same sentence again is no event. */
  noteBootstrapFailed(hardware: string, detail: string, cause: Cause): Promise<void>;
  /** The installed system was given its user data. */
  noteUserDataFetched(hardware: string, cause: Cause): Promise<void>;
  /** The installed system was refused its user data, because it holds keys and was fetched before. */
  noteUserDataWithheld(hardware: string, cause: Cause): Promise<void>;
  /** Somebody with another MAC asked for the machine's metadata from its address. Now and then it is an event. */
  noteMetadataRefused(hardware: string, mac: string, cause: Cause): Promise<void>;
  /** `stored`: when it is a report of an agent. */
  storeInventory(hardware: string, inventory: Inventory, cause: Cause, stored?: StoredSequence): Promise<void>;
  /** Throws `not_found` without its Hardware, `forbidden` if the session is another machine's. */
  agentConnected(agent: AgentSession, cause: Cause): Promise<void>;
  agentDisconnected(agent: AgentSession, cause: Cause): Promise<void>;

  /**
   * Final states stay: cancelling a workflow that ended otherwise throws `conflict`. A machine that had begun it is `failed`
   * (its disk holds no known system) and keeps its netboot for `retry`; one that had not begun boots its disk again.
   */
  cancelWorkflow(name: string, reason: string, cause: Cause): Promise<void>;
  /** A failed, timed-out or cancelled workflow starts again from its first action as its next attempt; netboot is switched on. */
  retryWorkflow(name: string, cause: Cause): Promise<void>;

  // The engine's. `stored`: session and sequence are remembered in the same transaction; a sequence that is known already does nothing.
  taskAccepted(ref: TaskRef, stored: StoredSequence, cause: Cause): Promise<void>;
  actionStarted(ref: ActionRef, at: Date, stored: StoredSequence, cause: Cause): Promise<void>;
  /**
   * The last action of a machine's last task: stage → installed, netboot off (unless another workflow waits for the machine);
   * of the last task of all: workflow → succeeded. All in this transaction. A failed one ends the workflow.
   */
  actionFinished(ref: ActionRef, result: ActionResult, stored: StoredSequence, cause: Cause): Promise<void>;
  actionLog(ref: ActionRef, lines: readonly LogLine[], stored: StoredSequence, cause: Cause): Promise<void>;
  /** Kept on the action's row and sent to followers; not an event. Of the task's own machine only. */
  actionProgress(ref: ActionRef, hardware: string, progress: ActionProgress): Promise<void>;
  /** Marks the attempt's running actions lost and the workflow `waiting`. */
  attemptLost(ref: TaskRef, reason: string, cause: Cause): Promise<void>;
  /** Makes the rows of the next attempt (every action again, from the task that was lost). Returns the new reference. */
  nextAttempt(ref: TaskRef, cause: Cause): Promise<Workflow>;
  failWorkflow(
    name: string,
    error: { readonly code: ErrorCode; readonly message: string },
    cause: Cause,
  ): Promise<void>;
  timeOutWorkflow(name: string, message: string, cause: Cause): Promise<void>;
}

export interface WorkflowImageNote {
  readonly workflow: string;
  readonly hardware?: string;
  readonly data: JsonObject;
}

export interface ApplyChange {
  readonly hardware: readonly HardwareManifest[];
  readonly templates: readonly TemplateManifest[];
  readonly workflows: readonly PlannedWorkflow[];
}

/** A workflow that was rendered and checked. An existing workflow of that name with another spec is a `conflict`; with the same spec it is unchanged. */
export interface PlannedWorkflow {
  readonly manifest: WorkflowManifest;
  readonly rendered: RenderedTemplate;
  /** Hardware of each task, in task order. */
  readonly hardware: readonly string[];
  /** The machine was chosen by label: apply throws `conflict` if it got an unfinished workflow in the meantime. */
  readonly chosen: boolean;
}

export interface AppliedRecord {
  readonly kind: 'Hardware' | 'Template' | 'Workflow';
  readonly name: string;
  readonly outcome: 'created' | 'configured' | 'unchanged';
}

export interface DiscoveredMachine {
  readonly mac: string;
  /** Address from the pool or as seen. */
  readonly address?: { readonly address: string; readonly netmask: string; readonly gateway?: string };
  readonly arch?: string;
  readonly uefi?: boolean;
}

export interface BootToken {
  /** SHA-256 of the token, hex: the token itself is never stored. */
  readonly hash: string;
  readonly mac: string;
  readonly expiresAt: Date;
}

export interface EnrollAttempt {
  readonly tokenHash: string;
  readonly mac: string;
  readonly nonce: string;
  /** SHA-256 of the public key, hex. */
  readonly keyHash: string;
  readonly bootId: string;
  readonly agentVersion: string;
  readonly inventory: Inventory;
}

/** One action of a task, by its index. */
export interface ActionRef extends TaskRef {
  readonly action: number;
}

export interface StoredSequence {
  readonly session: string;
  readonly sequence: number;
  readonly hardware: string;
}
