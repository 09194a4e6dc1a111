import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { FRAME_BYTES } from '#proto/library-index.ts';
import { pause } from '#transfer/pause.ts';
import { type FolderMachine, folderMachine } from '../../../machine/folder-machine.ts';
import type { Disk } from '../../../machine/machine.ts';
import { WriteMemory } from '../../write-memory.ts';
import { FrameSet } from './frame-set.ts';
import { type PeerServerOptions, startPeerServer } from './peer-server.ts';

const DIGEST = 'ab'.repeat(32);
const FRAMES = 4;
const signal = new AbortController().signal;
const log = (): void => undefined;
const frames = Array.from({ length: FRAMES }, (_, number) => ({
  fileOffset: number * 100,
  fileBytes: 100,
  imageOffset: number * FRAME_BYTES,
  imageBytes: FRAME_BYTES,
}));
let folder: string;
let machine: FolderMachine;

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tinsmith-peer-'));
  machine = folderMachine({ folder, disks: { '/dev/sda': FRAMES * FRAME_BYTES } });
  await using disk = await machine.openDisk('/dev/sda', { signal });
  for (let number = 0; number < FRAMES; number++)
    await disk.write(Buffer.alloc(FRAME_BYTES, number), number * FRAME_BYTES);
});

after(() => rm(folder, { recursive: true, force: true }));

async function serve(changes: Partial<PeerServerOptions> & { readonly disk: Disk }) {
  const held = new FrameSet(FRAMES);
  held.add(1);
  held.add(2);
  const server = await startPeerServer({
    digest: DIGEST,
    frames,
    held,
    memory: new WriteMemory(),
    isKnown: () => true,
    log,
    ...changes,
  });
  const get = (path: string, method = 'GET'): Promise<Response> =>
    fetch(`http://127.0.0.1:${server.port}${path}`, { method });
  return { held, get, port: server.port, [Symbol.asyncDispose]: () => server[Symbol.asyncDispose]() };
}

describe('giving frames to other machines', () => {
  it('says which there are, and gives these as they are on the disk', async () => {
    await using disk = await machine.openDisk('/dev/sda', { signal });
    await using server = await serve({ disk });

    assert.deepEqual(Buffer.from(await (await server.get(`/${DIGEST}/frames`)).arrayBuffer()), Buffer.from([0b110]));
    const frame = Buffer.from(await (await server.get(`/${DIGEST}/frames/2`)).arrayBuffer());
    assert.ok(frame.equals(Buffer.alloc(FRAME_BYTES, 2)));
  });

  it('gives nothing else', async () => {
    await using disk = await machine.openDisk('/dev/sda', { signal });
    await using server = await serve({ disk });
    const status = async (path: string, method?: string): Promise<number> => (await server.get(path, method)).status;

    assert.equal(await status(`/${DIGEST}/frames/0`), 404, 'a frame that is not written');
    assert.equal(await status(`/${DIGEST}/frames/4`), 404, 'a frame that the image does not have');
    assert.equal(await status(`/${'cd'.repeat(32)}/frames/1`), 404, 'another image');
    assert.equal(await status(`/${DIGEST}/frames/1`, 'POST'), 405);
    assert.equal(await status('/'), 404);
  });

  it('gives nothing to a machine that the server did not name', async () => {
    await using disk = await machine.openDisk('/dev/sda', { signal });
    const asked: string[] = [];
    await using server = await serve({ disk, isKnown: (address) => asked.push(address) === 0 });

    assert.equal((await server.get(`/${DIGEST}/frames`)).status, 503);
    assert.equal((await server.get(`/${DIGEST}/frames/1`)).status, 503);
    assert.deepEqual(asked, ['127.0.0.1', '127.0.0.1']);
  });

  it('sends two at once, lets some wait, and refuses the rest', async () => {
    await using disk = await machine.openDisk('/dev/sda', { signal });
    let reads = 0;
    const counted: Disk = Object.assign(Object.create(disk) as Disk, {
      read: (...argv: Parameters<Disk['read']>) => {
        reads += 1;
        return disk.read(...argv);
      },
    });
    await using server = await serve({ disk: counted });
    // They ask and do not read: what the kernel does not take stays in their way.
    const stuck = Array.from({ length: 2 }, () => connect({ host: '127.0.0.1', port: server.port }));
    for (const socket of stuck) {
      socket.on('error', () => undefined);
      socket.pause();
      socket.write(`GET /${DIGEST}/frames/1 HTTP/1.1\r\nhost: x\r\n\r\n`);
    }
    while (reads < stuck.length) await pause(5, signal);

    const statuses = await Promise.all(
      Array.from({ length: 20 }, async () => (await server.get(`/${DIGEST}/frames/1`)).status),
    );

    assert.deepEqual(new Set(statuses), new Set([503]), 'all wait for less than a second or are refused at once');
    for (const socket of stuck) socket.destroy();
    assert.equal((await server.get(`/${DIGEST}/frames/1`)).status, 200);
  });

  it('offers a frame no more that the disk cannot give, and ends that request only', async () => {
    await using disk = await machine.openDisk('/dev/sda', { signal });
    const broken: Disk = Object.assign(Object.create(disk) as Disk, { read: () => Promise.reject(new Error('EIO')) });
    await using server = await serve({ disk: broken });

    await assert.rejects(server.get(`/${DIGEST}/frames/1`));
    assert.equal(server.held.has(1), false);
    assert.equal((await server.get(`/${DIGEST}/frames`)).status, 200);
  });

  it('ends every request before the disk is closed', async () => {
    await using disk = await machine.openDisk('/dev/sda', { signal });
    const server = await serve({ disk });
    const socket = connect({ host: '127.0.0.1', port: server.port });
    const closed = new Promise((resolve) => {
      socket.on('error', () => undefined).on('close', resolve);
    });
    socket.pause();
    socket.write(`GET /${DIGEST}/frames/1 HTTP/1.1\r\nhost: x\r\n\r\n`);
    await new Promise((resolve) => {
      setTimeout(resolve, 100);
    });

    await server[Symbol.asyncDispose]();

    socket.resume();
    await closed;
    await assert.rejects(server.get(`/${DIGEST}/frames`));
  });
});
