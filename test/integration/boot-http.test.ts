import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { mkdir, mkdtemp, open, rm, symlink, utimes, writeFile } from 'node:fs/promises';
import { get, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import { after, before, describe, it } from 'node:test';
import { fastify } from 'fastify';
import pino from 'pino';
import { type BootRoutesOptions, bootRoutes } from '#server/boot/boot-routes.ts';
import { ImageAdmission } from '#server/boot/image-admission.ts';
import type { HardwareInterface } from '#server/manifests/hardware-kind.ts';
import { writePoolLease } from '#server/store/pool-lease.ts';
import { openSqliteStore, type SqliteStore } from '#server/store/sqlite-store.ts';
import { someInventory } from '#test/support/records.ts';

const LIMIT = { timeout: 20_000 };
const NOW = new Date('2026-11-22T12:00:00Z');
const CAUSE = { actor: 'operator' } as const;
const MIB = 1024 * 1024;

let folder = '';
const image = Buffer.alloc(5 * MIB + 77);
for (let at = 0; at < image.length; at += 1) image[at] = (at * 31 + (at >> 8)) & 255;

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tinsmith-boot-'));
  for (const name of ['boot', 'ipxe', 'images/deep']) await mkdir(join(folder, name), { recursive: true });
  await writeFile(join(folder, 'boot/vmlinuz'), 'kernel');
  await writeFile(join(folder, 'ipxe/vmlinuz'), 'not this one');
  await writeFile(join(folder, 'ipxe/snponly.efi'), 'loader');
  await writeFile(join(folder, 'images/deep/os.raw'), image);
  await writeFile(join(folder, 'images/empty'), '');
  await writeFile(join(folder, 'secret'), 'secret');
  await symlink('../secret', join(folder, 'images/link'));
  await symlink('deep/os.raw', join(folder, 'images/alias'));
});

after(() => rm(folder, { recursive: true, force: true }));

class Site implements AsyncDisposable {
  readonly opened: SqliteStore;
  readonly url: string;
  readonly log: string[];
  readonly #close: () => Promise<void>;

  constructor(opened: SqliteStore, log: string[], listener: { url: string; close: () => Promise<void> }) {
    this.opened = opened;
    this.log = log;
    this.url = listener.url;
    this.#close = listener.close;
  }

  async script(mac: string, init: RequestInit = {}): Promise<{ status: number; body: string }> {
    const response = await fetch(`${this.url}/ipxe/${mac}/boot.ipxe`, init);
    return { status: response.status, body: await response.text() };
  }

  async addMachine(mac: string, change: { iface?: Partial<HardwareInterface>; address?: string } = {}): Promise<void> {
    const dhcp = { mac, ip: { address: change.address ?? '127.0.0.1', netmask: '255.0.0.0' } };
    const manifest = {
      name: 'node',
      labels: {},
      annotations: {},
      spec: { disks: [], interfaces: [{ dhcp, ...change.iface }] },
    };
    await this.opened.transitions.apply({ hardware: [manifest], templates: [], workflows: [] }, CAUSE);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#close();
    await this.opened[Symbol.asyncDispose]();
  }
}

async function startSite(change: Partial<BootRoutesOptions> = {}): Promise<Site> {
  const opened = await openSqliteStore({ path: ':memory:', clock: () => NOW });
  const log: string[] = [];
  const stream = new Writable({
    write(chunk, _encoding, done) {
      log.push(String(chunk));
      done();
    },
  });
  // Everything that can be logged is, so that a secret in the log would be seen.
  const server = fastify({ loggerInstance: pino({ level: 'trace' }, stream) });
  await server.register(
    bootRoutes({
      store: opened.store,
      transitions: opened.transitions,
      clock: () => NOW,
      dhcpMode: 'reservation',
      discovery: false,
      libraryFolderOf: async () => undefined,
      libraryMirrorsOf: async () => [],
      admission: new ImageAdmission({ streams: 8, egress: 0, clock: () => NOW, log: { info: () => undefined } }),
      environment: {
        httpUrl: 'http://10.0.0.1:7171',
        grpcServer: '10.0.0.1:42114',
        caHash: 'cc',
        giveUpSeconds: 60,
        kernelArgs: 'quiet',
      },
      caDer: Uint8Array.of(0x30, 0x82, 0),
      bootFolders: [join(folder, 'boot'), join(folder, 'ipxe')],
      imagesFolder: join(folder, 'images'),
      ...change,
    }),
  );
  await server.listen({ host: '127.0.0.1', port: 0 });
  const { port } = server.server.address() as AddressInfo;
  return new Site(opened, log, { url: `http://127.0.0.1:${port}`, close: () => server.close() });
}

const MAC = '52:54:00:77:00:01';

describe('boot script over HTTP', () => {
  it('gives a known machine a token whose hash, and nothing else, the store and the log have', LIMIT, async () => {
    await using site = await startSite();
    await site.addMachine(MAC);

    const { status, body } = await site.script(MAC);
    const token = /tinsmith\.token=(\S+)/.exec(body)?.[1] ?? '';

    assert.equal(status, 200);
    assert.match(token, /^[\w-]{43}$/);
    assert.equal((await site.opened.store.hardware('node'))?.stage, 'booting');
    assert.ok(!site.log.join('').includes(token));
    const events = JSON.stringify(await site.opened.store.events());
    assert.ok(events.includes('machine.booting') && !events.includes(token));
    await assert.doesNotReject(enroll(site, token));
  });

  it('makes a new token each time, and the older one is worth nothing then', LIMIT, async () => {
    await using site = await startSite();
    await site.addMachine(MAC);
    const [first, second] = [await site.script(MAC), await site.script(MAC.replaceAll(':', '-').toUpperCase())].map(
      ({ body }) => /tinsmith\.token=(\S+)/.exec(body)?.[1] ?? '',
    );

    assert.notEqual(first, second);
    await assert.rejects(enroll(site, first ?? ''), { code: 'unauthenticated' });
    await assert.doesNotReject(enroll(site, second ?? ''));
  });

  it('makes no token for a HEAD request', LIMIT, async () => {
    await using site = await startSite();
    await site.addMachine(MAC);

    assert.equal((await site.script(MAC, { method: 'HEAD' })).status, 404);
    assert.equal((await site.opened.store.hardware('node'))?.stage, 'discovered');
  });

  it('refuses a request from another address than the machine’s, whatever it claims to forward', LIMIT, async () => {
    await using site = await startSite();
    await site.addMachine(MAC, { address: '127.0.0.9' });

    const { status } = await site.script(MAC, { headers: { 'x-forwarded-for': '127.0.0.9' } });

    assert.equal(status, 403);
    assert.equal((await site.opened.store.hardware('node'))?.stage, 'discovered');
    assert.ok(site.log.some((line) => line.includes('boot.refused')));
  });

  it(
    'gives no token for an interface that has no address of ours, unless its record leaves addresses to others',
    LIMIT,
    async () => {
      await using site = await startSite();
      await site.addMachine(MAC, { iface: { dhcp: { mac: MAC } } });
      const stranger = await site.script(MAC);
      await site.addMachine(MAC, { iface: { dhcp: { mac: MAC }, disableDhcp: true } });
      const elsewhere = await site.script(MAC);

      assert.equal(stranger.status, 403);
      assert.ok(!stranger.body.includes('token'));
      assert.equal(elsewhere.status, 200);
    },
  );

  it('does not judge addresses when another DHCP server gives them', LIMIT, async () => {
    await using site = await startSite({ dhcpMode: 'proxy' });
    await site.addMachine(MAC, { address: '127.0.0.9' });

    assert.equal((await site.script(MAC)).status, 200);
  });

  it('refuses an interface that may not netboot', LIMIT, async () => {
    await using site = await startSite();
    await site.addMachine(MAC, { iface: { netboot: { allowPXE: false } } });

    assert.equal((await site.script(MAC)).status, 403);
  });

  it(
    'lets a machine whose netboot is off boot its disk, without token and without a change of its stage',
    LIMIT,
    async () => {
      await using site = await startSite();
      await site.addMachine(MAC);
      await site.opened.transitions.setNetboot('node', false, CAUSE);

      const { status, body } = await site.script(MAC);

      assert.equal(status, 200);
      assert.match(body, /boots its disk/);
      assert.ok(!body.includes('token'));
      assert.equal((await site.opened.store.hardware('node'))?.stage, 'discovered');
    },
  );

  it('says which value of the record cannot be put into a script, and starts no boot', LIMIT, async () => {
    await using site = await startSite();
    await site.addMachine(MAC, { iface: { netboot: { osie: { kernelParams: ['a\nshell'] } } } });

    const { status, body } = await site.script(MAC);

    assert.equal(status, 400);
    assert.match(body, /osie\.kernelParams/);
    assert.equal((await site.opened.store.hardware('node'))?.stage, 'discovered');
  });

  for (const mac of ['52:54:00:77:00:99', 'zz', '..', '%00', 'a'.repeat(99)]) {
    it(`has no script for ${mac.slice(0, 20)}`, LIMIT, async () => {
      await using site = await startSite();

      assert.ok([400, 404, 414].includes((await site.script(mac)).status));
    });
  }

  it('makes a Hardware of an unknown machine with a lease of ours, once, when discovery is on', LIMIT, async () => {
    await using site = await startSite({ discovery: true });
    await putLease(site, { address: '127.0.0.1' });

    const first = await site.script(MAC);
    const second = await site.script(MAC);

    assert.deepEqual([first.status, second.status], [200, 200]);
    const [hardware, ...others] = await site.opened.store.listHardware();
    assert.equal(others.length, 0);
    assert.deepEqual(hardware?.spec.interfaces[0]?.dhcp?.ip?.address, '127.0.0.1');
    assert.deepEqual(
      [hardware?.spec.interfaces[0]?.dhcp?.arch, hardware?.spec.interfaces[0]?.dhcp?.uefi],
      ['x86_64', true],
    );
    assert.equal(hardware?.stage, 'booting');
  });

  it('discovers nobody without a lease, with another’s lease or with an expired one', LIMIT, async () => {
    await using site = await startSite({ discovery: true });
    const without = await site.script(MAC);
    await putLease(site, { address: '127.0.0.9' });
    const another = await site.script(MAC);
    await putLease(site, { address: '127.0.0.1', expiresAt: NOW });
    const expired = await site.script(MAC);

    assert.deepEqual([without.status, another.status, expired.status], [403, 403, 403]);
    assert.equal((await site.opened.store.listHardware()).length, 0);
  });
});

async function putLease(site: Site, change: { address: string; expiresAt?: Date }): Promise<void> {
  const lease = {
    mac: MAC,
    netmask: '255.0.0.0',
    expiresAt: new Date(NOW.getTime() + 1000),
    arch: 'x86_64',
    uefi: true,
    ...change,
  };
  await site.opened.store.putSetting(`dhcp.lease.${MAC}`, writePoolLease(lease));
}

async function enroll(site: Site, token: string): Promise<unknown> {
  return site.opened.transitions.enroll(
    {
      tokenHash: createHash('sha256').update(token).digest('hex'),
      mac: MAC,
      nonce: 'n',
      keyHash: 'k',
      bootId: 'b',
      agentVersion: '1',
      inventory: someInventory,
    },
    { actor: 'agent' },
  );
}

describe('files over HTTP', () => {
  it('serves boot files from the first folder that has them, images and the CA certificate', LIMIT, async () => {
    await using site = await startSite();
    const text = async (path: string): Promise<string> => (await fetch(`${site.url}${path}`)).text();

    assert.equal(await text('/boot/vmlinuz'), 'kernel');
    assert.equal(await text('/boot/snponly.efi'), 'loader');
    assert.equal(await text('/images/empty'), '');
    assert.deepEqual(
      Buffer.from(await (await fetch(`${site.url}/ca.der`)).arrayBuffer()),
      Buffer.from([0x30, 0x82, 0]),
    );
    assert.deepEqual(Buffer.from(await (await fetch(`${site.url}/images/alias`)).arrayBuffer()), image);
  });

  it('serves ranges whose bytes and headers are right across read borders', LIMIT, async () => {
    await using site = await startSite();
    for (const [from, to] of [
      [0, 0],
      [MIB - 1, MIB],
      [MIB, 3 * MIB + 5],
      [5 * MIB, image.length - 1],
    ] as const) {
      const response = await fetch(`${site.url}/images/deep/os.raw`, { headers: { range: `bytes=${from}-${to}` } });

      assert.equal(response.status, 206);
      assert.equal(response.headers.get('content-range'), `bytes ${from}-${to}/${image.length}`);
      assert.deepEqual(Buffer.from(await response.arrayBuffer()), image.subarray(from, to + 1));
    }
  });

  it('answers HEAD with size and tag, and past the end with 416', LIMIT, async () => {
    await using site = await startSite();
    const head = await fetch(`${site.url}/images/deep/os.raw`, { method: 'HEAD' });
    const past = await fetch(`${site.url}/images/deep/os.raw`, { headers: { range: `bytes=${image.length}-` } });

    const ranged = { method: 'HEAD', headers: { range: 'bytes=5-9' } };
    const headOfRange = await fetch(`${site.url}/images/deep/os.raw`, ranged);
    for (const { status, headers } of [head, headOfRange]) {
      assert.deepEqual([status, headers.get('content-length')], [200, String(image.length)]);
    }
    assert.match(head.headers.get('etag') ?? '', /^"[^"]+"$/);
    assert.deepEqual([past.status, past.headers.get('content-range')], [416, `bytes */${image.length}`]);
  });

  it('changes the tag with every write, also one of the same length with its time set back', LIMIT, async () => {
    await using site = await startSite();
    const path = join(folder, 'images/tagged');
    const tag = async (): Promise<string | null> =>
      (await fetch(`${site.url}/images/tagged`, { method: 'HEAD' })).headers.get('etag');
    const tags = new Set<string | null>();
    for (const content of ['aaaa', 'bbbb', 'cccc', 'dddd']) {
      await writeFile(path, content);
      await utimes(path, NOW, NOW);
      tags.add(await tag());
    }

    assert.equal(tags.size, 4);
    assert.equal(await tag(), await tag());
  });

  it('joins nothing to a file that was replaced in the meantime', LIMIT, async () => {
    await using site = await startSite();
    const path = join(folder, 'images/replaced');
    await writeFile(path, 'old old');
    const etag = (await fetch(`${site.url}/images/replaced`)).headers.get('etag') ?? '';
    await writeFile(path, 'new new');

    const response = await fetch(`${site.url}/images/replaced`, { headers: { range: 'bytes=4-', 'if-range': etag } });

    assert.deepEqual([response.status, await response.text()], [200, 'new new']);
  });

  for (const path of [
    '/images/link',
    '/images/../secret',
    '/images/%2e%2e/secret',
    '/images/..%2fsecret',
    '/images/deep/..%2f..%2fsecret',
    '/images/%00',
    '/images/deep',
    '/images/',
    '/boot//etc/passwd',
    '/images/missing',
  ]) {
    it(`serves nothing for ${path}`, LIMIT, async () => {
      await using site = await startSite();
      const response = await rawGet(`${site.url}${path}`);

      assert.ok([400, 404].includes(response.statusCode ?? 0), String(response.statusCode));
    });
  }

  it('says in one form that there is nothing', LIMIT, async () => {
    await using site = await startSite();
    for (const path of [
      '/library/none/index.json',
      '/library/none',
      '/library/none/a/b?token=x',
      '/library/',
      '/nothing',
    ]) {
      const response = await fetch(`${site.url}${path}`);

      assert.deepEqual(
        [response.status, response.headers.get('content-type')],
        [404, 'text/plain; charset=utf-8'],
        path,
      );
      assert.match(
        await response.text(),
        /^(the library has no none\/index\.json|there is nothing at GET "[^?]+" here)\n$/,
      );
    }
  });

  it('cuts the connection when the file is changed while it is sent', LIMIT, async () => {
    await using site = await startSite();
    const path = join(folder, 'images/changing');
    await writeFile(path, Buffer.alloc(64 * MIB, 1));
    const request = get(`${site.url}/images/changing`);
    const [response] = (await once(request, 'response')) as [IncomingMessage];
    response.pause();
    await using file = await open(path, 'r+');
    await file.write(Buffer.alloc(MIB, 2), 0, MIB, 60 * MIB);

    await assert.rejects(drain(response), /aborted|ECONNRESET/);
  });

  it('reads no further when the client has gone, and serves the next one', LIMIT, async () => {
    await using site = await startSite();
    for (let round = 0; round < 5; round += 1) {
      const request = get(`${site.url}/images/deep/os.raw`);
      const [response] = (await once(request, 'response')) as [IncomingMessage];
      response.on('error', () => undefined);
      request.destroy();
    }

    assert.deepEqual(Buffer.from(await (await fetch(`${site.url}/images/deep/os.raw`)).arrayBuffer()), image);
  });

  it('stops at once in the middle of a download', LIMIT, async () => {
    const site = await startSite();
    const path = join(folder, 'images/large');
    await writeFile(path, Buffer.alloc(64 * MIB, 1));
    const request = get(`${site.url}/images/large`);
    const [response] = (await once(request, 'response')) as [IncomingMessage];
    response.pause();

    await site[Symbol.asyncDispose]();

    await assert.rejects(drain(response), /aborted|ECONNRESET/);
  });
});

/** Without the path normalisation that fetch does. */
async function rawGet(url: string): Promise<IncomingMessage> {
  const { hostname, port, origin } = new URL(url);
  const request = get({ host: hostname, port, path: url.slice(origin.length) });
  const [response] = (await once(request, 'response')) as [IncomingMessage];
  response.resume();
  await once(response, 'end');
  return response;
}

async function drain(response: IncomingMessage): Promise<void> {
  response.resume();
  await once(response, 'end');
}
