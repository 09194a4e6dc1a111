import { basename } from 'node:path';
import type { FastifyInstance, FastifyPluginAsync, FastifyReply, FastifyRequest } from 'fastify';
import { ERROR_CODES, TinsmithError } from '#proto/errors.ts';
import { formatMirrorList } from '#proto/mirror-list.ts';
import { formatMissingImage } from '#proto/missing-image.ts';
import type { HardwareInterface } from '../manifests/hardware-kind.ts';
import { mintBootToken } from '../store/boot-token.ts';
import { type PoolLease, poolLeaseOfMac } from '../store/pool-lease.ts';
import type { Cause, Hardware, Store } from '../store/store.ts';
import type { Transitions } from '../store/transitions-contract.ts';
import type { ImageAdmission } from './image-admission.ts';
import { type BootEnvironment, type BootingMachine, bootScript, localBootScript, ownScript } from './ipxe-script.ts';
import type { LinkListener } from './link-outside.ts';
import { openInside } from './open-inside.ts';
import { plainAddress } from './plain-address.ts';
import { type ContentVersion, type FileToSend, sendFile } from './send-file.ts';
import { type HoldMs, type ImageToSend, sendImage } from './send-image.ts';

export interface BootRoutesOptions {
  readonly store: Pick<Store, 'hardwareByMac' | 'setting'>;
  readonly transitions: Pick<Transitions, 'discover' | 'startBoot'>;
  readonly clock: () => Date;
  readonly dhcpMode: 'reservation' | 'proxy' | 'off';
  /** Whether an unknown machine becomes a Hardware and is booted. */
  readonly discovery: boolean;
  readonly environment: BootEnvironment;
  /** The CA certificate that agents check the server by. */
  readonly caDer: Uint8Array;
  /** Served at /boot/: the boot environment, then the boot loaders. The same as TFTP's. */
  readonly bootFolders: readonly string[];
  /** Served at /images/. */
  readonly imagesFolder: string;
  /** Hears of links that keep files of these folders, or of the library, from being served. */
  readonly onLink: LinkListener;
  /** Folder of a library image by its name or digest; served at /library/. */
  readonly libraryFolderOf: (nameOrDigest: string) => Promise<string | undefined>;
  /** Name of the image that may be meant by one that there is none of. */
  readonly libraryNearestTo: (name: string) => Promise<string | undefined>;
  /** Where else its frames are, best first. */
  readonly libraryMirrorsOf: (nameOrDigest: string) => Promise<readonly string[]>;
  /** Whose turn it is to fetch images. Boot files, scripts and indexes need none. */
  readonly admission: ImageAdmission;
  /** How long answers are held for those whose turn it is not. */
  readonly holdMs?: HoldMs;
}

/** How long a machine may take from its script to its enrolment: kernel and initramfs over a slow link, twice. */
const TOKEN_MINUTES = 10;
/** Paths below which nobody takes anything in. */
const READ_ONLY = /^\/(boot|images|library)\//;
const LOCAL_BOOT_FILE = 'localboot.efi';

/**
 * The machine-facing HTTP routes: iPXE scripts, boot files, images, CA certificate. Read only. Whoever is on the provisioning
 * network can ask; what is secret, the boot token, is given only to the address that belongs to the machine.
 */
export function bootRoutes(options: BootRoutesOptions): FastifyPluginAsync {
  return async (server: FastifyInstance) => {
    server.setErrorHandler((error, request, reply) => answerError(error, request, reply));
    // In the form of every other refusal here.
    server.setNotFoundHandler((request, reply) => {
      if (!['GET', 'HEAD'].includes(request.method) && READ_ONLY.test(request.url))
        return answerReadOnly(request, reply);
      throw new TinsmithError('not_found', `there is nothing at ${request.method} ${pathOf(request.url)} here`);
    });
    // A HEAD request must not use up a token, so the script has none.
    server.get<{ Params: { mac: string } }>(
      '/ipxe/:mac/boot.ipxe',
      { exposeHeadRoute: false },
      async (request, reply) => {
        const script = await scriptFor(options, request.params.mac, request);
        return reply.header('cache-control', 'no-store').type('text/plain; charset=utf-8').send(script);
      },
    );
    server.get('/ca.der', async (_request, reply) =>
      reply.type('application/pkix-cert').send(Buffer.from(options.caDer)),
    );
    const stopping = new AbortController();
    // Closing would otherwise wait for every image that is under way; agents fetch the rest from the next process.
    server.addHook('preClose', async () => stopping.abort());
    const { signal } = stopping;
    const { onLink, admission, holdMs } = options;
    serveBootFiles(server, { folders: options.bootFolders, onLink, signal });
    const images = { folders: [options.imagesFolder], onLink, signal, admission, ...(holdMs && { holdMs }) };
    serveImages(server, images);
    serveLibrary(server, options, { onLink, signal });
    await Promise.resolve();
  };
}

function serveBootFiles(server: FastifyInstance, from: Omit<FileToSend, 'path'>): void {
  server.get<{ Params: { '*': string } }>('/boot/*', async (request, reply) => {
    const path = request.params['*'];
    if ((await sendFile(request, reply, { ...from, path })) === 'sent') return reply;
    throw new TinsmithError('not_found', `there is no file ${path} here`);
  });
}

function serveImages(server: FastifyInstance, from: Omit<ImageToSend, 'path'>): void {
  server.get<{ Params: { '*': string } }>('/images/*', async (request, reply) => {
    const path = request.params['*'];
    if (await sendImage(request, reply, { ...from, path })) return reply;
    throw new TinsmithError('not_found', `there is no file ${path} here`);
  });
}

function serveLibrary(
  server: FastifyInstance,
  options: BootRoutesOptions,
  from: Pick<FileToSend, 'onLink' | 'signal'>,
): void {
  const { libraryFolderOf, libraryNearestTo, libraryMirrorsOf, admission, holdMs } = options;
  server.get<{ Params: { image: string } }>('/library/:image/mirrors.json', async (request, reply) => {
    const { image } = request.params;
    if ((await libraryFolderOf(image)) === undefined)
      throw new TinsmithError('not_found', `the library has no ${image}`);
    reply.header('cache-control', 'no-cache').type('application/json; charset=utf-8');
    return reply.send(formatMirrorList(await libraryMirrorsOf(image)));
  });
  server.get<{ Params: { image: string; file: string } }>('/library/:image/:file', async (request, reply) => {
    const { image, file } = request.params;
    const folder = await libraryFolderOf(image);
    const version = folder === undefined ? undefined : contentVersion(basename(folder), image, file);
    const toSend = { folders: folder === undefined ? [] : [folder], path: file, ...from, ...(version && { version }) };
    const isSent =
      file === 'image.zst'
        ? await sendImage(request, reply, { ...toSend, admission, ...(holdMs && { holdMs }) })
        : (await sendFile(request, reply, toSend)) === 'sent';
    if (isSent) return reply;
    const nearest = folder === undefined ? await libraryNearestTo(image) : undefined;
    throw new TinsmithError('not_found', formatMissingImage({ image, file, nearest }));
  });
}

/**
 * The digest is that of the index, which vouches for every byte of the packed file: whoever has an image of that digest gives both
 * the same tag. Signatures may differ from server to server.
 */
function contentVersion(digest: string, image: string, file: string): ContentVersion | undefined {
  if (file !== 'image.zst' && file !== 'index.json') return undefined;
  // Under a name there may be another image tomorrow.
  const cacheControl = image === digest ? 'public, max-age=31536000, immutable' : 'no-cache';
  return { etag: `"${digest}"`, cacheControl };
}

/**
 * Each request makes a new token and ends the machine's older unused ones, so a script that is fetched twice leaves one
 * that works: the newer.
 */
async function scriptFor(options: BootRoutesOptions, macText: string, request: FastifyRequest): Promise<string> {
  const mac = parseMac(macText);
  const from = plainAddress(request.ip);
  const cause: Cause = { actor: 'machine', from };
  const lease = await poolLeaseOfMac(options.store, mac, options.clock());
  const hardware = await findOrDiscover(options, { mac, lease, from }, cause);
  const iface = hardware.spec.interfaces.find((candidate) => candidate.dhcp?.mac === mac);
  const ours = reservedAddress(iface) ?? lease?.address;
  // An interface that never got an address from us has none to boot with, unless its record leaves addresses to others.
  refuseStrangers(options, { mac, from, address: iface?.disableDhcp === true ? ours : (ours ?? '') });
  refuseForbidden(hardware, iface);

  const { agentID } = hardware.spec;
  const machine: BootingMachine = {
    name: hardware.name,
    mac,
    ...(iface === undefined ? {} : { iface }),
    ...(agentID === undefined ? {} : { agentID }),
  };
  if (!hardware.netboot) return localBootScript(machine, await localBootUrl(options));
  const own = ownScript(machine);
  const { token, hash } = mintBootToken();
  const script = own ?? bootScript(machine, token, options.environment);
  const expiresAt = new Date(options.clock().getTime() + TOKEN_MINUTES * 60_000);
  await options.transitions.startBoot({ hardware: hardware.name, token: { hash, mac, expiresAt } }, cause);
  return script;
}

interface Asker {
  readonly mac: string;
  readonly lease: PoolLease | undefined;
  readonly from: string;
}

async function findOrDiscover(
  options: BootRoutesOptions,
  { mac, lease, from }: Asker,
  cause: Cause,
): Promise<Hardware> {
  const known = await options.store.hardwareByMac(mac);
  if (known !== undefined) return known;
  if (!options.discovery)
    throw new TinsmithError('not_found', `no Hardware has the MAC ${mac}: apply one, or set discovery=true`);
  // Where we give the addresses, a machine without one of ours is not on our wire.
  refuseStrangers(options, {
    mac,
    from,
    address: lease?.address ?? (options.dhcpMode === 'reservation' ? '' : undefined),
  });
  return options.transitions.discover(
    {
      mac,
      ...(lease === undefined ? {} : { address: addressOfLease(lease) }),
      ...(lease?.arch === undefined ? {} : { arch: lease.arch }),
      ...(lease?.uefi === undefined ? {} : { uefi: lease.uefi }),
    },
    cause,
  );
}

/** IPv4 only: that is what our DHCP gives, and what a boot loader asks from. */
function reservedAddress(iface: HardwareInterface | undefined): string | undefined {
  const ip = iface?.dhcp?.ip;
  return ip?.family === 6 ? undefined : ip?.address;
}

function addressOfLease({ address, netmask, gateway }: PoolLease): {
  address: string;
  netmask: string;
  gateway?: string;
} {
  return { address, netmask, ...(gateway === undefined ? {} : { gateway }) };
}

/** With our own reservations and leases a machine's address is known: nobody else gets its token. */
function refuseStrangers(
  options: BootRoutesOptions,
  asker: { readonly mac: string; readonly from: string; readonly address: string | undefined },
): void {
  if (options.dhcpMode !== 'reservation' || asker.address === undefined || asker.from === asker.address) return;
  const owner = asker.address === '' ? 'has no address from us' : `has the address ${asker.address}`;
  throw new TinsmithError(
    'forbidden',
    `the boot script of ${asker.mac} is not for ${asker.from}: the machine ${owner}`,
  );
}

function refuseForbidden(hardware: Hardware, iface: HardwareInterface | undefined): void {
  if (hardware.stage === 'retired')
    throw new TinsmithError('forbidden', `${hardware.name} is retired and boots nothing`);
  if (iface?.netboot?.allowPXE === false) {
    throw new TinsmithError('forbidden', `allowPXE is false for this interface of ${hardware.name}`);
  }
}

async function localBootUrl(options: BootRoutesOptions): Promise<{ readonly localBoot?: string }> {
  await using file = await openInside(options.bootFolders, LOCAL_BOOT_FILE);
  return file === undefined ? {} : { localBoot: `${options.environment.httpUrl}/boot/${LOCAL_BOOT_FILE}` };
}

/** Queries may hold tokens. */
function pathOf(url: string): string {
  return JSON.stringify(url.split('?', 1)[0]?.slice(0, 200));
}

/** Colons, dashes or nothing between the digits: some firmware cannot put a colon into a URL. */
function parseMac(text: string): string {
  const digits = text.toLowerCase().replaceAll(/[:-]/g, '');
  if (!/^[0-9a-f]{12}$/.test(digits)) throw new TinsmithError('not_found', `"${text}" is no MAC address`);
  return digits.replaceAll(/(..)(?=.)/g, '$1:');
}

/** RFC 9110 15.5.6. */
function answerReadOnly({ method }: FastifyRequest, reply: FastifyReply): FastifyReply {
  reply.code(405).header('allow', 'GET, HEAD').type('text/plain; charset=utf-8');
  return reply.send(`nothing can be done here by ${method}: files are only read\n`);
}

/** A machine shows its status code at most; the sentence is for the person who asks with curl, and for the log. */
function answerError(thrown: unknown, request: FastifyRequest, reply: FastifyReply): FastifyReply {
  const status = statusOf(thrown);
  const error = TinsmithError.from(thrown);
  const facts = { err: error, from: request.ip, url: request.url };
  if (status >= 500) request.log.error(facts, 'boot.failed');
  else if (status === 403) request.log.warn(facts, 'boot.refused');
  else request.log.info(facts, 'boot.notServed');
  const sentence = status >= 500 ? 'internal error, see the server’s log' : error.message;
  return reply.code(status).type('text/plain; charset=utf-8').send(`${sentence}\n`);
}

function statusOf(thrown: unknown): number {
  if (thrown instanceof TinsmithError) return ERROR_CODES[thrown.code].http;
  // Fastify's own refusals (a URL that cannot be decoded, …) carry their status.
  if (thrown instanceof Error && 'statusCode' in thrown && typeof thrown.statusCode === 'number')
    return thrown.statusCode;
  return 500;
}
