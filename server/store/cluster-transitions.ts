import { isDeepStrictEqual } from 'node:util';
import type { Updateable } from 'kysely';
import { TinsmithError } from '#proto/errors.ts';
import type { ClusterOptions } from '../cluster/cluster-options.ts';
import { type ClusterEvent, type ClusterState, clusterLife } from '../life/cluster-life.ts';
import type { EventName } from '../life/events.ts';
import { CLUSTER_LABEL } from '../life/workflow-purpose.ts';
import type { JsonObject } from '../manifests/hardware-kind.ts';
import type { Change, Changes } from './change.ts';
import type { ClusterTransitions, NewCluster } from './cluster-contract.ts';
import { type ClusterRow, clusterPurposes, clusterRow, findClusterRow, nodeRow } from './cluster-rows.ts';
import type { ClusterTable } from './schema.ts';
import type { Cluster } from './store.ts';

type Verbs =
  | 'createCluster'
  | 'changeCluster'
  | 'settleCluster'
  | 'blockCluster'
  | 'resumeCluster'
  | 'withdrawNode'
  | 'startClusterDelete'
  | 'deleteCluster'
  | 'putClusterToken';

/** The life of a cluster; its nodes are in node-transitions.ts. */
export function clusterTransitions(changes: Changes): Pick<ClusterTransitions, Verbs> {
  return {
    createCluster: (cluster, cause) => changes.run(cause, (change) => createCluster(change, cluster)),

    changeCluster: (name, { definition, options, version }, cause) =>
      changes.run(cause, async (change) => {
        const row = await clusterRow(change.trx, name);
        if (row.version !== version) {
          throw new TinsmithError(
            'conflict',
            `cannot change cluster ${name}: somebody else changed it first; look again`,
          );
        }
        const definitionSealed = change.box.seal(clusterPurposes.definition(name), JSON.stringify(definition));
        const set = { definition_sealed: definitionSealed, options_json: JSON.stringify(options) };
        await moveCluster(change, row, 'change', { set });
      }),

    settleCluster: (name, cause) =>
      changes.run(cause, async (change) => {
        const row = await clusterRow(change.trx, name);
        if (clusterLife.allows(row.state, 'settle')) await moveCluster(change, row, 'settle');
      }),

    blockCluster: (name, reason, cause) =>
      changes.run(cause, async (change) => {
        const row = await clusterRow(change.trx, name);
        if (row.failure === reason) return; // it says so already
        if (row.state === 'blocked') {
          await updateCluster(change, name, { failure: reason });
          await change.emit({ name: 'cluster.blocked', data: { cluster: name, reason } });
        } else if (clusterLife.allows(row.state, 'block')) {
          await moveCluster(change, row, 'block', { set: { failure: reason }, data: { reason } });
        }
      }),

    resumeCluster: (name, { afresh }, cause) =>
      changes.run(cause, async (change) => {
        const row = await clusterRow(change.trx, name);
        if (afresh) await startAfresh(change, row);
        if (row.state !== 'blocked') return; // it goes on already
        await moveCluster(change, row, 'resume', { event: 'cluster.resumed' });
      }),

    withdrawNode: (withdrawal, cause) => changes.run(cause, (change) => withdrawNode(change, withdrawal)),

    startClusterDelete: (name, options, cause) =>
      changes.run(cause, async (change) => {
        const row = await clusterRow(change.trx, name);
        const set = { options_json: JSON.stringify(options) };
        if (row.state === 'deleting') await updateCluster(change, name, set);
        else await moveCluster(change, row, 'delete', { set });
      }),

    deleteCluster: (name, cause) => changes.run(cause, (change) => deleteCluster(change, name)),

    putClusterToken: (name, token) =>
      changes.run({ actor: 'server' }, async (change) => {
        await clusterRow(change.trx, name);
        const sealed = token === undefined ? null : change.box.seal(clusterPurposes.token(name), JSON.stringify(token));
        await change.trx.updateTable('cluster').set({ token_sealed: sealed }).where('name', '=', name).execute();
      }),
  };
}

const STATE_EVENTS: Readonly<Record<ClusterState, EventName>> = {
  creating: 'cluster.changed',
  changing: 'cluster.changed',
  ready: 'cluster.ready',
  blocked: 'cluster.blocked',
  deleting: 'cluster.deleting',
};

interface MoveOptions {
  readonly set?: Updateable<ClusterTable>;
  readonly data?: JsonObject;
  /** Default: the event of the state. */
  readonly event?: EventName;
}

/** Takes a cluster one step through its life and writes the event. Throws `illegal_transition`. */
async function moveCluster(
  change: Change,
  row: ClusterRow,
  step: ClusterEvent,
  { set = {}, data = {}, event }: MoveOptions = {},
): Promise<void> {
  const state = clusterLife.next(row.state, step);
  await updateCluster(change, row.name, { failure: null, ...set, state, state_at: change.at.getTime() });
  await change.emit({ name: event ?? STATE_EVENTS[state], data: { cluster: row.name, state, ...data } });
}

async function updateCluster(change: Change, name: string, set: Updateable<ClusterTable>): Promise<void> {
  await change.trx
    .updateTable('cluster')
    .set((of) => ({ ...set, version: of('version', '+', 1) }))
    .where('name', '=', name)
    .execute();
}

async function withdrawNode(change: Change, withdrawal: Cluster['released'][number]): Promise<void> {
  const { cluster } = await nodeRow(change.trx, withdrawal.hardware);
  const row = await clusterRow(change.trx, cluster);
  const before: Cluster['released'] = JSON.parse(row.released_json);
  if (before.some((each) => isDeepStrictEqual(each, withdrawal))) return; // asked before
  const released = [...before.filter(({ hardware }) => hardware !== withdrawal.hardware), withdrawal];
  const set = { released_json: JSON.stringify(released) };
  if (row.state === 'ready') await moveCluster(change, row, 'change', { set });
  else {
    await updateCluster(change, cluster, set);
    await change.emit({ name: 'cluster.changed', data: { cluster, state: row.state } });
  }
}

async function createCluster(change: Change, { definition, options, secrets }: NewCluster): Promise<void> {
  const { name } = definition.cluster;
  if ((await findClusterRow(change.trx, name)) !== undefined) {
    throw new TinsmithError('conflict', `cannot create cluster ${name}: there is one of that name`);
  }
  await change.trx
    .insertInto('cluster')
    .values({
      name,
      version: 1,
      created_at: change.at.getTime(),
      state: 'creating',
      state_at: change.at.getTime(),
      definition_sealed: change.box.seal(clusterPurposes.definition(name), JSON.stringify(definition)),
      options_json: JSON.stringify(options satisfies ClusterOptions),
      secrets_sealed: change.box.seal(clusterPurposes.secrets(name), JSON.stringify(secrets)),
      released_json: '[]',
    })
    .execute();
  await change.emit({ name: 'cluster.created', data: { cluster: name, state: 'creating' } });
}

async function startAfresh(change: Change, row: ClusterRow): Promise<void> {
  await updateCluster(change, row.name, { released_json: '[]' });
  await change.trx
    .updateTable('node')
    .set({ tries: 0 })
    .where('cluster', '=', row.name)
    .where('state', 'in', ['failed', 'releasing'])
    .execute();
}

async function deleteCluster(change: Change, name: string): Promise<void> {
  const { trx } = change;
  const row = await clusterRow(trx, name);
  const nodes = await trx.selectFrom('node').select('hardware').where('cluster', '=', name).execute();
  if (row.state !== 'deleting' || nodes.length > 0) {
    const fact = row.state === 'deleting' ? `it still has ${nodes.length} nodes` : `it is ${row.state}`;
    throw new TinsmithError('conflict', `cannot remove cluster ${name}: ${fact}`);
  }
  for (const { name: template, labels_json: labels } of await trx.selectFrom('template').selectAll().execute()) {
    if (JSON.parse(labels)[CLUSTER_LABEL] !== name) continue;
    await trx.deleteFrom('template').where('name', '=', template).execute();
    await change.emit({ name: 'template.deleted', data: { template } });
  }
  await trx.deleteFrom('cluster').where('name', '=', name).execute();
  await change.emit({ name: 'cluster.deleted', data: { cluster: name } });
}
