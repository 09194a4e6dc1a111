/** The machine-facing HTTP listener with its routes, over a store in memory. */
import type { AddressInfo } from 'node:net';
import { Writable } from 'node:stream';
import { fastify } from 'fastify';
import pino from 'pino';
import { type BootRoutesOptions, bootRoutes } from '#server/boot/boot-routes.ts';
import { ImageAdmission } from '#server/boot/image-admission.ts';
import { linksToldOnce } from '#server/boot/link-outside.ts';
import type { HardwareInterface } from '#server/manifests/hardware-kind.ts';
import { openSqliteStore, type SqliteStore } from '#server/store/sqlite-store.ts';

/** What its clock says. */
export const NOW = new Date('2026-11-22T12:00:00Z');

export class BootSite implements AsyncDisposable {
  readonly opened: SqliteStore;
  readonly url: string;
  readonly log: string[];
  readonly #close: () => Promise<void>;

  constructor(opened: SqliteStore, log: string[], listener: { url: string; close: () => Promise<void> }) {
    this.opened = opened;
    this.log = log;
    this.url = listener.url;
    this.#close = listener.close;
  }

  async script(mac: string, init: RequestInit = {}): Promise<{ status: number; body: string }> {
    const response = await fetch(`${this.url}/ipxe/${mac}/boot.ipxe`, init);
    return { status: response.status, body: await response.text() };
  }

  async addMachine(mac: string, change: { iface?: Partial<HardwareInterface>; address?: string } = {}): Promise<void> {
    const dhcp = { mac, ip: { address: change.address ?? '127.0.0.1', netmask: '255.0.0.0' } };
    const manifest = {
      name: 'node',
      labels: {},
      annotations: {},
      spec: { disks: [], interfaces: [{ dhcp, ...change.iface }] },
    };
    await this.opened.transitions.apply({ hardware: [manifest], templates: [], workflows: [] }, { actor: 'operator' });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#close();
    await this.opened[Symbol.asyncDispose]();
  }
}

/** `change` names the folders of files, where they matter. */
export async function startBootSite(change: Partial<BootRoutesOptions> = {}): Promise<BootSite> {
  const opened = await openSqliteStore({ path: ':memory:', clock: () => NOW });
  const log: string[] = [];
  const stream = new Writable({
    write(chunk, _encoding, done) {
      log.push(String(chunk));
      done();
    },
  });
  const admission = new ImageAdmission({ streams: 8, egress: 0, clock: () => NOW, log: { info: () => undefined } });
  // Everything that can be logged is, so that a secret in the log would be seen.
  const logger = pino({ level: 'trace' }, stream);
  const server = fastify({ loggerInstance: logger });
  await server.register(
    bootRoutes({
      store: opened.store,
      transitions: opened.transitions,
      clock: () => NOW,
      dhcpMode: 'reservation',
      discovery: false,
      libraryFolderOf: async () => undefined,
      libraryNearestTo: async () => undefined,
      libraryMirrorsOf: async () => [],
      admission,
      environment: {
        httpUrl: 'http://10.0.0.1:7171',
        grpcServer: '10.0.0.1:42114',
        caHash: 'cc',
        giveUpSeconds: 60,
        kernelArgs: 'quiet',
      },
      caDer: Uint8Array.of(0x30, 0x82, 0),
      bootFolders: [],
      imagesFolder: '/nonexistent',
      onLink: linksToldOnce((facts, name) => logger.warn(facts, name)),
      ...change,
    }),
  );
  await server.listen({ host: '127.0.0.1', port: 0 });
  const { port } = server.server.address() as AddressInfo;
  const close = async (): Promise<void> => {
    await server.close();
    // It would look after its line for as long as a machine keeps its place.
    await admission[Symbol.asyncDispose]();
  };
  return new BootSite(opened, log, { url: `http://127.0.0.1:${port}`, close });
}
