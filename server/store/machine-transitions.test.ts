import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { agentSession, hardwareManifest, macOf, someInventory } from '#test/support/records.ts';
import { enrollment, operator, startBoot, startStoreWorld } from '#test/support/store-world.ts';

const machine = { actor: 'machine' } as const;
const agent = { actor: 'agent' } as const;
const mac = (number: number) => `0a:00:00:00:${number.toString(16).padStart(4, '0').replace(/^../, '$&:')}`;

describe('the boot of a machine', () => {
  it('is one event for a boot token that arrives twice', async () => {
    await using world = await startStoreWorld();
    const before = await world.newestEvent();

    await startBoot(world, 1, 'a');
    await startBoot(world, 1, 'a');

    assert.deepEqual(await world.eventNames(before), ['machine.booting']);
    assert.equal((await world.hardware('m1')).stage, 'booting');
  });

  it('makes the unused tokens of former boots worthless', async () => {
    await using world = await startStoreWorld();
    await startBoot(world, 1, 'old');
    await startBoot(world, 1, 'new');

    await assert.rejects(world.transitions.enroll(enrollment('old'), agent), { code: 'unauthenticated' });
    assert.equal((await world.transitions.enroll(enrollment('new'), agent)).stage, 'enrolled');
  });

  it('leaves the tokens of other machines alone', async () => {
    await using world = await startStoreWorld();
    await startBoot(world, 1, 'one');
    await startBoot(world, 2, 'two');

    assert.equal((await world.transitions.enroll(enrollment('one'), agent)).name, 'm1');
  });
});

describe('a stranger who asks for boot scripts', () => {
  it('makes one event of a boot in ten seconds, and the newest token works', async () => {
    await using world = await startStoreWorld();
    const before = await world.newestEvent();

    for (let ask = 0; ask < 50; ask += 1) await startBoot(world, 1, `t${ask}`);

    assert.deepEqual(await world.eventNames(before), ['machine.booting']);
    assert.equal((await world.transitions.enroll(enrollment('t49'), agent)).stage, 'enrolled');
    await startBoot(world, 1, 'again');
    assert.equal((await world.hardware('m1')).stage, 'booting');
  });

  it('makes no more than 500 Hardware of made-up MACs', async () => {
    await using world = await startStoreWorld();
    for (let find = 0; find < 500; find += 1) await world.transitions.discover({ mac: mac(find) }, machine);

    await assert.rejects(world.transitions.discover({ mac: mac(500) }, machine), { code: 'unavailable' });
    assert.equal((await world.transitions.discover({ mac: mac(499) }, machine)).name, 'machine-0a00000001f3');
    await world.transitions.deleteHardware('machine-0a0000000000', operator);
    await world.transitions.discover({ mac: mac(500) }, machine);
  });

  it('is told why when a Hardware of other MACs has the name that it would get', async () => {
    await using world = await startStoreWorld();
    const hardware = [hardwareManifest('machine-0a0000000001', 77)];
    await world.transitions.apply({ hardware, templates: [], workflows: [] }, operator);

    await assert.rejects(world.transitions.discover({ mac: '0a:00:00:00:00:01' }, machine), { code: 'conflict' });
  });
});

describe('enrolling', () => {
  it('stores the inventory and answers the same request again without a second event', async () => {
    await using world = await startStoreWorld();
    await startBoot(world, 1, 't');
    const before = await world.newestEvent();

    const first = await world.transitions.enroll(enrollment('t'), agent);
    world.clock.advance(120_000);
    const second = await world.transitions.enroll(enrollment('t'), agent);

    assert.deepEqual(second, first);
    assert.equal(first.stage, 'enrolled');
    assert.deepEqual(first.inventory, someInventory);
    assert.deepEqual(await world.eventNames(before), ['machine.enrolled', 'hardware.inventory']);
  });

  const refusals = [
    ['an unknown token', { tokenHash: 'unknown' }, 'unknown token', 'm1'],
    ['an unknown token of an unknown machine', { tokenHash: 'unknown', mac: macOf(99) }, 'unknown token', undefined],
    ['another machine’s token', { mac: macOf(2) }, 'token of another machine', 'm1'],
  ] as const;
  for (const [what, change, reason, hardware] of refusals) {
    it(`is refused with ${what}, as an event`, async () => {
      await using world = await startStoreWorld();
      await startBoot(world, 1, 't');

      await assert.rejects(world.transitions.enroll(enrollment('t', change), agent), { code: 'unauthenticated' });

      const event = (await world.store.events()).at(-1);
      assert.equal(event?.name, 'enroll.refused');
      assert.equal(event.hardware, hardware);
      assert.equal(event.data['reason'], reason);
      assert.equal((await world.hardware('m1')).stage, 'booting');
    });
  }

  it('is refused once the token has expired', async () => {
    await using world = await startStoreWorld();
    await startBoot(world, 1, 't');
    world.clock.advance(60_000);

    await assert.rejects(world.transitions.enroll(enrollment('t'), agent), { code: 'unauthenticated' });
    assert.equal((await world.store.events()).at(-1)?.data['reason'], 'token has expired');
  });

  for (const [what, change] of [
    ['nonce', { nonce: 'other' }],
    ['key', { keyHash: 'other' }],
  ] as const) {
    it(`is refused for a used token with another ${what}`, async () => {
      await using world = await startStoreWorld();
      await startBoot(world, 1, 't');
      await world.transitions.enroll(enrollment('t'), agent);

      await assert.rejects(world.transitions.enroll(enrollment('t', change), agent), { code: 'unauthenticated' });
      assert.equal((await world.store.events()).at(-1)?.data['reason'], 'token was used before');
    });
  }

  it('never says in its answer which check failed', async () => {
    await using world = await startStoreWorld();
    await startBoot(world, 1, 't');
    const sentences = new Set<string>();
    for (const change of [{ tokenHash: 'unknown' }, { mac: macOf(2) }]) {
      await world.transitions
        .enroll(enrollment('t', change), agent)
        .catch((thrown: unknown) => sentences.add(String(thrown)));
    }

    assert.equal(sentences.size, 1);
  });

  it('writes a bounded number of refusals, for each machine its own', async () => {
    await using world = await startStoreWorld();
    const flood = async (mac: string, times: number) => {
      for (let turn = 0; turn < times; turn += 1) {
        await world.transitions.enroll(enrollment(`wrong-${turn}`, { mac }), agent).catch(() => undefined);
      }
    };
    await flood(macOf(1), 50);
    await flood(macOf(99), 50);
    await flood(macOf(2), 1);
    const counted = Object.groupBy(await world.store.events({ names: ['enroll.refused'] }), (e) => e.hardware ?? '-');
    world.clock.advance(61_000);
    await flood(macOf(1), 1);

    assert.deepEqual(
      Object.entries(counted).map(([name, events]) => [name, events?.length]),
      [
        ['m1', 20],
        ['-', 20],
        ['m2', 1],
      ],
    );
    assert.equal((await world.store.events({ names: ['enroll.refused'], hardware: 'm1' })).length, 21);
  });

  it('keeps a hostile MAC short in its event', async () => {
    await using world = await startStoreWorld();
    await world.transitions.enroll(enrollment('x', { mac: 'f'.repeat(100_000) }), agent).catch(() => undefined);

    const mac = (await world.store.events()).at(-1)?.data['mac'];
    assert.ok(typeof mac === 'string' && mac.length <= 64);
  });
});

describe('a machine on the network', () => {
  it('is discovered once, by whatever notation of its MAC', async () => {
    await using world = await startStoreWorld();
    const before = await world.newestEvent();
    const address = { address: '10.9.0.77', netmask: '255.255.255.0' };

    const first = await world.transitions.discover({ mac: '0A-BB-CC-DD-EE-01', address, uefi: true }, machine);
    const second = await world.transitions.discover({ mac: '0abb.ccdd.ee01' }, machine);

    assert.equal(first.name, 'machine-0abbccddee01');
    assert.deepEqual(second, first);
    assert.deepEqual(first.labels, { 'tinsmith.dev/discovered': 'true' });
    assert.equal((await world.store.hardwareByAddress('::ffff:10.9.0.77'))?.name, first.name);
    assert.equal((await world.store.hardwareByMac('0A:BB:CC:DD:EE:01'))?.name, first.name);
    assert.deepEqual(await world.eventNames(before), ['hardware.applied', 'machine.discovered']);
  });

  it('gets the disks that it reports when no file names them, and keeps a list that a file gave it', async () => {
    await using world = await startStoreWorld();
    const found = await world.transitions.discover({ mac: macOf(60) }, machine);

    const disk = { device: '/dev/nvme0n1', sizeBytes: 512, logicalBlockBytes: 512, rotational: false };
    const fromFile = (await world.store.hardware('m1'))?.spec.disks;

    await world.transitions.storeInventory(found.name, { ...someInventory, disks: [disk] }, machine);
    await world.transitions.storeInventory('m1', { ...someInventory, disks: [disk] }, machine);

    assert.deepEqual((await world.store.hardware(found.name))?.spec.disks, [{ device: '/dev/nvme0n1' }]);
    assert.deepEqual((await world.store.hardware('m1'))?.spec.disks, fromFile);
  });

  it('is refused an address that another machine owns, without a trace', async () => {
    await using world = await startStoreWorld();
    const before = await world.newestEvent();
    const address = { address: '10.9.0.1', netmask: '255.255.255.0' };

    await assert.rejects(world.transitions.discover({ mac: macOf(50), address }, machine), { code: 'conflict' });

    assert.equal(await world.store.hardwareByMac(macOf(50)), undefined);
    assert.deepEqual(await world.eventNames(before), []);
  });

  it('is seen for the first time once, and its later signs of life are no events', async () => {
    await using world = await startStoreWorld();
    await world.transitions.apply({ hardware: [hardwareManifest('new', 9)], templates: [], workflows: [] }, operator);
    const before = await world.newestEvent();
    const seen = async () => world.transitions.noteSeen('new', machine);

    await Promise.all([seen(), seen()]);
    world.clock.advance(5_000);
    await seen();
    const soon = (await world.hardware('new')).lastSeenAt;
    world.clock.advance(5_000);
    await seen();

    assert.deepEqual(await world.eventNames(before), ['machine.discovered']);
    assert.equal(soon?.getTime(), world.clock.now().getTime() - 10_000);
    assert.deepEqual((await world.hardware('new')).lastSeenAt, world.clock.now());
  });

  it('makes no event of an inventory that says the same at another time', async () => {
    await using world = await startStoreWorld();
    const before = await world.newestEvent();

    await world.transitions.storeInventory('m1', someInventory, agent);
    await world.transitions.storeInventory('m1', { ...someInventory, collectedAt: '2027-01-01T00:00:00Z' }, agent);
    await world.transitions.storeInventory('m1', { ...someInventory, memoryBytes: 1 }, agent);

    assert.deepEqual(await world.eventNames(before), ['hardware.inventory', 'hardware.inventory']);
  });

  it('has its netboot switched with one event for each change', async () => {
    await using world = await startStoreWorld();
    const before = await world.newestEvent();

    for (const netboot of [false, false, true, true]) await world.transitions.setNetboot('m1', netboot, operator);

    assert.deepEqual(await world.eventNames(before), ['hardware.netboot', 'hardware.netboot']);
    await assert.rejects(world.transitions.setNetboot('nobody', true, operator), { code: 'not_found' });
  });
});

describe('an agent’s session', () => {
  it('is one event for each opening and closing of its stream', async () => {
    await using world = await startStoreWorld();
    const session = agentSession('m1', 'own');
    const before = await world.newestEvent();

    await world.transitions.agentConnected(session, agent);
    await world.transitions.agentConnected(session, agent);
    await world.transitions.agentDisconnected(session, agent);
    await world.transitions.agentDisconnected(session, agent);
    await world.transitions.agentConnected(session, agent);

    assert.deepEqual(await world.eventNames(before), ['agent.connected', 'agent.disconnected', 'agent.connected']);
  });

  it('belongs to one machine: another one can neither open, use nor close it', async () => {
    await using world = await startStoreWorld();
    const stolen = agentSession('m2', 's1');
    const before = await world.newestEvent();

    await assert.rejects(world.transitions.agentConnected(stolen, agent), { code: 'forbidden' });
    const stored = { session: 's1', sequence: 1_000, hardware: 'm2' };
    await assert.rejects(world.transitions.storeInventory('m2', someInventory, agent, stored), { code: 'forbidden' });
    await world.transitions.agentDisconnected(stolen, agent);

    assert.deepEqual(await world.eventNames(before), []);
    assert.equal((await world.store.agentSession('s1'))?.acknowledged, 0);
  });

  it('is forgotten once the machine has had many newer ones', async () => {
    await using world = await startStoreWorld();
    for (let number = 0; number < 20; number += 1) {
      world.clock.advance(1);
      await world.transitions.agentConnected(agentSession('m1', `later-${number}`), agent);
    }

    assert.equal(await world.store.agentSession('s1'), undefined);
    assert.ok(await world.store.agentSession('later-19'));
    assert.ok(await world.store.agentSession('s2'));
  });

  it('is refused for a machine without a record', async () => {
    await using world = await startStoreWorld();
    await assert.rejects(world.transitions.agentConnected(agentSession('gone', 'x'), agent), { code: 'not_found' });
  });
});
