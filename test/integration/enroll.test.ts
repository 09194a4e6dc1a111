import assert from 'node:assert/strict';
import { createHash, generateKeyPairSync, type KeyPairKeyObjectResult, X509Certificate } from 'node:crypto';
import { describe, it } from 'node:test';
import { connect as connectTls } from 'node:tls';
import { create } from '@bufbuild/protobuf';
import { certificateRequest } from '#agent/certificate-request.ts';
import { type ClientTrust, callEnroll, callRenew, openClient } from '#agent/grpc-client.ts';
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
import { openCertificateAuthority } from '#server/enroll/certificate-authority.ts';
import { type AgentWorld, BOOT_ID, startAgentWorld } from '#test/support/agent-world.ts';
import { openRawAgent, type RawAgent } from '#test/support/raw-agent.ts';
import { macOf, someInventory } from '#test/support/records.ts';

const HOUR_MS = 3600_000;
const signal = AbortSignal.timeout(60_000);

describe('enrollment', () => {
  it('gives a certificate for a boot token, once, and names the machine in it', async () => {
    await using world = await startAgentWorld();

    const { response, keys } = await enroll(world, { token: await world.mint(1) });

    const certificate = new X509Certificate(response.certificate);
    assert.equal(response.hardware, 'm1');
    assert.equal(certificate.subjectAltName, 'URI:tinsmith:hardware/m1');
    assert.ok(certificate.checkPrivateKey(keys.privateKey));
    assert.equal((await world.opened.store.hardware('m1'))?.stage, 'enrolled');
  });

  it('answers the same token, nonce and key again: its first answer may have been lost', async () => {
    await using world = await startAgentWorld();
    const shown = { token: await world.mint(1), keys: newKeys(), nonce: 'nonce-of-one-process' };

    await enroll(world, shown);
    const again = await enroll(world, shown);

    assert.equal(again.response.hardware, 'm1');
    assert.equal((await eventsOf(world, 'machine.enrolled')).length, 1);
  });

  it('refuses a token that another key shows, and says so in the event log', async () => {
    await using world = await startAgentWorld();
    const shown = { token: await world.mint(1), nonce: 'nonce-of-one-process' };
    await enroll(world, shown);

    await assert.rejects(enroll(world, { ...shown, keys: newKeys() }), isCode('unauthenticated'));

    const [event] = await eventsOf(world, 'enroll.refused');
    assert.equal(event?.hardware, 'm1');
    assert.equal(event.from, '127.0.0.1');
  });

  it('refuses a token that another nonce shows', async () => {
    await using world = await startAgentWorld();
    const shown = { token: await world.mint(1), keys: newKeys() };
    await enroll(world, { ...shown, nonce: 'nonce-of-one-process' });

    await assert.rejects(enroll(world, { ...shown, nonce: 'nonce-of-another-one' }), isCode('unauthenticated'));
  });

  it('refuses a token of which only one character differs', async () => {
    await using world = await startAgentWorld();
    const token = await world.mint(1);

    const guessed = `${token.startsWith('A') ? 'B' : 'A'}${token.slice(1)}`;

    await assert.rejects(enroll(world, { token: guessed }), isCode('unauthenticated'));
  });

  it('refuses an expired token', async () => {
    await using world = await startAgentWorld();
    const token = await world.mint(1, 60_000);

    world.clock.offsetMs = 61_000;

    await assert.rejects(enroll(world, { token }), isCode('unauthenticated'));
  });

  it('refuses a token that a machine with another MAC shows', async () => {
    await using world = await startAgentWorld();
    const token = await world.mint(1);
    await world.mint(2);

    await assert.rejects(enroll(world, { token, mac: macOf(2) }), isCode('unauthenticated'));
  });

  it('refuses the token of a boot that a newer boot replaced', async () => {
    await using world = await startAgentWorld();
    const older = await world.mint(1);
    await world.mint(1);

    await assert.rejects(enroll(world, { token: older }), isCode('unauthenticated'));
  });

  const someKeys = newKeys();
  const malformed: Readonly<Record<string, Partial<EnrollRequest>>> = {
    'an empty token': { token: '' },
    'a token of a megabyte': { token: 'a'.repeat(900_000) },
    'a nonce with a line break': { nonce: 'aaaaaaaaaaaaaaaa\nb' },
    'a MAC in upper case': { mac: '02:00:00:00:00:AB' },
    'a boot id that is none': { bootId: 'x' },
    'an empty version': { agentVersion: '' },
    'no certificate request': { csr: new Uint8Array() },
    'a certificate request of random bytes': { csr: new Uint8Array(300).fill(0x30) },
    'a certificate request of 64 KiB': { csr: new Uint8Array(65_536).fill(0x30) },
    'a certificate request that another key signed': { csr: forgedRequest() },
    'a certificate request for another curve': {
      csr: certificateRequest(generateKeyPairSync('ec', { namedCurve: 'P-384' }), 'm'),
    },
    'a certificate request with one byte changed': { csr: tampered(certificateRequest(someKeys, 'machine')) },
    'an inventory that is not JSON': { inventoryJson: '{' },
    'an inventory that is a list': { inventoryJson: '[]' },
    'an inventory whose memory is a text': { inventoryJson: JSON.stringify({ ...someInventory, memoryBytes: '1' }) },
    'an inventory of a thousand disks': {
      inventoryJson: JSON.stringify({ ...someInventory, disks: Array.from({ length: 1000 }, () => ({})) }),
    },
    'an inventory with an escape sequence': {
      inventoryJson: JSON.stringify({ ...someInventory, system: { serial: '\u001b[2J' } }),
    },
  };
  for (const [what, fields] of Object.entries(malformed)) {
    it(`refuses ${what} and leaves the token unused`, async () => {
      await using world = await startAgentWorld();
      const token = await world.mint(1);

      await assert.rejects(enroll(world, { token, fields }), isCode('invalid_input'));

      assert.equal((await enroll(world, { token })).response.hardware, 'm1');
    });
  }

  it('does not listen for a while to an address that was refused many times', async () => {
    await using world = await startAgentWorld();
    const wrong = { token: 'a'.repeat(43) };

    for (let count = 0; count < 20; count++) await assert.rejects(enroll(world, wrong), isCode('unauthenticated'));

    await assert.rejects(enroll(world, wrong), isCode('unavailable'));
  });

  it('never slows down an address whose enrollments succeed', async () => {
    await using world = await startAgentWorld();

    for (let count = 0; count < 30; count++) await enroll(world, { token: await world.mint(1) });

    assert.equal((await eventsOf(world, 'enroll.refused')).length, 0);
  });
});

describe('the identity of an agent', () => {
  it('lets it connect', async () => {
    await using world = await startAgentWorld();

    const message = await connect(world, await identity(world, 1));

    assert.equal(message.body.case, 'welcome');
    assert.equal(world.engine.connects[0]?.session.hardware, 'm1');
  });

  it('is asked for: without a certificate there is no connection', async () => {
    await using world = await startAgentWorld();

    await assert.rejects(connect(world, { ca: world.ca.certificatePem }), isCode('unauthenticated'));

    assert.equal(world.engine.connects.length, 0);
  });

  it('is not given by another certificate authority, even one of the same name', async () => {
    await using world = await startAgentWorld();
    await using other = await startAgentWorld();
    const foreign = await identity(other, 1);

    await assert.rejects(connect(world, { ...foreign, ca: world.ca.certificatePem }), isCode('unauthenticated'));
  });

  it('cannot be extended by the agent itself: a certificate that its key signed is refused', async () => {
    await using world = await startAgentWorld();
    const { response, keys } = await enroll(world, { token: await world.mint(1) });
    const key = keys.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
    const own = new X509Certificate(response.certificate).toString();
    // Our own CA's document, with the agent's certificate as the issuer.
    const store = { setting: async () => JSON.stringify({ certificate: own, key }), putSetting: async () => undefined };
    const impostor = await openCertificateAuthority({ store, clock: () => new Date() });
    const victim = newKeys();
    const forged = await impostor.issueClient(spki(victim), 'm2');

    const chain = `${new X509Certificate(forged.der).toString()}${own}`;
    const trust = { ...trustOf(world, victim), certificate: chain };

    await assert.rejects(connect(world, trust), isCode('unauthenticated'));
    assert.throws(() => world.ca.identify(forged.der), isCode('unauthenticated'));
  });

  it('ends: an expired certificate is refused', async () => {
    await using world = await startAgentWorld();
    const trust = await identity(world, 1);

    world.clock.offsetMs = 25 * HOUR_MS;

    await assert.rejects(connect(world, trust), isCode('unauthenticated'));
  });

  it('does not begin early: a certificate from the future is refused', async () => {
    await using world = await startAgentWorld();
    world.clock.offsetMs = HOUR_MS;
    const trust = await identity(world, 1);

    world.clock.offsetMs = 0;

    await assert.rejects(connect(world, trust), isCode('unauthenticated'));
  });

  it('is not the server’s: its own certificate opens no connection', async () => {
    await using world = await startAgentWorld();
    const { certificatePem, keyPem } = await world.ca.issueServer();
    const trust = { ca: world.ca.certificatePem, certificate: certificatePem, key: keyPem };

    await assert.rejects(connect(world, trust), isCode('unauthenticated'));
    assert.throws(() => world.ca.identify(new X509Certificate(certificatePem).raw), isCode('unauthenticated'));
  });

  it('is renewed for the same key with a later end', async () => {
    await using world = await startAgentWorld();
    // TLS itself looks at the real clock: the old certificate has four hours left there.
    world.clock.offsetMs = -20 * HOUR_MS;
    const trust = await identity(world, 1);
    world.clock.offsetMs = 0;

    using agent = await openRawAgent(world, trust);
    agent.hello();
    await agent.until(() => agent.received.length === 1);
    const response = await withClient(world, trust, (client) => callRenew(client, signal));

    const renewed = new X509Certificate(response.certificate);
    assert.equal(world.ca.identify(response.certificate), 'm1');
    world.clock.offsetMs = 5 * HOUR_MS;
    const message = await connect(world, { ...trust, certificate: renewed.toString() });
    assert.equal(message.body.case, 'welcome');
    await assert.rejects(connect(world, trust), isCode('unauthenticated'));
  });

  it('is not renewed while its agent is not connected', async () => {
    await using world = await startAgentWorld();
    const trust = await identity(world, 1);

    await assert.rejects(
      withClient(world, trust, (client) => callRenew(client, signal)),
      isCode('forbidden'),
    );
  });

  it('is not renewed for somebody without a certificate', async () => {
    await using world = await startAgentWorld();
    const trust = { ca: world.ca.certificatePem };

    await assert.rejects(
      withClient(world, trust, (client) => callRenew(client, signal)),
      isCode('unauthenticated'),
    );
  });

  it('is the same after a restart of the server: the certificate authority is kept, its key sealed', async () => {
    await using world = await startAgentWorld();

    const again = await openCertificateAuthority({ store: world.opened.store, clock: () => new Date() });

    assert.equal(again.fingerprint, world.ca.fingerprint);
    assert.equal(again.fingerprint, createHash('sha256').update(world.ca.certificateDer).digest('hex'));
  });
});

describe('the agents’ port', () => {
  it('speaks nothing older than TLS 1.3', async () => {
    await using world = await startAgentWorld();
    const { promise, resolve } = Promise.withResolvers<string>();

    const socket = connectTls({
      port: world.port,
      host: '127.0.0.1',
      maxVersion: 'TLSv1.2',
      rejectUnauthorized: false,
    });
    socket.on('secureConnect', () => resolve('connected'));
    socket.on('error', (error) => resolve(error.message));

    assert.match(await promise, /protocol version|alert/);
    socket.destroy();
  });

  it('closes what is not HTTP/2 and goes on serving', async () => {
    await using world = await startAgentWorld();
    const { promise, resolve } = Promise.withResolvers<void>();

    const socket = connectTls({
      port: world.port,
      host: '127.0.0.1',
      rejectUnauthorized: false,
      ALPNProtocols: ['h2'],
    });
    socket.on('secureConnect', () => socket.write('GET / HTTP/1.1\r\n\r\n'.repeat(100)));
    socket.on('close', () => resolve());
    socket.on('error', () => undefined);
    socket.resume();
    await promise;

    assert.equal((await enroll(world, { token: await world.mint(1) })).response.hardware, 'm1');
  });

  it('refuses a message of over a megabyte and goes on serving', async () => {
    await using world = await startAgentWorld();
    const token = await world.mint(1);
    const fields = { inventoryJson: ' '.repeat(1_100_000) };

    await assert.rejects(enroll(world, { token, fields }), /larger|exceed|max/i);

    assert.equal((await enroll(world, { token })).response.hardware, 'm1');
  });

  it('holds no more than 64 connections without a certificate of one address', async () => {
    await using world = await startAgentWorld();
    const sockets = Array.from({ length: 64 }, () =>
      connectTls({ port: world.port, host: '127.0.0.1', rejectUnauthorized: false, ALPNProtocols: ['h2'] }),
    );
    await Promise.all(sockets.map((socket) => new Promise((resolve) => socket.once('secureConnect', resolve))));

    await assert.rejects(enroll(world, { token: await world.mint(1) }), isCode('unavailable'));

    const closed = sockets.map((socket) => new Promise((resolve) => socket.once('close', resolve)));
    for (const socket of sockets) socket.destroy();
    await Promise.all(closed);
    const { response } = await eventually(async () => enroll(world, { token: await world.mint(1) }));
    assert.equal(response.hardware, 'm1');
  });
});

describe('a rack of agents behind one address', () => {
  it('may hold as many connections as it has certificates', async () => {
    await using world = await startAgentWorld({ heartbeatMs: 5000 });
    const agents: RawAgent[] = [];

    for (let number = 1; number <= 70; number++) {
      const agent = await openRawAgent(world, number);
      agents.push(agent);
      agent.hello(`session-${number}`);
      await agent.until(() => agent.received.length === 1);
    }
    for (const agent of agents) agent[Symbol.dispose]();

    assert.equal(world.engine.connects.length, 70);
  });
});

interface Shown {
  readonly token: string;
  readonly keys?: KeyPairKeyObjectResult;
  readonly nonce?: string;
  readonly mac?: string;
  readonly fields?: Partial<EnrollRequest>;
}

async function enroll(
  world: AgentWorld,
  { token, keys = newKeys(), nonce = 'a-nonce-of-some-length', mac = macOf(1), fields = {} }: Shown,
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
  return { response: await withClient(world, trust, (client) => callEnroll(client, asked, signal)), keys };
}

async function identity(world: AgentWorld, number: number): Promise<Required<ClientTrust>> {
  const { response, keys } = await enroll(world, { token: await world.mint(number), mac: macOf(number) });
  return { ...trustOf(world, keys), certificate: new X509Certificate(response.certificate).toString() };
}

function trustOf(world: AgentWorld, keys: KeyPairKeyObjectResult): { readonly ca: string; readonly key: string } {
  const key = keys.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
  return { ca: world.ca.certificatePem, key };
}

/** The server's first message on a new stream. */
async function connect(world: AgentWorld, trust: ClientTrust): Promise<ServerMessage> {
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

async function withClient<T>(
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

async function eventually<T>(attempt: () => Promise<T>): Promise<T> {
  const deadline = AbortSignal.timeout(5_000);
  for (;;) {
    try {
      return await attempt();
    } catch (thrown) {
      if (deadline.aborted) throw thrown;
    }
  }
}

async function eventsOf(world: AgentWorld, name: 'machine.enrolled' | 'enroll.refused') {
  return world.opened.store.events({ names: [name] });
}

function newKeys(): KeyPairKeyObjectResult {
  return generateKeyPairSync('ec', { namedCurve: 'P-256' });
}

function spki(keys: KeyPairKeyObjectResult): Buffer {
  return keys.publicKey.export({ type: 'spki', format: 'der' });
}

/** Asks for the certificate of one key, signed by another. */
function forgedRequest(): Buffer {
  return certificateRequest({ publicKey: newKeys().publicKey, privateKey: newKeys().privateKey }, 'machine');
}

/** Another common name than the one that was signed. */
function tampered(request: Buffer): Buffer {
  const at = request.indexOf('machine');
  return Buffer.concat([request.subarray(0, at), Buffer.from('M'), request.subarray(at + 1)]);
}

function isCode(code: string): (thrown: unknown) => boolean {
  return (thrown) => {
    assert.ok(thrown instanceof TinsmithError, String(thrown));
    assert.equal(thrown.code, code, thrown.message);
    return true;
  };
}
