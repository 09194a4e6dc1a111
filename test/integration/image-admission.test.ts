/** A few machines at once, the others in line: real requests from several addresses of the loopback network. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { type ClientRequest, get, type IncomingMessage } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { folderMachine } from '#agent/machine/folder-machine.ts';
import { writeLibraryImage } from '#agent/write/library/write-library-image.ts';
import { ImageAdmission } from '#server/boot/image-admission.ts';
import { diskImage } from '#test/support/disk-image.ts';
import { addImage, type LibrarySite, startLibrarySite } from '#test/support/library-site.ts';
import { Download } from '#transfer/download.ts';

const LIMIT = { timeout: 90_000 };
const MIB = 1 << 20;
const HOLD = { agent: 300, other: 30_000 };
const AGENT = { 'user-agent': 'tinsmith-agent' };
let folder: string;

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tinsmith-admission-'));
});

after(() => rm(folder, { recursive: true, force: true }));

class Site implements AsyncDisposable {
  readonly admission: ImageAdmission;
  readonly log: string[] = [];
  readonly #requests: ClientRequest[] = [];
  #site: LibrarySite | undefined;

  constructor(limits: { readonly streams: number; readonly egress?: number }) {
    const log = { info: (facts: object, event: string) => this.log.push(`${event} ${JSON.stringify(facts)}`) };
    this.admission = new ImageAdmission({ egress: 0, ...limits, clock: () => new Date(), log });
  }

  static async start(limits: { readonly streams: number; readonly egress?: number }): Promise<Site> {
    const site = new Site(limits);
    const { admission } = site;
    site.#site = await startLibrarySite({ admission, holdMs: HOLD });
    await writeFile(join(site.server.folder, 'images', 'os.raw'), Buffer.alloc(64 * MIB, 7));
    await writeFile(join(site.server.folder, 'images', 'small'), 'small');
    await writeFile(join(site.server.folder, 'boot', 'vmlinuz'), 'kernel');
    return site;
  }

  get server(): LibrarySite {
    assert.ok(this.#site);
    return this.#site;
  }

  /** A request of the machine 127.0.0.`machine`; the answer's body is left alone. */
  async ask(machine: number, path: string, headers: Readonly<Record<string, string>> = {}): Promise<IncomingMessage> {
    const [answer] = await this.asking(machine, path, headers);
    return answer;
  }

  asking(machine: number, path: string, headers: Readonly<Record<string, string>> = {}) {
    const request = get(new URL(path, this.server.url), { localAddress: `127.0.0.${machine}`, headers, agent: false });
    this.#requests.push(request);
    request.on('error', () => undefined);
    const answer = once(request, 'response') as Promise<[IncomingMessage]>;
    answer.then(([response]) => response.on('error', () => undefined)).catch(() => undefined);
    return answer;
  }

  states(): readonly string[] {
    return this.admission.serving().machines.map(({ address, state }) => `${address.split('.').at(-1)} ${state}`);
  }

  async until(condition: () => boolean): Promise<void> {
    while (!condition()) await new Promise((resolve) => setTimeout(resolve, 20));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const request of this.#requests) request.destroy();
    await this.#site?.[Symbol.asyncDispose]();
    await this.admission[Symbol.asyncDispose]();
  }
}

async function lengthOf(response: IncomingMessage): Promise<number> {
  let bytes = 0;
  for await (const chunk of response) bytes += chunk.length;
  return bytes;
}

describe('admission of images', () => {
  it(
    'holds the second machine until the first is done; boot files, HEAD and missing files never wait',
    LIMIT,
    async () => {
      await using site = await Site.start({ streams: 1 });
      const first = await site.ask(2, 'images/os.raw');
      first.pause();
      const second = site.asking(3, 'images/os.raw');
      await site.until(() => site.states().includes('3 waiting'));

      assert.deepEqual(
        (await Promise.all(['boot/vmlinuz', 'images/none', 'ca.der'].map((path) => site.ask(4, path)))).map(
          ({ statusCode }) => statusCode,
        ),
        [200, 404, 200],
      );
      const head = await fetch(new URL('images/os.raw', site.server.url), { method: 'HEAD' });
      assert.equal(head.headers.get('content-length'), String(64 * MIB));
      assert.deepEqual(site.states(), ['2 served', '3 waiting']);
      assert.equal(await lengthOf(first), 64 * MIB);
      const [answer] = await second;
      assert.deepEqual([answer.statusCode, await lengthOf(answer)], [200, 64 * MIB]);
      assert.match(site.log.join('\n'), /imageWaits.*0\.3.*imageServed.*0\.2.*imageTurn.*0\.3/s);
    },
  );

  it('gives the place of a machine that has finished to the next one at once', LIMIT, async () => {
    await using site = await Site.start({ streams: 1 });
    await lengthOf(await site.ask(2, 'images/small'));
    const endedAt = performance.now();
    const next = site.asking(3, 'images/small');
    await site.until(() => site.states().includes('3 waiting'));

    site.admission.finish('127.0.0.2');

    assert.equal((await next)[0].statusCode, 200);
    assert.ok(performance.now() - endedAt < 3000, 'it did not wait for three seconds');
  });

  it('tells an agent its place, so that it can ask somebody else meanwhile', LIMIT, async () => {
    await using site = await Site.start({ streams: 1 });
    (await site.ask(2, 'images/os.raw')).pause();
    const third = site.ask(3, 'images/os.raw', AGENT);
    // Two connections opened together may arrive in either order.
    await site.until(() => site.states().includes('3 waiting'));
    const fourth = site.ask(4, 'images/os.raw', AGENT);

    const answers = await Promise.all([third, fourth]);

    assert.deepEqual(
      answers.map(({ statusCode, headers }) => [statusCode, headers['tinsmith-line'], headers['retry-after']]),
      [
        [503, '1', '1'],
        [503, '2', '1'],
      ],
    );
  });

  it('does not let a stuck reader keep the only place', LIMIT, async () => {
    await using site = await Site.start({ streams: 1 });
    (await site.ask(2, 'images/os.raw')).pause();

    const next = await site.ask(3, 'images/os.raw');

    assert.equal(next.statusCode, 200);
    assert.ok(site.admission.serving().machines.some(({ address, isSlow }) => address === '127.0.0.2' && isSlow));
  });

  it('keeps nothing of those that went away while they waited', LIMIT, async () => {
    await using site = await Site.start({ streams: 1 });
    (await site.ask(2, 'images/os.raw')).pause();
    const requests = Array.from({ length: 50 }, () => site.asking(3, 'images/os.raw'));
    await site.until(() => site.admission.serving().machines[1]?.requests === 50);
    assert.deepEqual(site.states(), ['2 served', '3 waiting']);

    const before = site.admission.serving();
    assert.equal(before.machines[1]?.placeInLine, 1);
    await site[Symbol.asyncDispose]();
    assert.ok((await Promise.allSettled(requests)).every(({ status }) => status === 'rejected'));
  });

  it('soon tells a machine that begins to wait, and holds what it asks afterwards', LIMIT, async () => {
    await using site = await Site.start({ streams: 1 });
    (await site.ask(2, 'images/os.raw')).pause();
    const options = { holdMs: 30_000, firstHoldMs: 50, signal: AbortSignal.timeout(1_000) };

    assert.deepEqual(await site.admission.enter('10.9.9.9', options), { placeInLine: 1 });
    await assert.rejects(site.admission.enter('10.9.9.9', options), { name: 'TimeoutError' });
  });

  it('holds a bounded number of requests of one machine, and tells the others at once', LIMIT, async () => {
    await using site = await Site.start({ streams: 1 });
    (await site.ask(2, 'images/os.raw')).pause();
    const stop = new AbortController();
    const options = { holdMs: 10_000, signal: stop.signal };
    let [refused, gone] = [0, 0];
    const entering = Array.from({ length: 1000 }, () =>
      site.admission.enter('10.9.9.9', options).then(
        () => (refused += 1),
        () => (gone += 1),
      ),
    );
    await site.until(() => refused === 1000 - 64);
    assert.equal(site.admission.serving().machines[1]?.requests, 64);

    stop.abort(new Error('the client is gone'));
    await Promise.all(entering);

    assert.equal(gone, 64);
    assert.equal(site.admission.serving().machines[1]?.requests, 0);
  });

  it('shares a budget equally between a machine with one connection and one with four', LIMIT, async () => {
    // So little that a busy computer has time to ask for the next piece before it is due.
    await using site = await Site.start({ streams: 8, egress: MIB });
    const startedAt = performance.now();
    const counts = new Map<number, number>();
    const take = async (machine: number): Promise<void> => {
      const response = await site.ask(machine, 'images/os.raw');
      response.on('data', (chunk: Buffer) => counts.set(machine, (counts.get(machine) ?? 0) + chunk.length));
    };
    await Promise.all([2, 3, 3, 3, 3].map(take));
    await new Promise((resolve) => setTimeout(resolve, 5000));

    const [few = 0, many = 0] = [counts.get(2), counts.get(3)];
    const rate = ((few + many) / (performance.now() - startedAt)) * 1000;
    assert.ok(few / many > 0.7 && few / many < 1.4, `${few} and ${many}`);
    assert.ok(rate > 0.25 * MIB && rate < 1.5 * MIB, `${rate} a second`);
  });
});

describe('agents in line', () => {
  it('install in their turn, say so, and do not count the wait as time without a byte', LIMIT, async () => {
    await using site = await Site.start({ streams: 1 });
    const image = Buffer.concat([diskImage(), randomBytes(12 * MIB)]);
    await addImage(site.server.library, 'os', image);
    const stuck = await site.ask(2, 'images/os.raw');
    // It takes enough to keep its place for some seconds.
    const timer = setInterval(() => stuck.read(2 * MIB), 100);
    const machine = folderMachine({ folder: join(folder, 'disk'), disks: { '/dev/sda': 32 * MIB } });
    const { signal } = new AbortController();
    const log: string[] = [];
    await using disk = await machine.openDisk('/dev/sda', { signal });

    const writing = writeLibraryImage(
      disk,
      {
        image: 'os',
        mirrors: [new URL('library/', site.server.url)],
        publicKey: site.server.library.publicKey,
        proxy: {},
        retryForMs: 500,
      },
      { signal, log: (text) => log.push(text), progress: () => undefined },
    );
    setTimeout(() => {
      clearInterval(timer);
      stuck.destroy();
    }, 3000);
    await writing;

    assert.ok((await readFile(machine.diskFile('/dev/sda'))).subarray(MIB, image.length).equals(image.subarray(MIB)));
    assert.ok(
      log.some((line) => /waits for its turn \(1st in line\)/.test(line)),
      log.join('\n'),
    );
    assert.equal(log.filter((line) => line.includes('in line')).length, 1);
  });

  it('download any file in their turn, too', LIMIT, async () => {
    await using site = await Site.start({ streams: 1 });
    (await site.ask(2, 'images/os.raw')).pause();
    const log: string[] = [];
    const download = new Download({
      url: new URL('images/small', site.server.url).href,
      proxy: {},
      signal: new AbortController().signal,
      retryForMs: 500,
      hasChecksum: false,
      log: (text) => log.push(text),
    });

    const pieces: Uint8Array[] = [];
    for await (const piece of download) pieces.push(Buffer.from(piece));

    assert.equal(Buffer.concat(pieces).toString(), 'small');
    assert.deepEqual(log, [`download from ${site.server.url.host} waits for its turn (1st in line)`]);
  });
});
