import type { FastifyInstance, FastifyPluginAsync, FastifyReply, FastifyRequest } from 'fastify';
import { poolLeaseOfAddress } from '../store/pool-lease.ts';
import type { Hardware, Store } from '../store/store.ts';
import type { Transitions } from '../store/transitions-contract.ts';
import { instanceMetadata, metadataAt } from './instance-metadata.ts';

export interface MetadataRoutesOptions {
  readonly store: Pick<Store, 'hardwareByAddress' | 'hardwareByMac' | 'listSettings' | 'userData'>;
  readonly transitions: Pick<Transitions, 'noteReady'>;
  readonly clock: () => Date;
}

const VERSIONS = ['2009-04-04', 'latest'] as const;
const MAX_PHONE_HOME_BYTES = 64 * 1024;

/**
 * EC2-style instance metadata on a listener of its own. A machine is known by the address it connects from and gets its own
 * data only; forwarding headers are never believed. The first answer to an installed system makes the machine ready.
 */
export function metadataRoutes(options: MetadataRoutesOptions): FastifyPluginAsync {
  return async (server: FastifyInstance) => {
    // The bodies of phone-home are read and dropped, whatever their type: we only want to hear that the system is up.
    server.removeAllContentTypeParsers();
    server.addContentTypeParser('*', { parseAs: 'buffer', bodyLimit: MAX_PHONE_HOME_BYTES }, (_request, _body, done) =>
      done(null, undefined),
    );
    server.get('/', async (_request, reply) => text(reply, VERSIONS.join('\n')));
    for (const version of VERSIONS) {
      server.get(`/${version}`, async (_request, reply) => text(reply, 'meta-data/\nuser-data'));
      server.get(`/${version}/`, async (_request, reply) => text(reply, 'meta-data/\nuser-data'));
      server.get(`/${version}/user-data`, async (request, reply) => answer(options, { request, reply }, userData));
      server.get(`/${version}/meta-data`, async (request, reply) => answer(options, { request, reply }, metaData));
      server.get(`/${version}/meta-data/*`, async (request, reply) => answer(options, { request, reply }, metaData));
    }
    server.post('/phone-home', async (request, reply) =>
      answer(options, { request, reply }, async () => 'ok', 'phoneHome'),
    );
    await Promise.resolve();
  };
}

interface Exchange {
  readonly request: FastifyRequest;
  readonly reply: FastifyReply;
}

interface Caller {
  readonly hardware: Hardware;
  readonly address: string;
  readonly path: string;
}

/** A phone call says more than a question. */
type Contact = Parameters<Transitions['noteReady']>[1];

/** Text for the caller, or undefined where it has none. */
type Answer = (options: MetadataRoutesOptions, caller: Caller) => Promise<string | undefined>;

const userData: Answer = (options, { hardware }) => options.store.userData(hardware.name);

const metaData: Answer = async (_options, { hardware, address, path }) =>
  metadataAt(instanceMetadata(hardware, address), path);

async function answer(
  options: MetadataRoutesOptions,
  { request, reply }: Exchange,
  find: Answer,
  how: Contact = 'metadata',
): Promise<FastifyReply> {
  const address = request.ip.replace(/^::ffff:(?=\d+\.)/i, '');
  const hardware = await callingHardware(options, address);
  if (hardware === undefined) {
    request.log.info({ from: address, url: request.url }, 'metadata.unknownCaller');
    return text(reply.code(404), 'no machine has this address');
  }
  // During provisioning the agent asks too, for its templates: only an installed system that asks is ready.
  if (hardware.stage === 'installed') {
    await options.transitions.noteReady(hardware.name, how, { actor: 'machine', from: address });
  }
  const value = await find(options, { hardware, address, path: pathOf(request) });
  return value === undefined ? text(reply.code(404), 'this machine has no such value') : text(reply, value);
}

async function callingHardware(options: MetadataRoutesOptions, address: string): Promise<Hardware | undefined> {
  const reserved = await options.store.hardwareByAddress(address);
  const lease = await poolLeaseOfAddress(options.store, address, options.clock());
  if (lease === undefined) return reserved;
  const holder = await options.store.hardwareByMac(lease.mac);
  // Reserved while another machine still holds a lease of it: who asks is not known, and user data is a secret.
  return reserved === undefined || reserved.name === holder?.name ? holder : undefined;
}

function pathOf(request: FastifyRequest): string {
  const params: unknown = request.params;
  if (typeof params !== 'object' || params === null || !('*' in params)) return '';
  return typeof params['*'] === 'string' ? params['*'] : '';
}

/** User data is a secret: no cache may keep it. */
function text(reply: FastifyReply, body: string): FastifyReply {
  return reply.header('cache-control', 'no-store').type('text/plain; charset=utf-8').send(body);
}
