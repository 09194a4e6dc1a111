import { readFile } from 'node:fs/promises';
import { isIP } from 'node:net';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { Logger } from 'pino';
import { TinsmithError } from '#proto/errors.ts';
import { parseMirrorUrl } from '#proto/mirror-list.ts';
import { ensureAdminToken } from './api/admin-token.ts';
import { startApi } from './api/start-api.ts';
import { bootRoutes } from './boot/boot-routes.ts';
import { egressSetting } from './boot/egress-setting.ts';
import { ImageAdmission } from './boot/image-admission.ts';
import { linksToldOnce } from './boot/link-outside.ts';
import { missingBootFiles } from './boot/missing-boot-files.ts';
import { startTftpServer } from './boot/tftp-server.ts';
import { candidates } from './cluster/assign-machines.ts';
import { bootstrapperFor } from './cluster/bootstrap/bootstrappers.ts';
import { kubernetesOf } from './cluster/bootstrap/kubernetes-api.ts';
import { runClusterController } from './cluster/cluster-controller.ts';
import { planHost } from './cluster/plan-host.ts';
import { renderNode } from './cluster/render-node.ts';
import type { Config } from './config.ts';
import { startDhcpServer } from './discover/dhcp-server.ts';
import { isInNetwork } from './discover/ipv4.ts';
import { poolSetting } from './discover/pool-setting.ts';
import { type CertificateAuthority, openCertificateAuthority } from './enroll/certificate-authority.ts';
import { createEnrollService } from './enroll/enroll-service.ts';
import { type FacingInterface, facingInterface } from './facing-interface.ts';
import type { Neighbours } from './installed/calling-machine.ts';
import { metadataRoutes } from './installed/metadata-routes.ts';
import { neighbourMac, readNeighbourTable } from './installed/neighbour-table.ts';
import { nearestImage } from './library/image-use.ts';
import { type Images, openImages } from './library/open-images.ts';
import { listen, machineFacingServer } from './machine-facing-server.ts';
import { makeFolder } from './make-folder.ts';
import { type ActionImages, readActionImages } from './manifests/action-images.ts';
import { startAgentService } from './provision/agent-service.ts';
import type { WorkflowEngine } from './provision/engine.ts';
import { PeerTracker } from './provision/peer-tracker.ts';
import { SWEEP_INTERVAL_MS, workflowEngine } from './provision/workflow-engine.ts';
import { slurpRoutes } from './slurp/slurp-routes.ts';
import { openSqliteStore } from './store/sqlite-store.ts';
import type { Store } from './store/store.ts';
import type { Transitions } from './store/transitions-contract.ts';

export interface ServerOptions {
  readonly config: Config;
  readonly log: Logger;
  /** Version of Tinsmith. */
  readonly version: string;
  readonly clock?: () => Date;
}

/** A running server. Disposing it stops every part in the reverse order of its start. */
export interface RunningServer extends AsyncDisposable {
  readonly address: string;
  readonly adminUrl: string;
  readonly ports: { readonly http: number; readonly metadata: number; readonly grpc: number };
}

/** What the parts share. */
interface Parts {
  readonly actionImages: ActionImages;
  readonly config: Config;
  readonly log: Logger;
  readonly version: string;
  readonly clock: () => Date;
  readonly facing: FacingInterface;
  readonly store: Store;
  readonly transitions: Transitions;
  readonly ca: CertificateAuthority;
  readonly folders: {
    readonly boot: string;
    readonly ipxe: string;
    readonly images: string;
    readonly library: string;
  };
  readonly images: Images;
  readonly admission: ImageAdmission;
  /** Absent: machines do not give frames to one another. */
  readonly peers?: PeerTracker;
}

/**
 * The composition root: makes every part once. DHCP starts last, so that a machine is answered only when everything that it
 * will ask for next is there. Throws what the part that could not start throws; the parts before it are stopped.
 */
export async function startServer(options: ServerOptions): Promise<RunningServer> {
  const { config, log, version } = options;
  const clock = options.clock ?? (() => new Date());
  if (!isLoopback(config['admin.address'])) {
    throw new TinsmithError(
      'invalid_input',
      `cannot open the admin API on ${config['admin.address']}: it has no TLS yet, so only loopback is safe; use 127.0.0.1 and an SSH tunnel`,
    );
  }
  const facing = facingInterface({ interface: config.interface, address: config.address });
  const dataDir = config['data.dir'];
  const folders = {
    boot: config['boot.dir'] || join(dataDir, 'boot'),
    ipxe: config['boot.ipxe.dir'],
    images: config['images.dir'] || join(dataDir, 'images'),
    library: config['library.dir'] || join(dataDir, 'library'),
  };
  await makeFolder(dataDir, 0o700);
  for (const folder of [folders.boot, folders.images, folders.library]) await makeFolder(folder);

  await using stack = new AsyncDisposableStack();
  const { store, transitions } = stack.use(
    await openSqliteStore({ path: join(dataDir, 'tinsmith.db'), clock, log: log.child({ part: 'store' }) }),
  );
  const ca = await openCertificateAuthority({ store, clock });
  const base = { config, log, version, clock, facing, store, transitions };
  const images = await openImagesIn(folders.library, base, stack);
  const actionImages = await siteActions(config['actions.map']);
  const admission = stack.use(openAdmission(options, clock));
  const peers = config['library.peers'] ? new PeerTracker() : undefined;
  const parts: Parts = { ...base, ca, folders, images, actionImages, admission, ...(peers && { peers }) };
  const grpc = await startProvisioning(parts, stack);
  const { port: metadata, legacyPort: metadataLegacy } = await startMetadata(parts, stack);
  startClusters(parts, metadata, stack);
  const http = await startBoot(parts, stack);
  const api = stack.use(
    await startApi({
      store,
      transitions,
      version,
      actionTimeoutMs: config['action.timeout'] * 1000,
      actionImages,
      images: { ...images, serving: () => ({ ...admission.serving(), sharing: peers?.rows() ?? [] }) },
      clock,
      planHost: planHost(config, { address: facing.address, metadata, metadataLegacy }),
      token: await ensureAdminToken(dataDir),
      address: config['admin.address'],
      port: config['admin.port'],
      log: log.child({ part: 'api' }),
    }),
  );
  await startDiscovery(parts, stack);
  const running = stack.move();
  return {
    address: facing.address,
    adminUrl: api.url,
    ports: { http, metadata, grpc },
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  };
}

function openAdmission({ config, log }: ServerOptions, clock: () => Date): ImageAdmission {
  return new ImageAdmission({
    streams: config['http.streams'],
    egress: egressSetting(config['http.egress']),
    clock,
    log: log.child({ part: 'boot' }),
  });
}

function openImagesIn(
  folder: string,
  { facing, ...parts }: Pick<Parts, 'config' | 'log' | 'clock' | 'facing' | 'store' | 'transitions'>,
  stack: AsyncDisposableStack,
): Promise<Images> {
  return openImages({ ...parts, log: parts.log.child({ part: 'library' }), folder, address: facing.address }, stack);
}

/** Runs until the signal. */
export async function runServer(options: ServerOptions, signal: AbortSignal): Promise<void> {
  await using server = await startServer(options);
  options.log.info({ address: server.address, admin: server.adminUrl, ...server.ports }, 'server.started');
  await new Promise<void>((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
  options.log.info('server.stopping');
}

async function startProvisioning(parts: Parts, stack: AsyncDisposableStack): Promise<number> {
  const { config, store, transitions, clock, ca, facing } = parts;
  const log = parts.log.child({ part: 'provision' });
  const engine = workflowEngine({
    store,
    transitions,
    clock,
    leaseMs: config['agent.lease'] * 1000,
    maxAttempts: config['workflow.attempts'],
    library: {
      publicKey: parts.images.library.publicKey,
      mirrors: [`http://${facing.address}:${config['http.port']}/library/`],
      peers: config['library.peers'],
      ...(parts.images.authorities !== undefined && { authorities: parts.images.authorities }),
    },
    ...(parts.images.firstUse && { images: parts.images.firstUse }),
    libraryDigestOf: (name) => parts.images.library.digestOf(name),
  });
  const service = stack.use(
    await startAgentService({
      port: config['grpc.port'],
      address: facing.address,
      engine,
      enroll: createEnrollService({ transitions, ca }),
      ca,
      log,
      heartbeatMs: config['agent.heartbeat'] * 1000,
      clock,
      ...(parts.peers && { peers: parts.peers }),
      onActionEnd: (address) => parts.admission.finish(address),
    }),
  );
  const stopping = new AbortController();
  const sweeping = sweepUntil(engine, stopping.signal, log);
  stack.defer(async () => {
    stopping.abort();
    await sweeping;
  });
  return service.port;
}

/** A sweep that fails is tried again with the next: what is overdue stays overdue. */
async function sweepUntil(engine: WorkflowEngine, signal: AbortSignal, log: Logger): Promise<void> {
  while (!signal.aborted) {
    try {
      await delay(SWEEP_INTERVAL_MS, undefined, { signal });
      await engine.sweep();
    } catch (error) {
      if (!signal.aborted) log.error({ err: error }, 'provision.sweepFailed');
    }
  }
}

/** Brings clusters to what is wanted of them, in the background. */
function startClusters(parts: Parts, metadataPort: number, stack: AsyncDisposableStack): void {
  const { store, transitions, clock, facing, config } = parts;
  const metadataUrl = `http://${facing.address}:${metadataPort}`;
  const site = { metadataUrl, actionTimeoutMs: config['action.timeout'] * 1000, actionImages: parts.actionImages };
  const stopping = new AbortController();
  const controller = runClusterController(
    {
      store,
      transitions,
      clock,
      log: parts.log.child({ part: 'cluster' }),
      metadataUrl,
      candidates,
      renderNode: (node) => renderNode(node, site),
      bootstrapperFor,
      kubernetesOf: (cluster, secrets) => kubernetesOf(cluster, secrets, { clock }),
    },
    stopping.signal,
  );
  stack.defer(async () => {
    stopping.abort();
    await controller;
  });
}

interface MetadataPorts {
  readonly port: number;
  /** Undefined: it is not served. */
  readonly legacyPort: number | undefined;
}

async function startMetadata(parts: Parts, stack: AsyncDisposableStack): Promise<MetadataPorts> {
  const { store, transitions, config, facing, clock } = parts;
  const log = parts.log.child({ part: 'installed' });
  const routes = metadataRoutes({
    store,
    transitions,
    clock,
    tokenRequired: config['metadata.token.required'],
    keepSecrets: config['metadata.keep.secrets'],
    ...(config['metadata.neighbours'] && { neighbours: neighboursOf(facing) }),
  });
  const server = machineFacingServer(log);
  await server.register(routes);
  const port = await listen(server, stack, { host: facing.address, port: config['metadata.port'], what: 'metadata' });
  const legacyPort = config['metadata.legacy.port'];
  if (legacyPort === 0 || legacyPort === port) return { port, legacyPort: undefined };
  const legacy = machineFacingServer(log);
  await legacy.register(routes);
  try {
    await listen(legacy, stack, { host: facing.address, port: legacyPort, what: 'legacy metadata' });
    return { port, legacyPort };
  } catch (error) {
    // Nothing of ours needs it: only templates of older releases name this port.
    log.warn({ port: legacyPort, reason: TinsmithError.from(error).message }, 'metadata.legacyPortTaken');
    return { port, legacyPort: undefined };
  }
}

function neighboursOf(facing: FacingInterface): Neighbours {
  return {
    areOnLink: (address) => isIP(address) === 4 && isInNetwork(address, facing),
    macOf: async (address) => neighbourMac(await readNeighbourTable(), address, facing.name),
  };
}

async function startBoot(parts: Parts, stack: AsyncDisposableStack): Promise<number> {
  const { store, transitions, config, facing, ca, clock, folders } = parts;
  const log = parts.log.child({ part: 'boot' });
  const onLink = linksToldOnce((facts, name) => log.warn(facts, name));
  const siteMirrors = config['library.mirrors'].map((mirror) => parseMirrorUrl(mirror).href);
  const slurpFolder = config['slurp.dir'];
  const server = machineFacingServer(log, { uploads: slurpFolder !== '' });
  if (slurpFolder !== '') {
    const limitBytes = config['slurp.max'] * 1024 ** 3;
    const neighbours = config['metadata.neighbours'] && { neighbours: neighboursOf(facing) };
    await server.register(slurpRoutes({ store, clock, folder: slurpFolder, limitBytes, ...neighbours }));
  }
  await server.register(
    bootRoutes({
      store,
      transitions,
      clock,
      dhcpMode: dhcpMode(config),
      discovery: config.discovery,
      environment: {
        httpUrl: `http://${facing.address}:${config['http.port']}`,
        grpcServer: `${facing.address}:${config['grpc.port']}`,
        caHash: ca.fingerprint,
        giveUpSeconds: config['boot.giveup'],
        kernelArgs: config['boot.kernel.args'],
      },
      caDer: ca.certificateDer,
      bootFolders: [folders.boot, folders.ipxe],
      imagesFolder: folders.images,
      onLink,
      admission: parts.admission,
      libraryFolderOf: (name) => parts.images.library.folderOf(name),
      libraryNearestTo: (name) => nearestImage(name, parts.images.library),
      libraryMirrorsOf: async (name) => [
        ...new Set([...(await parts.images.library.mirrors.ofAny(name)), ...siteMirrors]),
      ],
    }),
  );
  const port = await listen(server, stack, { host: facing.address, port: config['http.port'], what: 'boot file' });
  for (const missing of await missingBootFiles([folders.boot, folders.ipxe])) log.warn(missing, 'boot.fileMissing');
  stack.use(
    await startTftpServer({
      address: facing.address,
      port: config['tftp.port'],
      folders: [folders.boot, folders.ipxe],
      onLink,
      log,
    }),
  );
  return port;
}

async function startDiscovery(parts: Parts, stack: AsyncDisposableStack): Promise<void> {
  const { store, transitions, config, facing, clock, folders } = parts;
  const mode = dhcpMode(config);
  if (mode === 'off') return;
  const pool = poolSetting(config, facing);
  stack.use(
    await startDhcpServer({
      store,
      transitions,
      clock,
      log: parts.log.child({ part: 'discover' }),
      mode,
      address: facing.address,
      netmask: facing.netmask,
      port: config['dhcp.port'],
      httpPort: config['http.port'],
      leaseSeconds: config['dhcp.lease'],
      discovery: config.discovery,
      bootFolders: [folders.boot, folders.ipxe],
      ...(pool && { pool }),
    }),
  );
}

async function siteActions(path: string): Promise<ActionImages> {
  if (path === '') return new Map();
  try {
    return readActionImages({ name: path, text: await readFile(path, 'utf8') });
  } catch (cause) {
    if (cause instanceof TinsmithError) throw cause;
    throw new TinsmithError(
      'invalid_input',
      `cannot read the action names of ${path} (--actions-map): ${TinsmithError.from(cause).message}`,
      { cause },
    );
  }
}

function dhcpMode(config: Config): 'reservation' | 'proxy' | 'off' {
  const mode = config['dhcp.mode'];
  if (mode === 'reservation' || mode === 'proxy' || mode === 'off') return mode;
  throw new TinsmithError('invalid_input', `cannot start DHCP in mode "${mode}": use reservation, proxy or off`);
}

function isLoopback(address: string): boolean {
  return address === 'localhost' || address === '::1' || (isIP(address) === 4 && address.startsWith('127.'));
}
