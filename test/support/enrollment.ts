/** Agents that enroll at a real server: their requests, keys and connections, each to be had wrong. */
import assert from 'node:assert/strict';
import { generateKeyPairSync, type KeyPairKeyObjectResult, X509Certificate } from 'node:crypto';
import { create } from '@bufbuild/protobuf';
import { certificateRequest } from '#agent/certificate-request.ts';
import { type ClientTrust, callEnroll, openClient } from '#agent/grpc-client.ts';
import { helloMessage } from '#agent/link-wire.ts';
import { agentServiceDefinition } from '#proto/agent-service-definition.ts';
import { TinsmithError } from '#proto/errors.ts';
import {
  type EnrollRequest,
  EnrollRequestSchema,
  type EnrollResponse,
  type ServerMessage,
} from '#proto/gen/tinsmith/agent/v1/agent_pb.ts';
import { errorOfGrpc } from '#proto/grpc-errors.ts';
import { type AgentWorld, BOOT_ID } from './agent-world.ts';
import { macOf, someInventory } from './records.ts';

/** What an agent shows; what is not named is as it should be. */
export interface ShownToken {
  readonly token: string;
  readonly keys?: KeyPairKeyObjectResult;
  readonly nonce?: string;
  readonly mac?: string;
  readonly fields?: Partial<EnrollRequest>;
}

/** Asks for a certificate. Throws what the server answers. */
export async function enroll(
  world: AgentWorld,
  { token, keys = newKeys(), nonce = 'a-nonce-of-some-length', mac = macOf(1), fields = {} }: ShownToken,
): Promise<{ readonly response: EnrollResponse; readonly keys: KeyPairKeyObjectResult }> {
  const request = create(EnrollRequestSchema, {
    token,
    nonce,
    mac,
    csr: certificateRequest(keys, 'machine'),
    bootId: BOOT_ID,
    agentVersion: '0.1.0',
    inventoryJson: JSON.stringify(someInventory),
  });
  const trust = { ca: world.ca.certificatePem };
  const asked = Object.assign(request, fields);
  return {
    response: await withClient(world, trust, (client) => callEnroll(client, asked, AbortSignal.timeout(60_000))),
    keys,
  };
}

/** A certificate, its key, and the authority that made it. */
export async function identity(world: AgentWorld, number: number): Promise<Required<ClientTrust>> {
  const { response, keys } = await enroll(world, { token: await world.mint(number), mac: macOf(number) });
  return { ...trustOf(world, keys), certificate: new X509Certificate(response.certificate).toString() };
}

export function trustOf(
  world: AgentWorld,
  keys: KeyPairKeyObjectResult,
): { readonly ca: string; readonly key: string } {
  const key = keys.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
  return { ca: world.ca.certificatePem, key };
}

/** The server's first message on a new stream. */
export async function connect(world: AgentWorld, trust: ClientTrust): Promise<ServerMessage> {
  return withClient(world, trust, async (client) => {
    const { connect: method } = agentServiceDefinition;
    const call = client.makeBidiStreamRequest(method.path, method.requestSerialize, method.responseDeserialize);
    const { promise, resolve, reject } = Promise.withResolvers<ServerMessage>();
    call.on('data', resolve);
    call.on('error', (error) => reject(errorOfGrpc(error, 'cannot connect')));
    call.write(helloMessage({ session: 's', bootId: BOOT_ID, agentVersion: '0.1.0', running: undefined }));
    try {
      return await promise;
    } finally {
      call.cancel();
    }
  });
}

export async function withClient<T>(
  world: AgentWorld,
  trust: ClientTrust,
  use: (client: ReturnType<typeof openClient>) => Promise<T>,
): Promise<T> {
  const client = openClient(`127.0.0.1:${world.port}`, trust);
  try {
    return await use(client);
  } finally {
    client.close();
  }
}

export function newKeys(): KeyPairKeyObjectResult {
  return generateKeyPairSync('ec', { namedCurve: 'P-256' });
}

/** For `assert.rejects`: a TinsmithError of this code. */
export function isCode(code: string): (thrown: unknown) => boolean {
  return (thrown) => {
    assert.ok(thrown instanceof TinsmithError, String(thrown));
    assert.equal(thrown.code, code, thrown.message);
    return true;
  };
}
