import type { Updateable } from 'kysely';
import { TinsmithError } from '#proto/errors.ts';
import type { EventName } from '../life/events.ts';
import { type NodeEvent, type NodeState, nodeLife } from '../life/node-life.ts';
import { workflowLife } from '../life/workflow-life.ts';
import { CLUSTER_LABEL, isWipe } from '../life/workflow-purpose.ts';
import type { JsonObject } from '../manifests/hardware-kind.ts';
import { applyTemplate, applyWorkflow } from './apply-transitions.ts';
import type { Change, Changes } from './change.ts';
import type { ClusterTransitions, NodeClaim, NodeRelease, NodeStart, NodeWorkflow } from './cluster-contract.ts';
import { clusterRow, findNodeRow, type NodeRow, nodeRow } from './cluster-rows.ts';
import { hardwareRow, userDataPurpose } from './hardware-rows.ts';
import type { NodeTable } from './schema.ts';
import { NO_SYSTEM, updateHardware } from './stage-transitions.ts';
import type { Cluster } from './store.ts';
import { findWorkflowRow, unfinishedOf, type WorkflowRow } from './workflow-rows.ts';
import { endRun } from './workflow-transitions.ts';

type Verbs =
  | 'claimNode'
  | 'startNode'
  | 'installNode'
  | 'readyNode'
  | 'failNode'
  | 'retryNode'
  | 'noteNode'
  | 'startRelease'
  | 'releaseNode'
  | 'releaseHardware';

/** The life of a node, from the claim of its machine until it is given back. */
export function nodeTransitions(changes: Changes): Pick<ClusterTransitions, Verbs> {
  return {
    claimNode: (claim, cause) => changes.run(cause, (change) => claimNode(change, claim)),

    startNode: (start, cause) => changes.run(cause, (change) => startNode(change, start)),

    installNode: (hardware, workflow, cause) =>
      changes.run(cause, async (change) => {
        const row = await nodeRow(change.trx, hardware);
        if (row.workflow !== workflow || row.state !== 'provisioning') return; // late, or told before
        await moveNode(change, row, 'install');
      }),

    readyNode: (hardware, cause) =>
      changes.run(cause, async (change) => {
        const row = await nodeRow(change.trx, hardware);
        if (row.state === 'installed') await moveNode(change, row, 'ready', { set: { tries: 0 } });
      }),

    failNode: (hardware, workflow, reason, cause) =>
      changes.run(cause, async (change) => {
        const row = await nodeRow(change.trx, hardware);
        if (row.workflow !== workflow) return; // late
        if (row.state === 'releasing') await noteNode(change, row, reason);
        else if (nodeLife.allows(row.state, 'fail'))
          await moveNode(change, row, 'fail', { set: { failure: reason }, data: { reason } });
      }),

    retryNode: (hardware, workflow, cause) =>
      changes.run(cause, async (change) => {
        const row = await nodeRow(change.trx, hardware);
        if (row.workflow !== workflow || row.state !== 'failed') return; // late, or told before
        await moveNode(change, row, 'provision', { data: { workflow, tries: row.tries } });
      }),

    noteNode: (hardware, note, cause) =>
      changes.run(cause, async (change) => noteNode(change, await nodeRow(change.trx, hardware), note)),

    startRelease: (release, cause) => changes.run(cause, (change) => startRelease(change, release)),

    releaseNode: (hardware, cause) => changes.run(cause, (change) => releaseNode(change, hardware)),

    releaseHardware: (release, cause) => changes.run(cause, (change) => releaseHardware(change, release)),
  };
}

const STATE_EVENTS: Readonly<Record<NodeState, EventName>> = {
  claimed: 'node.claimed',
  provisioning: 'node.provisioning',
  installed: 'node.installed',
  ready: 'node.ready',
  failed: 'node.failed',
  releasing: 'node.releasing',
};

interface MoveOptions {
  readonly set?: Updateable<NodeTable>;
  readonly data?: JsonObject;
}

/** Takes a node one step through its life and writes the event. Throws `illegal_transition`. */
async function moveNode(
  change: Change,
  row: NodeRow,
  step: NodeEvent,
  { set = {}, data = {} }: MoveOptions = {},
): Promise<void> {
  const state = nodeLife.next(row.state, step);
  await updateNode(change, row.hardware, {
    failure: null,
    note: null,
    ...set,
    state,
    state_at: change.at.getTime(),
  });
  await emitNode(change, row, STATE_EVENTS[state], data);
}

async function updateNode(change: Change, hardware: string, set: Updateable<NodeTable>): Promise<void> {
  await change.trx.updateTable('node').set(set).where('hardware', '=', hardware).execute();
}

async function emitNode(
  change: Change,
  { hardware, cluster, node_group: group }: Pick<NodeRow, 'hardware' | 'cluster' | 'node_group'>,
  name: EventName,
  data: JsonObject = {},
): Promise<void> {
  await change.emit({ name, hardware, data: { cluster, group, ...data } });
}

async function noteNode(change: Change, row: NodeRow, note: string | undefined): Promise<void> {
  if (row.note === (note ?? null)) return;
  await updateNode(change, row.hardware, { note: note ?? null });
  if (note !== undefined) await emitNode(change, row, 'node.waiting', { reason: note });
}

/** The primary key of `node` decides between two that want one machine; what else forbids it is asked in the same transaction. */
async function claimNode(change: Change, claim: NodeClaim): Promise<void> {
  const { cluster, hardware, group, role, revision } = claim;
  const refuse = (fact: string): never => {
    throw new TinsmithError('conflict', `cannot make Hardware ${hardware} a node of cluster ${cluster}: ${fact}`);
  };
  const { state } = await clusterRow(change.trx, cluster);
  const machine = await hardwareRow(change.trx, hardware);
  const held = await findNodeRow(change.trx, hardware);
  if (held?.cluster === cluster && held.node_group === group && held.state !== 'releasing') return; // asked before
  if (held !== undefined) refuse(`it is a node of cluster ${held.cluster} (${held.node_group}, ${held.state})`);
  if (state === 'deleting') refuse('the cluster is being deleted');
  if (machine.stage === 'retired') refuse('it is retired');
  const [busy] = await unfinishedOf(change.trx, hardware);
  if (busy !== undefined) refuse(`Workflow ${busy.name} is ${busy.state} on it`);
  const at = change.at.getTime();
  await change.trx
    .insertInto('node')
    .values({
      hardware,
      cluster,
      node_group: group,
      role,
      revision,
      initialises: 0,
      state: 'claimed',
      state_at: at,
      claimed_at: at,
      tries: 0,
    })
    .execute();
  await updateHardware(change, hardware, {});
  await emitNode(change, { hardware, cluster, node_group: group }, 'node.claimed', { role });
}

async function startNode(change: Change, start: NodeStart): Promise<void> {
  const { hardware, cluster, workflow } = start;
  const row = await nodeRow(change.trx, hardware);
  const { name } = workflow.manifest;
  if (row.workflow === name && row.state === 'provisioning') return; // asked before
  const refuse = (fact: string): never => {
    throw new TinsmithError('conflict', `cannot install Hardware ${hardware} for cluster ${cluster}: ${fact}`);
  };
  const [busy] = await unfinishedOf(change.trx, hardware);
  if (busy !== undefined) refuse(`Workflow ${busy.name} is ${busy.state} on it`);
  if (row.cluster !== cluster) refuse(`it is a node of cluster ${row.cluster}`);
  await refuseUnwanted(change, row, refuse);
  const { userData, readyBy, userDataPolicy, revision, initialises } = start;
  await updateHardware(change, hardware, {
    user_data_sealed: userData === undefined ? null : change.box.seal(userDataPurpose(hardware), userData),
    ready_by: readyBy,
    user_data_policy: userDataPolicy,
    ...NO_SYSTEM,
  });
  await orderWorkflow(change, start);
  if (initialises) {
    await change.trx.updateTable('node').set({ initialises: 0 }).where('cluster', '=', cluster).execute();
  }
  const tries = row.revision === revision ? row.tries + 1 : 1;
  const set = { workflow: name, revision, initialises: initialises ? 1 : 0, tries };
  await moveNode(change, row, 'provision', { set, data: { workflow: name, tries } });
}

/** Since the installation was decided on, an operator may have wanted the machine back: its disks must not be touched any more. */
async function refuseUnwanted(
  change: Change,
  { cluster, hardware }: NodeRow,
  refuse: (fact: string) => void,
): Promise<void> {
  const { state, released_json: json } = await clusterRow(change.trx, cluster);
  if (state === 'deleting') refuse('the cluster is being deleted');
  const released: Cluster['released'] = JSON.parse(json);
  if (released.some((each) => each.hardware === hardware)) refuse('an operator released it');
}

async function orderWorkflow(change: Change, { template, workflow }: NodeWorkflow): Promise<void> {
  await applyTemplate(change, template);
  await applyWorkflow(change, workflow);
}

async function startRelease(change: Change, { hardware, reason, wipe }: NodeRelease): Promise<void> {
  const row = await nodeRow(change.trx, hardware);
  if (row.state === 'releasing' && (await isUnderWay(change, row, wipe))) return; // asked before
  if (row.workflow !== null) await cancelRun(change, row.workflow, `node ${hardware} leaves its cluster: ${reason}`);
  await dropUserData(change, hardware);
  if (wipe !== undefined) await orderWorkflow(change, wipe);
  const tries = row.state === 'releasing' ? row.tries + 1 : 1;
  const set = { workflow: wipe?.workflow.manifest.name ?? null, tries };
  await moveNode(change, row, 'release', { set, data: { reason, wipe: wipe !== undefined } });
}

/** A second release counts only after a wipe that failed, or to leave the wipe out. */
async function isUnderWay(change: Change, row: NodeRow, wipe: NodeWorkflow | undefined): Promise<boolean> {
  if (row.workflow === null) return true;
  if (wipe === undefined) return false;
  const run = await findWorkflowRow(change.trx, row.workflow);
  return run !== undefined && (!workflowLife.isFinal(run.state) || run.state === 'succeeded');
}

async function cancelRun(change: Change, workflow: string, reason: string): Promise<void> {
  const run = await findWorkflowRow(change.trx, workflow);
  if (run === undefined || workflowLife.isFinal(run.state)) return;
  await endRun(change, run, 'cancel', { code: 'cancelled', message: reason });
}

/** Nothing of what a machine was told for its cluster is served any more. */
async function dropUserData(change: Change, hardware: string): Promise<void> {
  await updateHardware(change, hardware, {
    user_data_sealed: null,
    user_data_policy: 'keep',
    user_data_fetched_at: null,
    user_data_withheld_at: null,
    phoned_home_at: null,
    ready_by: 'metadata',
  });
}

async function releaseNode(change: Change, hardware: string): Promise<void> {
  const row = await findNodeRow(change.trx, hardware);
  if (row === undefined) return; // done before
  if (row.state !== 'releasing') {
    throw new TinsmithError('conflict', `cannot give back Hardware ${hardware}: its node is ${row.state}`);
  }
  await forgetInstallations(change, row);
  await change.trx.deleteFrom('node').where('hardware', '=', hardware).execute();
  await dropUserData(change, hardware);
  await emitNode(change, row, 'node.released');
}

/** Rendered workflows may hold what was in the user data. The wipe stays: it tells what became of the disks. */
async function forgetInstallations(change: Change, { hardware, cluster }: NodeRow): Promise<void> {
  const runs = await change.trx
    .selectFrom('workflow')
    .select(['id', 'name', 'labels_json'])
    .where('id', 'in', (of) =>
      of.selectFrom('workflow_hardware').select('workflow_id').where('hardware', '=', hardware),
    )
    .execute();
  for (const { id, name, labels_json: json } of runs) {
    const labels: Readonly<Record<string, string>> = JSON.parse(json);
    if (labels[CLUSTER_LABEL] !== cluster || isWipe(labels)) continue;
    await change.trx.deleteFrom('workflow').where('id', '=', id).execute();
    await change.emit({ name: 'workflow.deleted', workflow: name, data: { hardware: [hardware] } });
  }
}

/** What is still to run on a machine that is to be released, and the way around it. */
function busyFact(busy: WorkflowRow, wipe: NodeWorkflow | undefined): string {
  const { name, state, labels_json: labels } = busy;
  const cancel = `tinsmith workflow cancel ${name}`;
  if (wipe === undefined && isWipe(JSON.parse(labels))) {
    return `the wipe of its disks was ordered before and is ${state}: to leave it out, cancel that first (${cancel}), then release it again`;
  }
  return `Workflow ${name} is ${state} on it; cancel that first (${cancel})`;
}

async function releaseHardware(
  change: Change,
  { hardware, wipe }: Pick<NodeRelease, 'hardware' | 'wipe'>,
): Promise<void> {
  await hardwareRow(change.trx, hardware);
  const held = await findNodeRow(change.trx, hardware);
  const [busy] = await unfinishedOf(change.trx, hardware);
  const fact = held === undefined ? busy && busyFact(busy, wipe) : `it is a node of cluster ${held.cluster}`;
  if (fact !== undefined) throw new TinsmithError('conflict', `cannot release Hardware ${hardware}: ${fact}`);
  await dropUserData(change, hardware);
  if (wipe !== undefined) await orderWorkflow(change, wipe);
  await change.emit({ name: 'hardware.released', hardware, data: { wipe: wipe !== undefined } });
}
