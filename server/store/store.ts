import type { ErrorCode } from '#proto/errors.ts';
import type { Inventory } from '#proto/inventory.ts';
import type { BootstrapToken, ClusterSecrets } from '../cluster/bootstrap/bootstrapper.ts';
import type { ClusterOptions } from '../cluster/cluster-options.ts';
import type { ActionState } from '../life/action-life.ts';
import type { ClusterState } from '../life/cluster-life.ts';
import type { Actor, EventName, TinsmithEvent } from '../life/events.ts';
import type { MachineStage } from '../life/machine-life.ts';
import type { NodeState } from '../life/node-life.ts';
import type { WorkflowState } from '../life/workflow-life.ts';
import type { ClusterDefinition } from '../manifests/cluster-kind.ts';
import type { HardwareManifest } from '../manifests/hardware-kind.ts';
import type { RenderedTemplate, TemplateManifest } from '../manifests/template-kind.ts';
import type { WorkflowManifest } from '../manifests/workflow-kind.ts';
import type { ActionProgress } from '../provision/engine.ts';
import type { ReadyBy, UserDataPolicy } from './schema.ts';

/** A machine's record. `spec.userData` is never in it: see `userData()`. */
export interface Hardware extends HardwareManifest {
  /** Grows with every change; for optimistic updates. */
  readonly version: number;
  readonly createdAt: Date;
  readonly stage: MachineStage;
  readonly stageAt: Date;
  /** False once a workflow has succeeded: the machine then boots its disk. A new workflow switches it on again. */
  readonly netboot: boolean;
  readonly hasUserData: boolean;
  /** When the installed system first said that it is up, in the way that `readyBy` names. */
  readonly readyAt?: Date;
  /** Absent: by its first question for metadata. */
  readonly readyBy?: ReadyBy;
  /** First times of the installed system; see `readyBy` and `userDataPolicy`. */
  readonly userDataFetchedAt?: Date;
  readonly userDataWithheldAt?: Date;
  readonly phonedHomeAt?: Date;
  /** Absent: user data is served for as long as it is there. */
  readonly userDataPolicy?: UserDataPolicy;
  /** What the installed system said of a first start that failed; gone when it phones home after all. */
  readonly bootstrapFailure?: string;
  readonly lastSeenAt?: Date;
  readonly inventory?: Inventory;
  /** One sentence when the stage is `failed`. */
  readonly failure?: string;
  /** The cluster that it is a node of: no other may claim it. */
  readonly claim?: { readonly cluster: string; readonly group: string };
}

/** A cluster: what is wanted of it, and how far it is. Its secrets are never in it: see `clusterSecrets()`. */
export interface Cluster {
  readonly name: string;
  /** Grows with every change; for optimistic updates. */
  readonly version: number;
  readonly createdAt: Date;
  readonly state: ClusterState;
  readonly stateAt: Date;
  /** One sentence while it is `blocked`. */
  readonly failure?: string;
  readonly definition: ClusterDefinition;
  readonly options: ClusterOptions;
  /** Machines that an operator took out of it: they leave, and are not chosen again until it is resumed. */
  readonly released: readonly { readonly hardware: string; readonly wipe: boolean }[];
}

/** A machine in a cluster. */
export interface ClusterNode {
  /** Name of the machine, and of the node. */
  readonly hardware: string;
  readonly cluster: string;
  readonly group: string;
  readonly role: 'controlPlane' | 'worker';
  /** What it was made from: another one than its group's means that it is to be replaced. */
  readonly revision: string;
  /** It makes the control plane; the others join it. */
  readonly initialises: boolean;
  readonly state: NodeState;
  readonly stateAt: Date;
  readonly claimedAt: Date;
  /** Of its newest installation or wipe. */
  readonly workflow?: string;
  /** Installations (or wipes) that were begun since it was claimed, changed or resumed. */
  readonly tries: number;
  readonly failure?: string;
  /** What it waits for, where the other fields do not tell. */
  readonly note?: string;
}

export interface Template extends TemplateManifest {
  readonly version: number;
  readonly createdAt: Date;
}

/** A workflow and its newest attempt. */
export interface Workflow extends WorkflowManifest {
  readonly version: number;
  readonly createdAt: Date;
  /** Ascending with creation: a machine's workflows run in this order. */
  readonly queueOrder: number;
  readonly state: WorkflowState;
  readonly stateAt: Date;
  /** Names of the Hardware records that its tasks run on, in task order. */
  readonly hardware: readonly string[];
  readonly rendered: RenderedTemplate;
  /** 1 from the first run; grows with every attempt and retry. */
  readonly attempt: number;
  /** Attempts since the last `retry`; at most `maxAttempts`. */
  readonly attemptsOfRun: number;
  /** Index of the task that runs or waits. */
  readonly task: number;
  /** Who accepted the current task of the newest attempt; absent until then. */
  readonly accepted?: { readonly session: string; readonly at: Date };
  /** First start of this run; a `retry` is a new run. */
  readonly startedAt?: Date;
  readonly finishedAt?: Date;
  readonly error?: { readonly code: ErrorCode; readonly message: string };
  /** Rows of the newest attempt. */
  readonly actions: readonly ActionRun[];
}

/** One action in one attempt of a workflow; rows of older attempts are the history. */
export interface ActionRun {
  readonly attempt: number;
  readonly task: number;
  readonly action: number;
  readonly taskName: string;
  readonly name: string;
  readonly image: string;
  readonly state: ActionState;
  readonly startedAt?: Date;
  readonly finishedAt?: Date;
  readonly exitCode?: number;
  readonly tries?: number;
  readonly error?: { readonly code: ErrorCode; readonly message: string };
  /** The latest; `toldAt`: milliseconds since 1970. */
  readonly progress?: ActionProgress & { readonly toldAt?: number };
}

/** An image of the library that a task's agent was told to write. */
export interface GivenImage {
  readonly workflow: string;
  readonly task: number;
  readonly digest: string;
}

/** What is kept of one agent process on one boot. */
export interface StoredAgentSession {
  readonly session: string;
  readonly hardware: string;
  readonly bootId: string;
  /** Highest sequence that is stored. */
  readonly acknowledged: number;
  /** It ended an action that takes its machine down: it gets no more work. */
  readonly isLeaving: boolean;
}

export interface StoredLogLine {
  readonly id: number;
  readonly workflow: string;
  readonly attempt: number;
  readonly task: number;
  readonly action: number;
  readonly at: Date;
  readonly stream: string;
  readonly text: string;
}

export interface EventFilter {
  /** Only events with a greater id. */
  readonly after?: number;
  readonly hardware?: string;
  readonly workflow?: string;
  readonly names?: readonly EventName[];
  readonly limit?: number;
  /** With `limit`: the newest so many, not the first; still oldest first. Followers ignore it. */
  readonly newest?: boolean;
}

/** Who asked for a change: kept with its event. */
export interface Cause {
  readonly actor: Actor;
  readonly from?: string;
}

/**
 * What is remembered: reading, and the manifests. Stages and states change in transitions.ts only.
 * All verbs are one transaction each. A missing name is `undefined` when read and `not_found` when changed.
 */
export interface Store {
  hardware(name: string): Promise<Hardware | undefined>;
  /** Any interface's MAC; any notation. */
  hardwareByMac(mac: string): Promise<Hardware | undefined>;
  /** Any interface's reserved address; for metadata. */
  hardwareByAddress(address: string): Promise<Hardware | undefined>;
  /** Sorted by name. `labels`: all must match. */
  listHardware(filter?: { readonly labels?: Readonly<Record<string, string>> }): Promise<readonly Hardware[]>;
  /** Decrypted. For the metadata service and nobody else. */
  userData(hardware: string): Promise<string | undefined>;

  template(name: string): Promise<Template | undefined>;
  listTemplates(): Promise<readonly Template[]>;

  workflow(name: string): Promise<Workflow | undefined>;
  /** Whether there is one of that name, or was: its attempts and events would be taken for those of a new one. */
  isWorkflowNameUsed(name: string): Promise<boolean>;
  /** Sorted by creation. */
  listWorkflows(filter?: {
    readonly hardware?: string;
    readonly states?: readonly WorkflowState[];
  }): Promise<readonly Workflow[]>;
  /** Of the newest attempts of unfinished workflows. */
  givenImages(): Promise<readonly GivenImage[]>;
  /** All attempts, oldest first. */
  actionHistory(workflow: string): Promise<readonly ActionRun[]>;
  logLines(
    workflow: string,
    filter?: { readonly after?: number; readonly attempt?: number; readonly limit?: number },
  ): Promise<readonly StoredLogLine[]>;

  cluster(name: string): Promise<Cluster | undefined>;
  /** Sorted by name. */
  listClusters(): Promise<readonly Cluster[]>;
  /** Control plane first, then in the order of their claims. */
  nodes(cluster: string): Promise<readonly ClusterNode[]>;
  node(hardware: string): Promise<ClusterNode | undefined>;
  /** Decrypted. For the cluster's controller and nobody else; undefined once they are dropped. */
  clusterSecrets(name: string): Promise<ClusterSecrets | undefined>;
  clusterToken(name: string): Promise<BootstrapToken | undefined>;

  /** Names of machines whose agent is connected, as far as was heard. */
  connectedAgents(): Promise<readonly string[]>;
  agentSession(session: string): Promise<StoredAgentSession | undefined>;

  events(filter?: EventFilter): Promise<readonly TinsmithEvent[]>;
  /** Stored events after `after` (default: from now on), then live ones, including live-only progress and log events, until the signal. */
  followEvents(filter: EventFilter, signal: AbortSignal): AsyncIterable<TinsmithEvent>;

  /** Small persistent values: CA key, cluster ids, DHCP leases. Values are encrypted when `secret`. */
  setting(key: string): Promise<string | undefined>;
  putSetting(key: string, value: string, options?: { readonly secret?: boolean }): Promise<void>;
  listSettings(prefix: string): Promise<readonly { readonly key: string; readonly value: string }[]>;
  deleteSetting(key: string): Promise<void>;

  close(): Promise<void>;
}
