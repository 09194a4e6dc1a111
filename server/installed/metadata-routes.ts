import type { FastifyInstance, FastifyPluginAsync, FastifyReply, FastifyRequest } from 'fastify';
import type { Hardware, Store } from '../store/store.ts';
import type { Transitions } from '../store/transitions-contract.ts';
import { type Caller, type CallerParts, callingMachine, plainAddress } from './calling-machine.ts';
import { instanceMetadata, METADATA_VERSIONS, type MetadataVersion, metadataAt } from './instance-metadata.ts';
import { LONGEST_TOKEN_SECONDS, type MetadataTokens, metadataTokens } from './metadata-token.ts';
import { nocloudMetadata, nocloudNetworkConfig } from './nocloud-seed.ts';
import { phoneCall } from './phone-call.ts';

export interface MetadataRoutesOptions extends CallerParts {
  readonly store: CallerParts['store'] & Pick<Store, 'userData'>;
  readonly transitions: Pick<
    Transitions,
    'noteReady' | 'noteBootstrapFailed' | 'noteUserDataFetched' | 'noteUserDataWithheld' | 'noteMetadataRefused'
  >;
  /** Every question for data needs a token. */
  readonly tokenRequired?: boolean;
  /** User data that holds keys is served for as long as it is there. */
  readonly keepSecrets?: boolean;
}

const MAX_PHONE_HOME_BYTES = 64 * 1024;
const TTL_HEADER = 'x-aws-ec2-metadata-token-ttl-seconds';
const TOKEN_HEADER = 'x-aws-ec2-metadata-token';

/**
 * Instance metadata for installed systems, in the ways of EC2 and of cloud-init's NoCloud, on a listener of its own. A machine is
 * known by the address it connects from and gets its own data only; forwarding headers are never believed.
 */
export function metadataRoutes(options: MetadataRoutesOptions): FastifyPluginAsync {
  return async (server: FastifyInstance) => {
    const desk = new MetadataDesk(options);
    // Only phone calls have a body that says something; it is read as text, whatever its type.
    server.removeAllContentTypeParsers();
    server.addContentTypeParser('*', { parseAs: 'string', bodyLimit: MAX_PHONE_HOME_BYTES }, (_request, body, done) =>
      done(null, body),
    );
    server.setNotFoundHandler(async (_request, reply) => text(reply.code(404), 'there is nothing here'));
    addEc2Routes(server, desk);
    addNocloudRoutes(server, desk);
    // Hegel's whole document, which rootio asks for where the disks of the machine are described in it.
    server.get('/metadata', async (request, reply) => desk.answer({ request, reply }, wholeMetadata));
    server.post('/phone-home', async (request, reply) => desk.hearCall({ request, reply }));
    await Promise.resolve();
  };
}

const wholeMetadata: Answer = async ({ hardware: { spec } }) =>
  spec.metadata === undefined ? undefined : JSON.stringify({ metadata: spec.metadata });

function addEc2Routes(server: FastifyInstance, desk: MetadataDesk): void {
  server.get('/', async (_request, reply) => text(reply, METADATA_VERSIONS.join('\n')));
  server.put('/latest/api/token', async (request, reply) => desk.issueToken({ request, reply }));
  for (const version of METADATA_VERSIONS) {
    const values: Answer = async ({ hardware, address }, path) =>
      metadataAt(instanceMetadata(hardware, address, version), path);
    const listing = 'meta-data/\nuser-data';
    for (const path of [`/${version}`, `/${version}/`])
      server.get(path, async (_request, reply) => text(reply, listing));
    const folder = `/${version satisfies MetadataVersion}`;
    server.get(`${folder}/user-data`, async (request, reply) => desk.answer({ request, reply }, desk.userData));
    server.get(`${folder}/meta-data`, async (request, reply) => desk.answer({ request, reply }, values));
    server.get(`${folder}/meta-data/*`, async (request, reply) => desk.answer({ request, reply }, values));
  }
}

function addNocloudRoutes(server: FastifyInstance, desk: MetadataDesk): void {
  const files: Readonly<Record<string, Answer>> = {
    'meta-data': async ({ hardware, address }) => nocloudMetadata(hardware, address),
    // cloud-init drops the whole source, and takes the machine for a new one, if this file is missing: empty is its "none".
    'user-data': async (caller) => (await desk.userData(caller)) ?? '',
    'network-config': async ({ hardware }) => nocloudNetworkConfig(hardware),
    'vendor-data': async ({ hardware: { spec } }) => spec.vendorData ?? '',
  };
  for (const [name, find] of Object.entries(files)) {
    server.get(`/nocloud/${name}`, async (request, reply) => desk.answer({ request, reply }, find));
  }
}

interface Exchange {
  readonly request: FastifyRequest;
  readonly reply: FastifyReply;
}

/** Who asks; `isHead`: for the head of the answer only. */
type Machine = Extract<Caller, { kind: 'machine' }> & { readonly isHead: boolean };

/** Text for the caller, or undefined where it has none. `path`: the rest of a route that ends in `*`. */
type Answer = (caller: Machine, path: string) => Promise<string | undefined>;

/** Who asks, may it, what does it get, and what its asking says. */
class MetadataDesk {
  readonly #options: MetadataRoutesOptions;
  readonly #tokens: MetadataTokens;

  constructor(options: MetadataRoutesOptions) {
    this.#options = options;
    this.#tokens = metadataTokens(options.clock);
  }

  async answer(exchange: Exchange, find: Answer): Promise<FastifyReply> {
    const { request, reply } = exchange;
    const caller = await this.#machine(exchange);
    if (caller === undefined) return reply;
    if (!this.#hasToken(request, caller)) return text(reply.code(401), 'ask for a token first, or for a new one');
    await this.#noteQuestion(caller);
    const path = pathOf(request);
    const value = await find(caller, path);
    return value === undefined ? text(reply.code(404), 'this machine has no such value') : text(reply, value);
  }

  async issueToken(exchange: Exchange): Promise<FastifyReply> {
    const { request, reply } = exchange;
    // As on EC2: a token is for who asks, not for somebody behind a proxy.
    if (request.headers['x-forwarded-for'] !== undefined) return text(reply.code(403), 'not through a proxy');
    const caller = await this.#machine(exchange);
    if (caller === undefined) return reply;
    const seconds = Number(request.headers[TTL_HEADER]);
    if (!Number.isInteger(seconds) || seconds < 1 || seconds > LONGEST_TOKEN_SECONDS) {
      return text(reply.code(400), `set ${TTL_HEADER} to 1 to ${LONGEST_TOKEN_SECONDS}`);
    }
    reply.header(TTL_HEADER, String(seconds));
    return text(reply, this.#tokens.issue(holder(caller), seconds));
  }

  async hearCall(exchange: Exchange): Promise<FastifyReply> {
    const { request, reply } = exchange;
    const caller = await this.#machine(exchange);
    if (caller === undefined) return reply;
    const { hardware, address } = caller;
    const body = typeof request.body === 'string' ? request.body : '';
    const query = new URLSearchParams(request.url.split('?')[1] ?? '');
    const call = phoneCall(query, body, request.headers['content-type'] ?? '');
    const cause = { actor: 'machine', from: address } as const;
    switch (call.status) {
      case 'ready':
        await this.#options.transitions.noteReady(hardware.name, 'phoneHome', cause);
        return text(reply, 'ok');
      case 'failed':
        await this.#options.transitions.noteBootstrapFailed(hardware.name, call.detail, cause);
        return text(reply, 'ok');
      case 'unknown':
        return text(reply.code(400), `status is "${call.text}": use ready or failed`);
    }
  }

  /** A member that is handed on as an Answer. */
  readonly userData = async ({ hardware, address, isHead }: Machine): Promise<string | undefined> => {
    const { store, transitions } = this.#options;
    const cause = { actor: 'machine', from: address } as const;
    if (this.#isWithheld(hardware)) {
      await transitions.noteUserDataWithheld(hardware.name, cause);
      return undefined;
    }
    const found = await store.userData(hardware.name);
    // A HEAD gets nothing: user data that holds keys must not be withheld because of it.
    const isFetched = found !== undefined && !isHead;
    if (isFetched && hardware.stage === 'installed' && hardware.userDataFetchedAt === undefined) {
      await transitions.noteUserDataFetched(hardware.name, cause);
    }
    return found;
  };

  /** Keys are given out until the system is up. One that is ready by being installed was given them by the agent. */
  #isWithheld({ stage, userDataPolicy, readyAt, readyBy, userDataFetchedAt }: Hardware): boolean {
    if (this.#options.keepSecrets === true || userDataPolicy !== 'untilReady') return false;
    const isFetched = userDataFetchedAt !== undefined || readyBy === 'installed';
    return stage === 'installed' && readyAt !== undefined && isFetched;
  }

  /** During provisioning the agent asks too, for its templates: only an installed system that asks is up. */
  async #noteQuestion({ hardware, address }: Machine): Promise<void> {
    const { stage, readyAt, readyBy } = hardware;
    if (stage !== 'installed' || readyAt !== undefined || readyBy !== undefined) return;
    await this.#options.transitions.noteReady(hardware.name, 'metadata', { actor: 'machine', from: address });
  }

  /** The machine that asks; otherwise it is answered already. */
  async #machine({ request, reply }: Exchange): Promise<Machine | undefined> {
    const address = plainAddress(request.ip);
    const caller = await callingMachine(this.#options, address);
    if (caller.kind === 'machine') return { ...caller, isHead: request.method === 'HEAD' };
    if (caller.kind === 'stranger') {
      request.log.info({ from: address, url: request.url }, 'metadata.unknownCaller');
      await text(reply.code(404), 'no machine has this address');
      return undefined;
    }
    const { name } = caller.hardware;
    request.log.warn({ from: address, hardware: name, mac: caller.mac }, 'metadata.refused');
    await this.#options.transitions.noteMetadataRefused(name, caller.mac, { actor: 'machine', from: address });
    await text(reply.code(403), 'this address belongs to a machine with another MAC');
    return undefined;
  }

  /** A token that is shown has to be good, even where none is asked for. */
  #hasToken(request: FastifyRequest, caller: Machine): boolean {
    const token = request.headers[TOKEN_HEADER];
    if (token === undefined) return this.#options.tokenRequired !== true;
    return typeof token === 'string' && this.#tokens.accepts(token, holder(caller));
  }
}

function holder({ hardware, address }: Machine): { readonly hardware: string; readonly address: string } {
  return { hardware: hardware.name, address };
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
