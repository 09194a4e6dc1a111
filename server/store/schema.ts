import type { Generated } from 'kysely';
import type { ErrorCode } from '#proto/errors.ts';
import type { ActionState } from '../life/action-life.ts';
import type { ClusterState } from '../life/cluster-life.ts';
import type { Actor, EventName } from '../life/events.ts';
import type { MachineStage } from '../life/machine-life.ts';
import type { NodeState } from '../life/node-life.ts';
import type { WorkflowState } from '../life/workflow-life.ts';

/**
 * The tables, as migrations.ts makes them. Times are milliseconds since 1970, booleans 0 or 1, `*_json` JSON text,
 * `*_sealed` text of the secret box.
 */
export interface Tables {
  readonly hardware: HardwareTable;
  readonly hardware_mac: { readonly mac: string; readonly hardware: string };
  readonly hardware_address: { readonly address: string; readonly hardware: string };
  readonly template: TemplateTable;
  readonly workflow: WorkflowTable;
  readonly workflow_hardware: { readonly workflow_id: number; readonly task: number; readonly hardware: string };
  /** Highest attempt number that a workflow of this name ever had: outlives the workflow, so that reports for a deleted one never fit its successor. */
  readonly attempt_fence: { readonly workflow: string; readonly attempt: number };
  readonly action_run: ActionRunTable;
  readonly given_image: GivenImageTable;
  readonly log_line: LogLineTable;
  readonly agent_session: AgentSessionTable;
  readonly boot_token: BootTokenTable;
  readonly event: EventTable;
  readonly cluster: ClusterTable;
  readonly node: NodeTable;
  readonly setting: { readonly key: string; readonly value: string; readonly secret: number };
}

export interface HardwareTable {
  readonly name: string;
  readonly version: number;
  readonly created_at: number;
  readonly stage: MachineStage;
  readonly stage_at: number;
  readonly netboot: number;
  /** When a workflow last succeeded on it; null from the moment the next one begins: the disk then holds no known system. */
  readonly installed_at: number | null;
  readonly ready_at: number | null;
  readonly last_seen_at: number | null;
  readonly failure: string | null;
  readonly labels_json: string;
  readonly annotations_json: string;
  /** Without userData. */
  readonly spec_json: string;
  readonly user_data_sealed: string | null;
  readonly inventory_json: string | null;
  readonly ready_by: Generated<ReadyBy>;
  readonly user_data_policy: Generated<UserDataPolicy>;
  /** First time that the installed system (not the agent) fetched it. */
  readonly user_data_fetched_at: number | null;
  readonly phoned_home_at: number | null;
  /** First time that it was refused to the installed system; see UserDataPolicy. */
  readonly user_data_withheld_at: number | null;
  /** What the installed system last said of a first start that failed. */
  readonly bootstrap_failure: string | null;
}

/**
 * What makes an installed machine ready: its first question to the metadata service, its phone call home, or the installation
 * itself where the system will do neither.
 */
export type ReadyBy = 'metadata' | 'phoneHome' | 'installed';

/** `untilReady`: it holds keys, and is no longer served once it was fetched and the machine is ready. */
export type UserDataPolicy = 'keep' | 'untilReady';

export interface ClusterTable {
  readonly name: string;
  readonly version: number;
  readonly created_at: number;
  readonly state: ClusterState;
  readonly state_at: number;
  /** One sentence while it is `blocked`. */
  readonly failure: string | null;
  /** A ClusterDefinition; it may hold passwords of registries. */
  readonly definition_sealed: string;
  readonly options_json: string;
  /** ClusterSecrets; null once they are dropped. */
  readonly secrets_sealed: string | null;
  /** The BootstrapToken that nodes join with now; null while nobody joins. */
  readonly token_sealed: string | null;
  /** Machines that an operator took out of it, and whether they are wiped. */
  readonly released_json: string;
}

/** A machine in a cluster; the primary key is what makes a second claim impossible. */
export interface NodeTable {
  readonly hardware: string;
  readonly cluster: string;
  readonly node_group: string;
  readonly role: 'controlPlane' | 'worker';
  /** Names what the node was made from: another one than its group's means that it is to be replaced. */
  readonly revision: string;
  /** 1: this node makes the control plane, the others join it. */
  readonly initialises: number;
  readonly state: NodeState;
  readonly state_at: number;
  readonly claimed_at: number;
  /** Of its newest installation or wipe. */
  readonly workflow: string | null;
  /** Installations (or wipes) that were begun since it was claimed, changed or resumed. */
  readonly tries: number;
  readonly failure: string | null;
  /** One sentence: what it waits for, where the other columns do not tell. */
  readonly note: string | null;
}

export interface TemplateTable {
  readonly name: string;
  readonly version: number;
  readonly created_at: number;
  readonly labels_json: string;
  readonly annotations_json: string;
  readonly data: string;
  readonly source: 'Template' | 'TinkerbellTemplateConfig';
}

export interface WorkflowTable {
  /** Ascending with creation: the order of a machine's queue. */
  readonly id: Generated<number>;
  readonly name: string;
  readonly version: number;
  readonly created_at: number;
  readonly state: WorkflowState;
  readonly state_at: number;
  readonly disabled: number;
  readonly labels_json: string;
  readonly annotations_json: string;
  readonly spec_json: string;
  /** A rendered template may hold user data and passwords. */
  readonly rendered_sealed: string;
  /** Name of the Hardware of each task. */
  readonly hardware_json: string;
  readonly attempt: number;
  readonly attempts_of_run: number;
  readonly task: number;
  /** 1 once the current task was accepted in any attempt of this run: the machine's disk may have been changed. */
  readonly task_begun: number;
  /** Session that accepted the current task in the newest attempt. */
  readonly accepted_session: string | null;
  readonly accepted_at: number | null;
  readonly started_at: number | null;
  readonly finished_at: number | null;
  readonly error_code: ErrorCode | null;
  readonly error_message: string | null;
}

export interface ActionRunTable {
  readonly workflow_id: number;
  readonly attempt: number;
  readonly task: number;
  readonly action: number;
  readonly task_name: string;
  readonly name: string;
  readonly image: string;
  readonly state: ActionState;
  readonly started_at: number | null;
  readonly finished_at: number | null;
  readonly exit_code: number | null;
  readonly tries: number | null;
  readonly error_code: ErrorCode | null;
  readonly error_message: string | null;
  readonly progress_json: string | null;
  readonly log_lines: number;
  readonly log_bytes: number;
}

/** Images of the library that a task's agent was told to write, by their digest; those of older attempts are dropped. */
interface GivenImageTable {
  readonly workflow_id: number;
  readonly attempt: number;
  readonly task: number;
  readonly digest: string;
}

interface LogLineTable {
  readonly id: Generated<number>;
  readonly workflow_id: number;
  readonly attempt: number;
  readonly task: number;
  readonly action: number;
  readonly at: number;
  readonly stream: string;
  readonly text: string;
}

interface AgentSessionTable {
  readonly session: string;
  readonly hardware: string;
  readonly boot_id: string;
  readonly agent_version: string;
  readonly address: string;
  readonly connected_at: number;
  readonly disconnected_at: number | null;
  /** Highest sequence that is stored. */
  readonly acknowledged: number;
  /** 1 once it reported the end of an action that takes the machine down: it gets no more work. */
  readonly leaving: number;
}

interface BootTokenTable {
  /** SHA-256, hex. */
  readonly hash: string;
  readonly hardware: string;
  readonly mac: string;
  readonly expires_at: number;
  readonly used_at: number | null;
  readonly nonce: string | null;
  readonly key_hash: string | null;
}

export interface EventTable {
  readonly id: Generated<number>;
  readonly at: number;
  readonly name: EventName;
  readonly hardware: string | null;
  readonly workflow: string | null;
  readonly actor: Actor;
  readonly origin: string | null;
  readonly data_json: string;
}
