import assert from 'node:assert/strict';
import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import pino from 'pino';
import { addresses, type MessageType, messageType, messageTypeOf, OPTION } from '#server/discover/dhcp-options.ts';
import { type DhcpPacket, decodeDhcpPacket, encodeDhcpPacket } from '#server/discover/dhcp-packet.ts';
import { type DhcpServer, type DhcpServerOptions, startDhcpServer } from '#server/discover/dhcp-server.ts';
import type { HardwareManifest } from '#server/manifests/hardware-kind.ts';
import { poolLeaseOfMac } from '#server/store/pool-lease.ts';
import { openSqliteStore, type SqliteStore } from '#server/store/sqlite-store.ts';

const LIMIT = { timeout: 60_000 };
const SERVER = '127.0.0.1';
const CAUSE = { actor: 'operator' } as const;
const MAC = '52:54:00:77:00:01';
const POOL = { first: '127.0.0.50', last: '127.0.0.52', netmask: '255.0.0.0', nameServers: [] };
const PXE = { [OPTION.vendorClass]: Buffer.from('PXEClient:Arch:00007'), [OPTION.architecture]: Buffer.from([0, 7]) };

let folder = '';
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tinsmith-dhcp-'));
  await writeFile(join(folder, 'snponly.efi'), '');
  await symlink('/etc/passwd', join(folder, 'undionly.kpxe'));
});
after(() => rm(folder, { recursive: true, force: true }));

/** The broadcast address of every client here is 127.0.0.1, where one socket hears for all. */
class Site implements AsyncDisposable {
  readonly opened: SqliteStore;
  readonly clock: { now: number };
  readonly #client: Socket;
  readonly #received: DhcpPacket[] = [];
  readonly #waiting = new Map<number, (packet: DhcpPacket) => void>();
  #server: DhcpServer | undefined;

  constructor(opened: SqliteStore, clock: { now: number }, client: Socket) {
    this.opened = opened;
    this.clock = clock;
    this.#client = client;
    client.on('message', (bytes) => {
      const packet = decodeDhcpPacket(bytes);
      const waiting = this.#waiting.get(packet.xid);
      if (waiting === undefined) this.#received.push(packet);
      else waiting(packet);
    });
  }

  get server(): DhcpServer {
    assert.ok(this.#server !== undefined);
    return this.#server;
  }

  async start(change: Partial<DhcpServerOptions> = {}): Promise<void> {
    const clientPort = this.#client.address().port;
    this.#server = await startDhcpServer({
      ...this.opened,
      log: pino({ level: 'silent' }),
      clock: () => new Date(this.clock.now),
      mode: 'reservation',
      address: SERVER,
      netmask: '255.0.0.0',
      port: 0,
      httpPort: 7171,
      leaseSeconds: 600,
      discovery: false,
      bootFolders: [folder],
      receiveAddress: '127.255.255.255',
      broadcastAddress: SERVER,
      clientPort,
      relayPort: clientPort,
      bootServerPort: 0,
      ...change,
    });
  }

  async restart(change: Partial<DhcpServerOptions> = {}): Promise<void> {
    await this.server[Symbol.asyncDispose]();
    await this.start(change);
  }

  send(bytes: Buffer, to: { readonly address?: string; readonly port?: number } = {}): void {
    this.#client.send(bytes, to.port ?? this.server.port, to.address ?? SERVER);
  }

  /** The next answer with this transaction id, within fifteen seconds. */
  async answer(xid: number): Promise<DhcpPacket> {
    const at = this.#received.findIndex((packet) => packet.xid === xid);
    const [found] = at === -1 ? [] : this.#received.splice(at, 1);
    if (found !== undefined) return found;
    const { promise, resolve, reject } = Promise.withResolvers<DhcpPacket>();
    this.#waiting.set(xid, resolve);
    const deadline = setTimeout(() => reject(new Error(`no answer to ${xid}`)), 15_000);
    try {
      return await promise;
    } finally {
      clearTimeout(deadline);
      this.#waiting.delete(xid);
    }
  }

  async ask(packet: DhcpPacket, to: { readonly address?: string; readonly port?: number } = {}): Promise<DhcpPacket> {
    this.send(encodeDhcpPacket(packet), to);
    return this.answer(packet.xid);
  }

  /** DISCOVER and REQUEST, as a client does. */
  async lease(mac: string): Promise<DhcpPacket> {
    const offer = await this.ask(request('discover', { mac }));
    const taken = { [OPTION.requestedAddress]: addresses([offer.yiaddr]), [OPTION.serverId]: addresses([SERVER]) };
    return this.ask(request('request', { mac, options: taken }));
  }

  /** Everything before was handled without an answer: the server answers in between only this one's question. */
  async isSilentTo(
    packets: readonly Buffer[],
    to: { readonly address?: string; readonly port?: number } = {},
  ): Promise<boolean> {
    for (const bytes of packets) this.send(bytes, to);
    await this.ask(request('discover', { mac: MAC }));
    return this.#received.length === 0;
  }

  async addMachine(
    change: { readonly address?: string; readonly disableDhcp?: boolean; readonly mac?: string } = {},
  ): Promise<void> {
    const dhcp = { mac: change.mac ?? MAC, ip: { address: change.address ?? '127.0.0.40', netmask: '255.0.0.0' } };
    const manifest: HardwareManifest = {
      name: change.mac === undefined ? 'node' : `node-${change.mac.slice(-2)}`,
      labels: {},
      annotations: {},
      spec: { disks: [], interfaces: [{ dhcp, ...(change.disableDhcp === true ? { disableDhcp: true } : {}) }] },
    };
    await this.opened.transitions.apply({ hardware: [manifest], templates: [], workflows: [] }, CAUSE);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server?.[Symbol.asyncDispose]();
    const closed = once(this.#client, 'close');
    this.#client.close();
    await closed;
    await this.opened[Symbol.asyncDispose]();
  }
}

async function startSite(change: Partial<DhcpServerOptions> = {}): Promise<Site> {
  const clock = { now: Date.parse('2026-11-22T12:00:00Z') };
  const opened = await openSqliteStore({ path: ':memory:', clock: () => new Date(clock.now) });
  const client = createSocket('udp4');
  const listening = once(client, 'listening');
  client.bind(0, SERVER);
  await listening;
  client.setBroadcast(true);
  const site = new Site(opened, clock, client);
  await site.start(change);
  return site;
}

let nextXid = 1;

function request(
  type: MessageType,
  change: {
    readonly mac?: string;
    readonly options?: Readonly<Record<number, Buffer>>;
    readonly header?: Partial<DhcpPacket>;
  } = {},
): DhcpPacket {
  nextXid += 1;
  const options = Object.entries(change.options ?? {}).map(([code, value]) => [Number(code), value] as const);
  return {
    op: 'request',
    hops: 0,
    xid: nextXid,
    secs: 0,
    flags: 0,
    ciaddr: '0.0.0.0',
    yiaddr: '0.0.0.0',
    siaddr: '0.0.0.0',
    giaddr: '0.0.0.0',
    mac: change.mac ?? MAC,
    sname: '',
    file: '',
    ...change.header,
    options: new Map([[OPTION.messageType, messageType(type)], ...options]),
  };
}

function typeOf(packet: DhcpPacket): MessageType | undefined {
  return messageTypeOf(packet.options);
}

describe('dhcp server', () => {
  it('leads a machine from DISCOVER to its reserved address and its boot file', LIMIT, async () => {
    await using site = await startSite();
    await site.addMachine();

    const offer = await site.ask(request('discover', { options: PXE }));
    const ack = await site.ask(
      request('request', {
        options: {
          ...PXE,
          [OPTION.requestedAddress]: addresses([offer.yiaddr]),
          [OPTION.serverId]: addresses([SERVER]),
        },
      }),
    );

    assert.deepEqual(
      [typeOf(offer), offer.yiaddr, offer.file, offer.siaddr],
      ['offer', '127.0.0.40', 'snponly.efi', SERVER],
    );
    assert.deepEqual([typeOf(ack), ack.yiaddr, ack.file], ['ack', '127.0.0.40', 'snponly.efi']);
  });

  it('hears broadcasts, too', LIMIT, async () => {
    await using site = await startSite();
    await site.addMachine();

    const offer = await site.ask(request('discover'), { address: '127.255.255.255' });

    assert.equal(offer.yiaddr, '127.0.0.40');
  });

  it('goes by the record as it is at the time of each packet', LIMIT, async () => {
    await using site = await startSite();
    await site.addMachine();
    await site.ask(request('discover'));
    await site.addMachine({ address: '127.0.0.41' });

    assert.equal((await site.ask(request('discover'))).yiaddr, '127.0.0.41');
    assert.equal(
      typeOf(await site.ask(request('request', { options: { [OPTION.requestedAddress]: addresses(['127.0.0.40']) } }))),
      'nak',
    );
    await site.opened.transitions.setNetboot('node', false, CAUSE);
    assert.equal((await site.ask(request('discover', { options: PXE }))).file, '');
  });

  it('offers no boot file that it would not serve: one that is a link out of the folder', LIMIT, async () => {
    await using site = await startSite();
    await site.addMachine();
    const bios = { ...PXE, [OPTION.architecture]: Buffer.from([0, 0]) };

    const offer = await site.ask(request('discover', { options: bios }));

    assert.deepEqual([offer.yiaddr, offer.file], ['127.0.0.40', '']);
  });

  it('answers relayed packets to the relay’s address', LIMIT, async () => {
    await using site = await startSite({ broadcastAddress: '127.0.0.99' });
    await site.addMachine();
    const relayed = { header: { giaddr: SERVER, hops: 1 }, options: { [OPTION.relayAgent]: Buffer.from([1, 1, 9]) } };

    const offer = await site.ask(request('discover', relayed));

    assert.deepEqual([offer.giaddr, offer.options.get(OPTION.relayAgent)?.toString('hex')], [SERVER, '010109']);
  });

  it('is silent to strangers, garbage, and packets from another network, and lives on', LIMIT, async () => {
    await using site = await startSite({ netmask: '255.255.255.0' });
    await site.addMachine();
    await site.addMachine({ mac: '52:54:00:77:00:02', address: '127.0.0.42', disableDhcp: true });
    const other = { [OPTION.serverId]: addresses(['127.0.0.3']), [OPTION.requestedAddress]: addresses(['127.0.0.40']) };

    assert.ok(
      await site.isSilentTo([
        Buffer.alloc(0),
        Buffer.from([1]),
        Buffer.alloc(1400, 255),
        encodeDhcpPacket(request('discover', { mac: '52:54:00:77:00:99' })),
        encodeDhcpPacket(request('discover', { mac: '52:54:00:77:00:02' })),
        encodeDhcpPacket(request('request', { options: other })),
        encodeDhcpPacket(request('discover', { header: { op: 'reply' } })),
      ]),
    );
  });

  it('drops what comes from an address outside its network without a relay', LIMIT, async () => {
    await using site = await startSite({ netmask: '255.255.255.0' });
    await site.addMachine();
    const stranger = createSocket('udp4');
    const listening = once(stranger, 'listening');
    stranger.bind(0, '127.0.1.5');
    await listening;
    const packet = request('discover');
    await new Promise((resolve) => stranger.send(encodeDhcpPacket(packet), site.server.port, SERVER, resolve));
    stranger.close();

    assert.ok(await site.isSilentTo([]));
  });

  it(
    'gives unknown machines addresses of the pool until it is used up, and keeps them over a restart',
    LIMIT,
    async () => {
      await using site = await startSite({ pool: POOL });
      await site.addMachine();
      const macs = [1, 2, 3].map((number) => `52:54:00:99:00:0${number}`);
      const given = [];
      for (const mac of macs) given.push((await site.lease(mac)).yiaddr);

      assert.deepEqual(new Set(given), new Set(['127.0.0.50', '127.0.0.51', '127.0.0.52']));
      assert.ok(await site.isSilentTo([encodeDhcpPacket(request('discover', { mac: '52:54:00:99:00:04' }))]));
      await site.restart({ pool: POOL });
      const again = await site.ask(
        request('request', {
          mac: macs[0] ?? '',
          header: { ciaddr: '127.0.0.1' },
          options: { [OPTION.requestedAddress]: addresses([given[0] ?? '']) },
        }),
      );
      assert.deepEqual([typeOf(again), again.yiaddr], ['ack', given[0]]);
      assert.equal(
        (await poolLeaseOfMac(site.opened.store, macs[0] ?? '', new Date(site.clock.now)))?.address,
        given[0],
      );
    },
  );

  it('gives no pool address to a machine that a relay of another network speaks for', LIMIT, async () => {
    const pool = { first: '127.0.5.50', last: '127.0.5.60', netmask: '255.255.255.0', nameServers: [] };
    await using site = await startSite({ pool });
    await site.addMachine();
    const relayed = { mac: '52:54:00:99:00:01', header: { giaddr: SERVER } };

    assert.ok(await site.isSilentTo([encodeDhcpPacket(request('discover', relayed))]));
    await site.restart({ pool: { ...POOL, netmask: '255.255.255.0' } });
    assert.equal((await site.ask(request('discover', relayed))).yiaddr.replace(/\d+$/, ''), '127.0.0.');
  });

  it('ends a lease when a Hardware reserves its address: the renewal is refused, not acknowledged', LIMIT, async () => {
    await using site = await startSite({ pool: POOL });
    const mac = '52:54:00:99:00:01';
    const address = (await site.lease(mac)).yiaddr;
    const renewal = () => request('request', { mac, options: { [OPTION.requestedAddress]: addresses([address]) } });
    const before = await site.ask(renewal());
    await site.addMachine({ address });

    const answers = [await site.ask(renewal()), await site.ask(renewal())];

    assert.deepEqual([before, ...answers].map(typeOf), ['ack', 'nak', 'nak']);
    assert.equal(await poolLeaseOfMac(site.opened.store, mac, new Date(site.clock.now)), undefined);
    assert.equal((await site.lease(MAC)).yiaddr, address);
    assert.notEqual((await site.lease(mac)).yiaddr, address);
  });

  it('keeps what PXE said about the machine with its lease', LIMIT, async () => {
    await using site = await startSite({ pool: POOL, discovery: true });
    const mac = '52:54:00:99:00:01';
    const offer = await site.ask(request('discover', { mac, options: PXE }));
    await site.ask(
      request('request', { mac, options: { ...PXE, [OPTION.requestedAddress]: addresses([offer.yiaddr]) } }),
    );

    const lease = await poolLeaseOfMac(site.opened.store, mac, new Date(site.clock.now));

    assert.deepEqual([lease?.arch, lease?.uefi, offer.file], ['x86_64', true, 'snponly.efi']);
  });

  it('takes a declined address out of the pool and a released one back', LIMIT, async () => {
    await using site = await startSite({ pool: { ...POOL, last: '127.0.0.51' } });
    const [first, second] = ['52:54:00:99:00:01', '52:54:00:99:00:02'];
    const address = (await site.lease(first)).yiaddr;
    const toUs = { [OPTION.serverId]: addresses([SERVER]) };
    site.send(
      encodeDhcpPacket(
        request('decline', { mac: first, options: { ...toUs, [OPTION.requestedAddress]: addresses([address]) } }),
      ),
    );
    const other = (await site.lease(first)).yiaddr;
    assert.notEqual(other, address);

    site.send(encodeDhcpPacket(request('release', { mac: first, header: { ciaddr: other }, options: toUs })));

    assert.equal((await site.lease(second)).yiaddr, other);
  });

  it('notes a known machine once a boot, however often it asks', LIMIT, async () => {
    await using site = await startSite();
    await site.addMachine();
    for (let round = 0; round < 3; round += 1) await site.ask(request('discover', { options: PXE }));
    await site.restart();
    const seen = (await site.opened.store.hardware('node'))?.lastSeenAt;

    assert.deepEqual(seen, new Date(site.clock.now));
    assert.equal((await site.opened.store.events({ names: ['machine.discovered'] })).length, 1);
  });

  it('as a proxy offers boot files without addresses, and answers on the boot server port', LIMIT, async () => {
    await using site = await startSite({ mode: 'proxy', pool: POOL });
    await site.addMachine();
    const { bootServerPort } = site.server;
    assert.ok(bootServerPort !== undefined);

    const offer = await site.ask(request('discover', { options: PXE }));
    const ack = await site.ask(request('request', { options: PXE, header: { ciaddr: '127.0.0.40' } }), {
      port: bootServerPort,
    });

    assert.deepEqual([typeOf(offer), offer.yiaddr, offer.file], ['offer', '0.0.0.0', 'snponly.efi']);
    assert.deepEqual([typeOf(ack), ack.yiaddr, ack.file], ['ack', '0.0.0.0', 'snponly.efi']);
    assert.equal(offer.options.has(OPTION.leaseTime), false);
  });

  it('answers a hundred machines that are switched on together', LIMIT, async () => {
    await using site = await startSite({ pool: { ...POOL, first: '127.0.1.0', last: '127.0.1.255' } });
    const macs = Array.from({ length: 100 }, (_, number) => `52:54:00:88:00:${number.toString(16).padStart(2, '0')}`);

    const acks = await Promise.all(macs.map((mac) => site.lease(mac)));

    assert.equal(new Set(acks.map((ack) => ack.yiaddr)).size, 100);
  });

  it('says which address it cannot listen on, and leaves no socket open', LIMIT, async () => {
    await using site = await startSite();

    await assert.rejects(site.restart({ address: '192.0.2.1' }), { code: 'unavailable', message: /192\.0\.2\.1/ });
  });
});
