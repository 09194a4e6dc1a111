import { generateKeyPairSync, X509Certificate } from 'node:crypto';
import { create, type MessageInitShape } from '@bufbuild/protobuf';
import type { ClientDuplexStream } from '@grpc/grpc-js';
import { type ClientTrust, openClient } from '#agent/grpc-client.ts';
import { Pulse } from '#agent/pulse.ts';
import { agentServiceDefinition } from '#proto/agent-service-definition.ts';
import type { TinsmithError } from '#proto/errors.ts';
import { type AgentMessage, AgentMessageSchema, type ServerMessage } from '#proto/gen/tinsmith/agent/v1/agent_pb.ts';
import { errorOfGrpc } from '#proto/grpc-errors.ts';
import { type AgentWorld, BOOT_ID } from './agent-world.ts';

type Body = NonNullable<MessageInitShape<typeof AgentMessageSchema>['body']>;

/** One stream to the agent service that says whatever a test wants said. */
export interface RawAgent extends Disposable {
  readonly call: ClientDuplexStream<AgentMessage, ServerMessage>;
  readonly received: readonly ServerMessage[];
  send(sequence: number, body?: Body): boolean;
  hello(session?: string): void;
  /** The newest acknowledgement; 0 before the first. */
  acknowledged(): number;
  /** Resolves when it holds; rejects after a minute, or with why the server ended the stream. */
  until(isTrue: () => boolean): Promise<void>;
  /** Why the server ended the stream. */
  readonly ended: Promise<TinsmithError>;
}

/** The identity of machine `number`, signed as enrollment would. */
async function certifiedTrust(world: AgentWorld, number: number): Promise<ClientTrust> {
  await world.mint(number);
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const issued = await world.ca.issueClient(publicKey.export({ type: 'spki', format: 'der' }), `m${number}`);
  return {
    ca: world.ca.certificatePem,
    key: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
    certificate: new X509Certificate(issued.der).toString(),
  };
}

/** As machine number 1, another one, or whoever holds an identity. */
export async function openRawAgent(world: AgentWorld, who: number | ClientTrust = 1): Promise<RawAgent> {
  const trust = typeof who === 'number' ? await certifiedTrust(world, who) : who;
  const client = openClient(`127.0.0.1:${world.port}`, trust);
  const { connect } = agentServiceDefinition;
  const call = client.makeBidiStreamRequest(connect.path, connect.requestSerialize, connect.responseDeserialize);
  const received: ServerMessage[] = [];
  const happened = new Pulse();
  const ending = Promise.withResolvers<TinsmithError>();
  let error: TinsmithError | undefined;
  call.on('data', (message) => {
    received.push(message);
    happened.fire();
  });
  call.on('error', (thrown) => {
    error = errorOfGrpc(thrown, 'the stream ended');
    ending.resolve(error);
    happened.fire();
  });
  const send = (sequence: number, body?: Body): boolean =>
    call.write(create(AgentMessageSchema, { sequence: BigInt(sequence), ...(body === undefined ? {} : { body }) }));
  return {
    call,
    received,
    send,
    hello: (session = 'raw') =>
      void send(0, { case: 'hello', value: { session, bootId: BOOT_ID, agentVersion: '0.1.0' } }),
    acknowledged: () =>
      received.reduce((newest, { body }) => (body.case === 'ack' ? Number(body.value.sequence) : newest), 0),
    async until(isTrue) {
      const signal = AbortSignal.timeout(60_000);
      while (!isTrue()) {
        if (error !== undefined) throw error;
        await happened.wait(signal);
      }
    },
    ended: ending.promise,
    [Symbol.dispose]() {
      call.cancel();
      client.close();
    },
  };
}
