/** Several machines that write one library image at once: together they cost the server about one image, whatever some of them do. */
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { setTimeout as delay, setInterval } from 'node:timers/promises';
import { folderMachine } from '#agent/machine/folder-machine.ts';
import type { PeerDirectory } from '#agent/write/library/peers/peer-directory.ts';
import { type LibraryWritten, writeLibraryImage } from '#agent/write/library/write-library-image.ts';
import { MOST_BUFFER_BYTES } from '#agent/write/write-memory.ts';
import { TinsmithError } from '#proto/errors.ts';
import { FRAME_BYTES } from '#proto/library-index.ts';
import { PeerTracker } from '#server/provision/peer-tracker.ts';
import { diskImage } from '#test/support/disk-image.ts';
import {
  type FrameAnswer,
  type LibraryServer,
  libraryServer,
  type PackedLibraryImage,
  packedLibraryImage,
  wholeRange,
} from '#test/support/library-server.ts';

const MIB = 1 << 20;
const FRAMES = 40;
const DISK_BYTES = FRAMES * FRAME_BYTES + 5 * MIB;
const TIMING = {
  pollMs: 100,
  answerMs: 1000,
  frameMs: 2000,
  groupMs: 2000,
  idleMs: 1500,
  patienceMs: 10_000,
};
const image = makeImage();
let packed: PackedLibraryImage;
let folder: string;

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tinsmith-peers-'));
  packed = await packedLibraryImage(image);
});

after(() => rm(folder, { recursive: true, force: true }));

function makeImage(): Buffer {
  const whole = Buffer.alloc(FRAMES * FRAME_BYTES);
  for (let frame = 0; frame < FRAMES; frame++) randomBytes(256 << 10).copy(whole, frame * FRAME_BYTES + MIB);
  diskImage().copy(whole);
  return whole;
}

/** The server's end in this process: who is there, told as the product tells it. */
class Site implements AsyncDisposable {
  readonly tracker = new PeerTracker();
  readonly #ending = new AbortController();
  readonly #telling = this.#tell();

  directory(hardware: string): PeerDirectory {
    const { tracker } = this;
    return {
      announce: ({ digest, port }) => {
        let group: ReturnType<PeerDirectory['announce']>['group'];
        const member = {
          hardware,
          address: '127.0.0.1',
          tell: (told: NonNullable<typeof group>) => void (group = told),
        };
        tracker.offer(member, { digest, port, frames: 0 });
        return {
          get group() {
            return group;
          },
          noteFrames: (frames) => tracker.offer(member, { digest, port, frames }),
          [Symbol.dispose]: () => tracker.forget(member),
        };
      },
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#ending.abort();
    await this.#telling;
  }

  async #tell(): Promise<void> {
    const { signal } = this.#ending;
    try {
      for await (const _ of setInterval(50, undefined, { signal })) this.tracker.tellChanges();
    } catch {
      // Ended.
    }
  }
}

interface Installed {
  readonly written: LibraryWritten;
  readonly disk: string;
}

async function install(
  name: string,
  site: Site,
  server: LibraryServer,
  signal = new AbortController().signal,
): Promise<Installed> {
  const machine = folderMachine({ folder: join(folder, name), disks: { '/dev/sda': DISK_BYTES } });
  await using disk = await machine.openDisk('/dev/sda', { signal });
  const request = {
    image: 'test',
    mirrors: [server.url],
    publicKey: packed.publicKey,
    proxy: {},
    retryForMs: 5000,
    peers: site.directory(name),
    peerTiming: TIMING,
  };
  const written = await writeLibraryImage(disk, request, { signal, log: () => undefined, progress: () => undefined });
  return { written, disk: machine.diskFile('/dev/sda') };
}

/** Somebody who says that it has every frame, and answers as `give` does. */
async function pretend(
  site: Site,
  give: (response: ServerResponse, frame: number) => void,
): Promise<AsyncDisposable & { asked: number }> {
  const all = Buffer.alloc(Math.ceil(FRAMES / 8), 0xff);
  const peer = { asked: 0, [Symbol.asyncDispose]: () => stop() };
  const server = createServer((request, response) => {
    response.on('error', () => undefined);
    if (request.url?.endsWith('/frames') === true)
      return void response.writeHead(200, { 'content-length': all.length }).end(all);
    peer.asked += 1;
    give(response, Number(request.url?.split('/').at(-1)));
  });
  const stop = async (): Promise<void> => {
    server.closeAllConnections();
    await new Promise((resolve) => {
      server.close(resolve);
    });
  };
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  const { port } = server.address() as AddressInfo;
  const digest = createHash('sha256').update(packed.files['index.json']).digest('hex');
  site.directory(`pretender-${port}`).announce({ digest, port });
  return peer;
}

const garbage = (response: ServerResponse): void =>
  void response.writeHead(200, { 'content-length': FRAME_BYTES }).end(Buffer.alloc(FRAME_BYTES, 0x5a));
const stalling = (response: ServerResponse): void => {
  response.writeHead(200, { 'content-length': FRAME_BYTES }).write(Buffer.alloc(1000));
};
const tooLong = (response: ServerResponse): void =>
  void response.writeHead(200, { 'content-length': FRAME_BYTES * 2 }).end(Buffer.alloc(FRAME_BYTES * 2));
const busy = (response: ServerResponse): void => void response.writeHead(503).end();

/** A server whose link is what everybody waits for. */
const slowly: FrameAnswer = (range, response) => {
  void delay(40 + (range.end - range.from) / 20_000).then(() => wholeRange(range, response));
};
const slowServer = (): Promise<LibraryServer> =>
  libraryServer(
    packed,
    Array.from({ length: 10_000 }, () => slowly),
  );

/** Of the image's data, how many times it left the server. */
function egress({ ranges }: LibraryServer): number {
  const bytes = ranges.reduce((sum, [from, end]) => sum + end - from, 0);
  const data = packed.index.frames.reduce((sum, { sums, fileBytes }) => sum + (sums === undefined ? 0 : fileBytes), 0);
  return bytes / data;
}

async function assertHolds({ disk }: Installed): Promise<void> {
  const found = await readFile(disk);
  assert.ok(found.subarray(MIB, image.length).equals(image.subarray(MIB)), `${disk} holds the image`);
  await rm(disk);
}

describe('machines that write the same image at once', () => {
  it('cost the server about one image together', async (test) => {
    await using site = new Site();
    await using server = await slowServer();

    const installed = await Promise.all(['a1', 'a2', 'a3', 'a4'].map((name) => install(name, site, server)));

    for (const one of installed) await assertHolds(one);
    test.diagnostic(`the server sent ${egress(server).toFixed(2)} images to 4 machines`);
    assert.ok(egress(server) <= 1.5, `the server sent ${egress(server)} images`);
    for (const { written } of installed) {
      assert.ok((written.fromPeers?.bytes ?? 0) > 0);
      assert.ok(written.bufferBytes <= MOST_BUFFER_BYTES, String(written.bufferBytes));
    }
  });

  it('are all right when one sends garbage, one stalls, one is not there and one dies in the middle', async (test) => {
    await using site = new Site();
    await using server = await slowServer();
    await using liar = await pretend(site, garbage);
    await using staller = await pretend(site, stalling);
    await using braggart = await pretend(site, tooLong);
    await (await pretend(site, garbage))[Symbol.asyncDispose]();
    const dying = new AbortController();
    const dead = install('b0', site, server, dying.signal).catch((thrown: unknown) => thrown);
    const asked = (): boolean => server.ranges.length > 12;
    const killing = until(asked).then(() => dying.abort(new TinsmithError('cancelled', 'power cut')));

    const startedAt = performance.now();
    const installed = await Promise.all(['b1', 'b2', 'b3'].map((name) => install(name, site, server)));

    await killing;
    assert.ok((await dead) instanceof TinsmithError);
    for (const one of installed) await assertHolds(one);
    const seconds = (performance.now() - startedAt) / 1000;
    test.diagnostic(`${seconds.toFixed(1)} s, the server sent ${egress(server).toFixed(2)} images to 3 machines`);
    // Each of the four machines has two requests at once, and none after the first bad answer.
    for (const { asked } of [liar, staller, braggart]) assert.ok(asked > 0 && asked <= 2 * 4, String(asked));
    assert.ok(installed.some(({ written }) => (written.fromPeers?.bytes ?? 0) > 0));
  });

  it('do not wait for ever for one that always has too much to do', async () => {
    await using site = new Site();
    await using server = await libraryServer(packed);
    await using peer = await pretend(site, busy);

    const one = await install('c1', site, server);

    await assertHolds(one);
    assert.deepEqual(one.written.fromPeers, { bytes: 0, peers: 0 });
    assert.ok(peer.asked > 0);
  });

  it('go on with one that is late now and then', async () => {
    await using site = new Site();
    await using server = await slowServer();
    await using peer = await pretend(site, (response, frame) => {
      // Two questions are never answered.
      if (peer.asked <= 2) return;
      const bytes = image.subarray(frame * FRAME_BYTES, (frame + 1) * FRAME_BYTES);
      response.writeHead(200, { 'content-length': bytes.length }).end(bytes);
    });

    const one = await install('e1', site, server);

    await assertHolds(one);
    assert.ok((one.written.fromPeers?.bytes ?? 0) > 0, `it was asked ${peer.asked} times`);
  });

  it('leave one that says what it has and never gives it, after a few questions', async () => {
    await using site = new Site();
    await using server = await libraryServer(packed);
    await using peer = await pretend(site, () => undefined);

    const one = await install('f1', site, server);

    await assertHolds(one);
    assert.deepEqual(one.written.fromPeers, { bytes: 0, peers: 0 });
    // Two at once, and one that was begun when the fifth was late.
    assert.ok(peer.asked >= 5 && peer.asked <= 7, `it was asked ${peer.asked} times`);
  });

  it('write alone when no others are there', async () => {
    await using site = new Site();
    await using server = await libraryServer(packed);

    const one = await install('d1', site, server);

    await assertHolds(one);
    assert.ok(egress(server) <= 1.01);
    assert.deepEqual(site.tracker.rows(), [], 'it takes its offer back');
  });
});

async function until(isTrue: () => boolean): Promise<void> {
  while (!isTrue()) await delay(20);
}
