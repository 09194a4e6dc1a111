import assert from 'node:assert/strict';
import { generateKeyPairSync, X509Certificate } from 'node:crypto';
import { describe, it } from 'node:test';
import { certificateRequest } from '#agent/certificate-request.ts';
import type { EnrollRequest } from '#proto/gen/tinsmith/agent/v1/agent_pb.ts';
import { type AgentWorld, startAgentWorld } from '#test/support/agent-world.ts';
import { enroll, isCode, newKeys } from '#test/support/enrollment.ts';
import { macOf, someInventory } from '#test/support/records.ts';

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

async function eventsOf(world: AgentWorld, name: 'machine.enrolled' | 'enroll.refused') {
  return world.opened.store.events({ names: [name] });
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
