import type { AddressInfo } from 'node:net';
import { fastify } from 'fastify';
import { type MetadataRoutesOptions, metadataRoutes } from '#server/installed/metadata-routes.ts';
import type { HardwareManifest } from '#server/manifests/hardware-kind.ts';
import { openSqliteStore, type SqliteStore } from '#server/store/sqlite-store.ts';
import { clusterDefinition, newCluster, nodeClaim, nodeStart } from './cluster-records.ts';
import { agentSession, plannedWorkflow, storedSequence, succeededAt } from './records.ts';

export const SITE_TIME = new Date('2026-11-22T12:00:00Z');
const CAUSE = { actor: 'operator' } as const;

/** The metadata service with a store of its own, asked from 127.0.0.1. */
export class MetadataSite implements AsyncDisposable {
  readonly opened: SqliteStore;
  readonly url: string;
  readonly #close: () => Promise<void>;

  constructor(opened: SqliteStore, url: string, close: () => Promise<void>) {
    this.opened = opened;
    this.url = url;
    this.#close = close;
  }

  async get(path: string, init: RequestInit = {}): Promise<readonly [number, string]> {
    const response = await fetch(`${this.url}${path}`, init);
    return [response.status, await response.text()];
  }

  async apply(...hardware: readonly HardwareManifest[]): Promise<void> {
    await this.opened.transitions.apply({ hardware, templates: [], workflows: [] }, CAUSE);
  }

  async readyAt(name: string): Promise<Date | undefined> {
    return (await this.opened.store.hardware(name))?.readyAt;
  }

  /** Names of the events of what installed systems did. */
  async said(): Promise<readonly string[]> {
    const names = [
      'machine.ready',
      'machine.phonedHome',
      'machine.bootstrapFailed',
      'userData.fetched',
      'userData.withheld',
      'metadata.refused',
    ] as const;
    return (await this.opened.store.events({ names })).map(({ name }) => name);
  }

  /** Machine `mine` as a node whose user data holds keys; its workflow is not run yet. */
  async claimMine(readyBy: 'phoneHome' | 'installed'): Promise<void> {
    const { transitions } = this.opened;
    await this.apply(siteMachine('mine', '127.0.0.1'));
    await transitions.createCluster(newCluster(clusterDefinition({ name: 'c1' })), CAUSE);
    await transitions.claimNode(nodeClaim('mine'), CAUSE);
    const secret = { userData: 'keys', readyBy, userDataPolicy: 'untilReady' } as const;
    await transitions.startNode(nodeStart('mine', 'w-mine', secret), CAUSE);
  }

  /** A workflow of two actions, to its end. */
  async install(name: string): Promise<void> {
    const workflows = [plannedWorkflow(`w-${name}`, [name])];
    await this.opened.transitions.apply({ hardware: [], templates: [], workflows }, CAUSE);
    await this.run(name, 2);
  }

  /** The workflow of a machine, which has so many actions. */
  async run(name: string, actions: number): Promise<void> {
    const { transitions } = this.opened;
    const session = agentSession(name, 's');
    const ref = { workflow: `w-${name}`, attempt: 1, task: 0 };
    await transitions.agentConnected(session, CAUSE);
    let sequence = 0;
    const stored = () => storedSequence(session, (sequence += 1));
    await transitions.taskAccepted(ref, stored(), CAUSE);
    for (let action = 0; action < actions; action += 1) {
      await transitions.actionStarted({ ...ref, action }, SITE_TIME, stored(), CAUSE);
      await transitions.actionFinished({ ...ref, action }, succeededAt(SITE_TIME), stored(), CAUSE);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#close();
    await this.opened[Symbol.asyncDispose]();
  }
}

export async function metadataSite(settings: Partial<MetadataRoutesOptions> = {}): Promise<MetadataSite> {
  const clock = settings.clock ?? (() => SITE_TIME);
  const opened = await openSqliteStore({ path: ':memory:', clock });
  const server = fastify();
  await server.register(metadataRoutes({ ...opened, clock, ...settings }));
  await server.listen({ host: '127.0.0.1', port: 0 });
  const { port } = server.server.address() as AddressInfo;
  return new MetadataSite(opened, `http://127.0.0.1:${port}`, () => server.close());
}

/** `mine` or another one. */
export function siteMachine(name: string, address: string, userData?: string): HardwareManifest {
  const mac = `52:54:00:00:00:${name === 'mine' ? '01' : '02'}`;
  const dhcp = { mac, hostname: `${name}.example`, ip: { address, netmask: '255.0.0.0' } };
  return {
    name,
    labels: {},
    annotations: {},
    spec: { disks: [], interfaces: [{ dhcp }], ...(userData === undefined ? {} : { userData }) },
  };
}
