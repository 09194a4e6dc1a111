import assert from 'node:assert/strict';
import { createHash, type KeyPairKeyObjectResult, X509Certificate } from 'node:crypto';
import { describe, it } from 'node:test';
import { callRenew } from '#agent/grpc-client.ts';
import { openCertificateAuthority } from '#server/enroll/certificate-authority.ts';
import { startAgentWorld } from '#test/support/agent-world.ts';
import { connect, enroll, identity, isCode, newKeys, trustOf, withClient } from '#test/support/enrollment.ts';
import { openRawAgent } from '#test/support/raw-agent.ts';

const HOUR_MS = 3600_000;

const signal = AbortSignal.timeout(110_000);

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

function spki(keys: KeyPairKeyObjectResult): Buffer {
  return keys.publicKey.export({ type: 'spki', format: 'der' });
}
