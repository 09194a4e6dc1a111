import { X509Certificate } from 'node:crypto';
import { setInterval } from 'node:timers/promises';
import { create } from '@bufbuild/protobuf';
import { timestampFromDate } from '@bufbuild/protobuf/wkt';
import {
  Server,
  ServerCredentials,
  type ServerUnaryCall,
  type sendUnaryData,
  type UntypedServiceImplementation,
} from '@grpc/grpc-js';
import type { Logger } from 'pino';
import { agentServiceDefinition, MAX_AGENT_MESSAGE_BYTES } from '#proto/agent-service-definition.ts';
import { TinsmithError } from '#proto/errors.ts';
import {
  type EnrollRequest,
  type EnrollResponse,
  EnrollResponseSchema,
  type RenewRequest,
} from '#proto/gen/tinsmith/agent/v1/agent_pb.ts';
import { grpcStatusOf } from '#proto/grpc-errors.ts';
import { type AgentListener, listenForAgents } from './agent-listener.ts';
import { type AgentCall, AgentStream, type AgentStreamContext } from './agent-stream.ts';
import type { WorkflowEngine } from './engine.ts';
import type { PeerTracker } from './peer-tracker.ts';
import { createRefusalLimiter, type RefusalLimiter } from './refusal-limiter.ts';

/** What the enroll room does for us; app.ts brings the two together. */
export interface EnrollVerbs {
  enroll(request: Omit<EnrollRequest, '$typeName' | '$unknown'>, from: string): Promise<SignedIdentity>;
  renew(hardware: string, publicKey: Uint8Array): Promise<SignedIdentity>;
}

export interface SignedIdentity {
  readonly certificate: { readonly der: Uint8Array; readonly expiresAt: Date };
  readonly hardware: string;
}

/** The certificate authority as this room sees it. */
export interface AgentTrust {
  readonly certificatePem: string;
  issueServer(): Promise<{ readonly certificatePem: string; readonly keyPem: string }>;
  /** Name of the Hardware that a client certificate (DER) speaks for. Throws `unauthenticated`. */
  identify(certificateDer: Uint8Array): string;
}

export interface AgentServiceOptions {
  /** 0: any free port. */
  readonly port: number;
  readonly address: string;
  readonly engine: WorkflowEngine;
  readonly enroll: EnrollVerbs;
  readonly ca: AgentTrust;
  readonly log: Logger;
  readonly heartbeatMs: number;
  readonly clock: () => Date;
  /** Through it agents that write the same library image hear of one another. Absent: they do not. */
  readonly peers?: PeerTracker;
  /** Told when the agent at an address has ended an action, perhaps more than once. */
  readonly onActionEnd?: (address: string) => void;
}

export interface AgentService extends AsyncDisposable {
  readonly port: number;
}

/** A stream without a sign of life for this many heartbeats is ended; so is one that does not say hello for as long. */
const SILENT_HEARTBEATS = 6;
const WATCH_INTERVAL_MS = 1000;
const TELL_INTERVAL_MS = 200;

/**
 * Serves `tinsmith.agent.v1.AgentService` over TLS. Enroll needs no certificate, Connect and Renew do. Calls to Enroll may be
 * repeated (see EnrollService), streams may be cut and opened again at any time.
 */
export async function startAgentService(options: AgentServiceOptions): Promise<AgentService> {
  const { peers } = options;
  const context: AgentStreamContext = { ...options, streams: new Map() };
  /** Every open stream, also those that a newer one replaces. */
  const open = new Set<AgentStream>();
  const server = new Server({
    'grpc.max_receive_message_length': MAX_AGENT_MESSAGE_BYTES,
    'grpc.max_send_message_length': -1,
    'grpc.max_concurrent_streams': 8,
    'grpc.keepalive_time_ms': 10_000,
    'grpc.keepalive_timeout_ms': 10_000,
    // A connection without a call is closed: strangers cannot collect them.
    'grpc.max_connection_idle_ms': 60_000,
  });
  server.addService(agentServiceDefinition, implementation(options, context, open));
  const injector = server.createConnectionInjector(ServerCredentials.createInsecure());
  const listener = await listenForAgents({
    ...options,
    identity: await options.ca.issueServer(),
    accept: (socket) => injector.injectConnection(socket),
  });
  const stopping = new AbortController();
  const pushing = pushCommands(context, stopping.signal);
  const watching = endSilentStreams(open, options.heartbeatMs, stopping.signal);
  const telling = peers === undefined ? Promise.resolve() : tellOfPeers(peers, options.log, stopping.signal);
  return {
    port: listener.port,
    async [Symbol.asyncDispose]() {
      stopping.abort(new TinsmithError('unavailable', 'the server is stopping'));
      await stopStreams(open);
      await stopListening(listener, server);
      await Promise.all([pushing, watching, telling]);
    },
  };
}

function implementation(
  options: AgentServiceOptions,
  context: AgentStreamContext,
  open: Set<AgentStream>,
): UntypedServiceImplementation {
  const limiter = createRefusalLimiter(() => performance.now());
  return {
    enroll: answerUnary<EnrollRequest>((call) => enroll(call, options, limiter)),
    renew: answerUnary<RenewRequest>((call) => renew(call, options, context)),
    connect: (call: AgentCall) => {
      // grpc-js ends a call whose peer broke a rule through this event; without a listener the process would end.
      call.on('error', () => undefined);
      let peer: PeerIdentity;
      try {
        peer = identifyPeer(call, options.ca);
      } catch (thrown) {
        const error = TinsmithError.from(thrown);
        options.log.warn({ from: addressOf(call.getPeer()), error: error.message }, 'agent.refused');
        call.emit('error', grpcStatusOf(error));
        return;
      }
      const stream = new AgentStream(call, { hardware: peer.hardware, from: addressOf(call.getPeer()) }, context);
      open.add(stream);
      // `done` never rejects: what goes wrong in a stream ends that stream.
      void stream.done.finally(() => open.delete(stream));
    },
  };
}

async function enroll(
  call: ServerUnaryCall<EnrollRequest, EnrollResponse>,
  { enroll: verbs, log }: AgentServiceOptions,
  limiter: RefusalLimiter,
): Promise<EnrollResponse> {
  const from = addressOf(call.getPeer());
  const waitMs = limiter.waitMs(from);
  if (waitMs > 0) {
    const seconds = Math.ceil(waitMs / 1000);
    throw new TinsmithError('unavailable', `too many refused enrollments from ${from}: try again in ${seconds} s`);
  }
  try {
    return enrollResponse(await verbs.enroll(call.request, from));
  } catch (thrown) {
    const error = TinsmithError.from(thrown);
    if (error.code === 'unauthenticated' || error.code === 'invalid_input') {
      limiter.noteRefusal(from);
      log.warn({ from, code: error.code, error: error.message }, 'enroll.refused');
    }
    throw error;
  }
}

async function renew(
  call: ServerUnaryCall<RenewRequest, EnrollResponse>,
  { enroll: verbs, ca }: AgentServiceOptions,
  { streams }: AgentStreamContext,
): Promise<EnrollResponse> {
  const peer = identifyPeer(call, ca);
  // The engine knows this machine and speaks with it: one that was deleted since does not live on by renewing.
  if (!streams.has(peer.hardware)) {
    throw new TinsmithError(
      'forbidden',
      `cannot renew the certificate of ${peer.hardware}: its agent is not connected`,
    );
  }
  return enrollResponse(await verbs.renew(peer.hardware, peer.publicKey));
}

function enrollResponse(identity: SignedIdentity): EnrollResponse {
  return create(EnrollResponseSchema, {
    certificate: Uint8Array.from(identity.certificate.der),
    hardware: identity.hardware,
    expiresAt: timestampFromDate(identity.certificate.expiresAt),
  });
}

interface PeerIdentity {
  readonly hardware: string;
  /** SubjectPublicKeyInfo, DER. */
  readonly publicKey: Buffer;
}

/** Who holds the other end, by the certificate of the TLS handshake. Throws `unauthenticated`. */
function identifyPeer(call: Pick<AgentCall, 'getAuthContext'>, ca: AgentTrust): PeerIdentity {
  // Present only if TLS itself found the chain good; the certificate authority then looks at dates, purpose and name.
  const raw = call.getAuthContext().sslPeerCertificate?.raw;
  if (raw === undefined) {
    throw new TinsmithError('unauthenticated', 'no client certificate of this server was shown: enroll first');
  }
  const hardware = ca.identify(raw);
  return { hardware, publicKey: new X509Certificate(raw).publicKey.export({ type: 'spki', format: 'der' }) };
}

/** A grpc-js handler of an async function; what it throws becomes the call's status. */
function answerUnary<Request>(
  answer: (call: ServerUnaryCall<Request, EnrollResponse>) => Promise<EnrollResponse>,
): (call: ServerUnaryCall<Request, EnrollResponse>, reply: sendUnaryData<EnrollResponse>) => void {
  return (call, reply) => {
    answer(call).then(
      (response) => reply(null, response),
      (thrown: unknown) => reply(grpcStatusOf(TinsmithError.from(thrown))),
    );
  };
}

/** `10.0.0.7:51234` → `10.0.0.7`, `[::1]:5` and `::1:5` → `::1`; IPv4 inside IPv6 is IPv4. */
function addressOf(peer: string): string {
  return peer
    .replace(/:\d+$/, '')
    .replace(/^\[(.*)\]$/, '$1')
    .replace(/^::ffff:/, '');
}

/** Runs until stopped; if the engine's changes end otherwise that is a bug, and the rejection ends the process. */
async function pushCommands({ engine, streams }: AgentStreamContext, signal: AbortSignal): Promise<void> {
  try {
    for await (const hardware of engine.changes(signal)) streams.get(hardware)?.refreshCommands();
  } catch (thrown) {
    if (!signal.aborted) throw thrown;
  }
}

async function endSilentStreams(
  open: ReadonlySet<AgentStream>,
  heartbeatMs: number,
  signal: AbortSignal,
): Promise<void> {
  const limitMs = SILENT_HEARTBEATS * heartbeatMs;
  try {
    for await (const _ of setInterval(Math.min(WATCH_INTERVAL_MS, heartbeatMs), undefined, { signal })) {
      const earliest = performance.now() - limitMs;
      for (const stream of open) {
        if (stream.lastHeardAt < earliest) {
          stream.end(new TinsmithError('timed_out', `nothing was heard from the agent for ${limitMs / 1000} s`));
        }
      }
    }
  } catch (thrown) {
    if (!signal.aborted) throw thrown;
  }
}

async function tellOfPeers(peers: PeerTracker, log: Logger, signal: AbortSignal): Promise<void> {
  try {
    for await (const _ of setInterval(TELL_INTERVAL_MS, undefined, { signal })) {
      if (peers.tellChanges()) log.debug({ peers: peers.rows() }, 'peers.changed');
    }
  } catch (thrown) {
    if (!signal.aborted) throw thrown;
  }
}

async function stopStreams(open: ReadonlySet<AgentStream>): Promise<void> {
  const ending = [...open];
  for (const stream of ending) stream.end(new TinsmithError('unavailable', 'the server is stopping'));
  await Promise.all(ending.map((stream) => stream.done));
}

async function stopListening(listener: AgentListener, server: Server): Promise<void> {
  await listener[Symbol.asyncDispose]();
  server.forceShutdown();
}
