import type { Kysely, Selectable } from 'kysely';
import { TinsmithError } from '#proto/errors.ts';
import type { BootstrapToken, ClusterSecrets } from '../cluster/bootstrap/bootstrapper.ts';
import type { ClusterDefinition } from '../manifests/cluster-kind.ts';
import type { Reader } from './hardware-rows.ts';
import type { ClusterTable, NodeTable, Tables } from './schema.ts';
import type { SecretBox } from './secret-box.ts';
import type { Cluster, ClusterNode, Store } from './store.ts';

export type ClusterRow = Selectable<ClusterTable>;
export type NodeRow = Selectable<NodeTable>;

/** Purposes of a cluster's sealed texts in the secret box. */
export const clusterPurposes = {
  definition: (cluster: string) => `definition of Cluster ${cluster}`,
  secrets: (cluster: string) => `secrets of Cluster ${cluster}`,
  token: (cluster: string) => `bootstrap token of Cluster ${cluster}`,
} as const;

/** Throws `not_found`. */
export async function clusterRow(db: Reader, name: string): Promise<ClusterRow> {
  const row = await findClusterRow(db, name);
  if (row === undefined) throw new TinsmithError('not_found', `there is no cluster named ${name}`);
  return row;
}

export async function findClusterRow(db: Reader, name: string): Promise<ClusterRow | undefined> {
  return db.selectFrom('cluster').selectAll().where('name', '=', name).executeTakeFirst();
}

/** Throws `not_found`. */
export async function nodeRow(db: Reader, hardware: string): Promise<NodeRow> {
  const row = await findNodeRow(db, hardware);
  if (row === undefined) throw new TinsmithError('not_found', `Hardware ${hardware} is no node of a cluster`);
  return row;
}

export async function findNodeRow(db: Reader, hardware: string): Promise<NodeRow | undefined> {
  return db.selectFrom('node').selectAll().where('hardware', '=', hardware).executeTakeFirst();
}

/** The reading verbs of clusters. */
export function clusterReading(db: Kysely<Tables>, box: SecretBox) {
  return {
    async cluster(name) {
      const row = await findClusterRow(db, name);
      return row === undefined ? undefined : clusterOfRow(row, box);
    },
    async listClusters() {
      const rows = await db.selectFrom('cluster').selectAll().orderBy('name').execute();
      return rows.map((row) => clusterOfRow(row, box));
    },
    async nodes(cluster) {
      const query = db.selectFrom('node').selectAll().where('cluster', '=', cluster);
      const rows = await query.orderBy('role').orderBy('claimed_at').orderBy('hardware').execute();
      return rows.map(nodeOfRow);
    },
    async node(hardware) {
      const row = await findNodeRow(db, hardware);
      return row === undefined ? undefined : nodeOfRow(row);
    },
    async clusterSecrets(name) {
      const { secrets_sealed: sealed } = await clusterRow(db, name);
      if (sealed === null) return undefined;
      const secrets: ClusterSecrets = JSON.parse(box.open(clusterPurposes.secrets(name), sealed));
      return secrets;
    },
    async clusterToken(name) {
      const { token_sealed: sealed } = await clusterRow(db, name);
      if (sealed === null) return undefined;
      const { token, expiresAt } = JSON.parse(box.open(clusterPurposes.token(name), sealed));
      return { token, expiresAt: new Date(expiresAt) } satisfies BootstrapToken;
    },
  } satisfies Partial<Store>;
}

function clusterOfRow(row: ClusterRow, box: SecretBox): Cluster {
  const definition: ClusterDefinition = JSON.parse(
    box.open(clusterPurposes.definition(row.name), row.definition_sealed),
  );
  return {
    name: row.name,
    version: row.version,
    createdAt: new Date(row.created_at),
    state: row.state,
    stateAt: new Date(row.state_at),
    definition,
    options: JSON.parse(row.options_json),
    released: JSON.parse(row.released_json),
    ...(row.failure === null ? {} : { failure: row.failure }),
  };
}

function nodeOfRow(row: NodeRow): ClusterNode {
  return {
    hardware: row.hardware,
    cluster: row.cluster,
    group: row.node_group,
    role: row.role,
    revision: row.revision,
    initialises: row.initialises === 1,
    state: row.state,
    stateAt: new Date(row.state_at),
    claimedAt: new Date(row.claimed_at),
    tries: row.tries,
    ...(row.workflow === null ? {} : { workflow: row.workflow }),
    ...(row.failure === null ? {} : { failure: row.failure }),
    ...(row.note === null ? {} : { note: row.note }),
  };
}
