/** Raw images whose writing was ended in the middle: the next run fetches what is missing, and believes nothing unread. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, open, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { crc32 } from 'node:zlib';
import { diskImage } from '#test/support/disk-image.ts';
import { type Answer, cutAfter, hostileServer, wholeFile } from '#test/support/hostile-server.ts';
import { quietPort } from '#test/support/quiet-port.ts';
import { strictDisk } from '#test/support/strict-disk.ts';
import { readPartitionTable } from '#transfer/partition-table.ts';
import { pause } from '#transfer/pause.ts';
import { TinsmithError } from '../../proto/errors.ts';
import { type FolderMachine, folderMachine } from '../machine/folder-machine.ts';
import { type ImageRequest, writeImage } from './write-image.ts';

const MIB = 1 << 20;
const PIECE = 4 * MIB;
const DISK_BYTES = 45 * MIB + 512;
// Nothing stalls here: on a busy machine a short limit would end a download before it was to be cut.
const TIMING = { answerMs: 5000, stallMs: 5000, firstPauseMs: 1, longestPauseMs: 20, farMs: 60_000 };
const image = makeImage();
const SHA256 = createHash('sha256').update(image).digest('hex');
const { signal } = new AbortController();
let folder: string;
let names = 0;
const servers: AsyncDisposable[] = [];

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tinsmith-resume-'));
});

afterEach(async () => {
  for (const server of servers.splice(0)) await server[Symbol.asyncDispose]();
});

after(() => rm(folder, { recursive: true, force: true }));

function makeImage(): Buffer {
  const whole = diskImage({ sizeBytes: 42 * MIB + 1536 });
  for (let piece = 2; piece < 10; piece++) randomBytes(64 * 1024).copy(whole, piece * PIECE + 4096);
  return whole;
}

function newMachine(): FolderMachine {
  names += 1;
  return folderMachine({ folder: join(folder, String(names)), disks: { '/dev/sda': DISK_BYTES } });
}

const dead: Answer = (_request, response) => {
  response.destroy();
};

const anotherFile: Answer = (_request, response, body) =>
  void response.writeHead(200, { etag: '"v2"', 'content-length': body.length }).end(body);

async function run(
  machine: FolderMachine,
  url: string,
  request: Partial<ImageRequest> = {},
): Promise<'written' | TinsmithError> {
  await using disk = await machine.openDisk('/dev/sda', { signal });
  return await writeImage(
    strictDisk(disk),
    { url, proxy: {}, retryForMs: 100, timing: TIMING, journalEveryMs: 10, sha256: SHA256, ...request },
    { signal, log: () => undefined, progress: () => undefined },
  ).then(
    () => 'written' as const,
    (thrown: unknown) => TinsmithError.from(thrown),
  );
}

/** A disk on which the download failed for good after 30 MiB. The server goes on with `then`. */
async function interrupted(then: readonly Answer[]) {
  const machine = newMachine();
  const server = await hostileServer(image, [cutAfter(30 * MIB), ...Array.from({ length: 200 }, () => dead)], {
    port: await quietPort(),
  });
  const { url } = server;
  const result = await run(machine, url);
  assert.ok(result instanceof TinsmithError && result.code === 'download_failed', String(result));
  await server[Symbol.asyncDispose]();
  const again = await hostileServer(image, then, { port: Number(new URL(url).port) });
  servers.push(again);
  return { machine, server: again, url };
}

async function content(machine: FolderMachine): Promise<Buffer> {
  return readFile(machine.diskFile('/dev/sda'));
}

async function change(machine: FolderMachine, offset: number): Promise<void> {
  await using file = await open(machine.diskFile('/dev/sda'), 'r+');
  const { buffer } = await file.read(Buffer.alloc(1), 0, 1, offset);
  await file.write(Buffer.from([(buffer[0] ?? 0) ^ 1]), 0, 1, offset);
}

/** Another byte in a piece, and a journal that says that it has to be there. */
async function plant(machine: FolderMachine, offset: number): Promise<void> {
  await change(machine, offset);
  const disk = await content(machine);
  const piece = Math.floor(offset / PIECE);
  await using file = await open(machine.diskFile('/dev/sda'), 'r+');
  for (const copy of [0, 1]) {
    const at = DISK_BYTES - MIB + copy * 448 * 1024;
    const journal = Buffer.from(disk.subarray(at, at + 448 * 1024));
    if (!journal.toString('latin1').startsWith('tinsmith-journal')) continue;
    journal.writeUInt32LE(crc32(disk.subarray(piece * PIECE, (piece + 1) * PIECE)), 4096 + 4 * piece);
    journal.fill(0, 64, 96);
    createHash('sha256').update(journal).digest().copy(journal, 64);
    await file.write(journal, 0, journal.length, at);
  }
}

async function assertWritten(machine: FolderMachine): Promise<void> {
  const disk = await content(machine);
  const end = image.length - 64 * 1024;
  assert.ok(disk.subarray(MIB, end).equals(image.subarray(MIB, end)), 'the disk holds the image');
  assert.equal(readPartitionTable(disk.subarray(0, MIB), 512)?.partitions.length, 2);
  assert.equal(disk.indexOf('tinsmith-journal'), -1, 'the journal is gone');
}

/** Of a request for the rest of the file. */
function startOf(request: string | undefined): number {
  return Number(/bytes=(\d+)-/.exec(request ?? '')?.[1] ?? 0);
}

describe('a raw image whose writing was ended', () => {
  it('is gone on with where it was, and the disk does not boot before', async () => {
    const { machine, server, url } = await interrupted([wholeFile]);
    const half = await content(machine);

    assert.equal(readPartitionTable(half.subarray(0, MIB), 512), undefined);
    assert.ok(half.subarray(0, MIB).equals(Buffer.alloc(MIB)), 'the start is zeros');
    assert.ok(half.subarray(-128 * 1024).equals(Buffer.alloc(128 * 1024)), 'so is where the copy of a table would be');
    assert.equal(await run(machine, url, { verifyDisk: true }), 'written');
    await assertWritten(machine);
    // The first MiB is not on the disk: it comes last.
    assert.deepEqual(server.requests, ['GET all', `GET bytes=${28 * MIB}-`]);
  });

  it('is checked as a whole, by the sum of the file or of the image', async () => {
    for (const sums of [{ rawSha256: SHA256 }, { rawSha256: '0'.repeat(64) }, { sha256: '0'.repeat(64) }]) {
      const { machine, server, url } = await interrupted([wholeFile]);

      const result = await run(machine, url, sums);

      assert.equal(server.requests.length, 2);
      if (result === 'written') {
        await assertWritten(machine);
        continue;
      }
      assert.equal(result.code, 'checksum_mismatch');
      const disk = await content(machine);
      assert.ok(disk.subarray(0, MIB).equals(Buffer.alloc(MIB)) && disk.subarray(-MIB).equals(Buffer.alloc(MIB)));
    }
  });

  it('is not believed when a former owner of the disk wrote the journal, and the next try starts anew', async () => {
    const { machine, server, url } = await interrupted([wholeFile]);
    await plant(machine, 2 * PIECE + 4096);

    const result = await run(machine, url);

    assert.ok(result instanceof TinsmithError && result.code === 'checksum_mismatch', String(result));
    assert.equal(await run(machine, url), 'written');
    await assertWritten(machine);
    assert.deepEqual(server.requests, ['GET all', `GET bytes=${28 * MIB}-`, 'GET all']);
  });

  it('is fetched anew when nobody gave a sum to check it by', async () => {
    const { machine, server, url } = await interrupted([wholeFile]);
    await using disk = await machine.openDisk('/dev/sda', { signal });

    await writeImage(
      disk,
      { url, proxy: {}, retryForMs: 100, timing: TIMING },
      { signal, log: () => undefined, progress: () => undefined },
    );

    await assertWritten(machine);
    assert.deepEqual(server.requests, ['GET all']);
  });

  it('is fetched again from where the disk does not hold what the journal says', async () => {
    const { machine, server, url } = await interrupted([wholeFile]);
    await change(machine, 3 * PIECE + 77);

    assert.equal(await run(machine, url), 'written');
    await assertWritten(machine);
    assert.deepEqual(server.requests, ['GET all', `GET bytes=${3 * PIECE}-`]);
  });

  it('is fetched anew when both copies of the journal are damaged', async () => {
    const { machine, server, url } = await interrupted([wholeFile]);
    for (const copy of [0, 1]) await change(machine, DISK_BYTES - MIB + copy * 448 * 1024 + 4096);

    assert.equal(await run(machine, url), 'written');
    await assertWritten(machine);
    assert.deepEqual(server.requests, ['GET all']);
  });

  it('is fetched anew when the file, or the URL, is another one', async () => {
    const changed = await interrupted([anotherFile]);
    const moved = await interrupted([wholeFile]);

    assert.equal(await run(changed.machine, changed.url), 'written');
    assert.equal(await run(moved.machine, `${moved.url}?other`), 'written');
    await assertWritten(changed.machine);
    await assertWritten(moved.machine);
    assert.deepEqual([changed.server.requests, moved.server.requests], [['GET all'], ['GET all']]);
  });

  it('keeps what it had when it is ended again while it looks', async () => {
    const { machine, server, url } = await interrupted([cutAfter(MIB), ...Array.from({ length: 200 }, () => dead)]);
    const result = await run(machine, url);
    assert.ok(result instanceof TinsmithError && result.code === 'download_failed');
    await server[Symbol.asyncDispose]();
    servers.length = 0;
    await using again = await hostileServer(image, [wholeFile], { port: Number(new URL(url).port) });

    assert.equal(await run(machine, url), 'written');
    await assertWritten(machine);
    assert.deepEqual(again.requests, ['GET all', `GET bytes=${28 * MIB}-`]);
  });

  it('is not written when a flush failed that only the journal asked for', async () => {
    const machine = newMachine();
    await using server = await hostileServer(image, [wholeFile]);
    await using disk = await machine.openDisk('/dev/sda', { signal });
    let flushes = 0;
    // A disk says once that it lost what it had taken. The second flush is the first of the journal; it ends after the last byte.
    const forgetful = Object.assign(strictDisk(disk), {
      flush: async () => {
        flushes += 1;
        if (flushes !== 2) return disk.flush();
        await pause(1000, signal);
        throw new TinsmithError('write_failed', 'cannot flush /dev/sda: EIO');
      },
    });

    const writing = writeImage(
      forgetful,
      { url: server.url, proxy: {}, retryForMs: 100, timing: TIMING, journalEveryMs: 1, sha256: SHA256 },
      { signal, log: () => undefined, progress: () => undefined },
    );

    await assert.rejects(writing, /EIO/);
    assert.ok((await content(machine)).subarray(0, MIB).equals(Buffer.alloc(MIB)), 'the disk does not boot');
  });

  it('is finished by agents that are killed again and again', async () => {
    let sentBytes = 0;
    // Fast up to here, then just so fast that a run does not end before it is killed.
    let gate = 0;
    const slowly: Answer = (request, response, body) => {
      let at = startOf(request.headers.range);
      const headers = { etag: '"v1"', 'content-length': body.length - at };
      const range = { 'content-range': `bytes ${at}-${body.length - 1}/${body.length}` };
      response.writeHead(at === 0 ? 200 : 206, at === 0 ? headers : { ...headers, ...range });
      const timer = setInterval(() => {
        if (response.writableNeedDrain) return;
        const end = Math.min(body.length, at + (at < gate ? MIB : 64 * 1024));
        sentBytes += end - at;
        response.write(body.subarray(at, end));
        at = end;
        if (at === body.length) response.end();
      }, 10);
      response.on('close', () => clearInterval(timer));
    };
    await using server = await hostileServer(image, [slowly]);
    const machine = newMachine();
    await (await machine.openDisk('/dev/sda', { signal }))[Symbol.asyncDispose]();
    const script = fileURLToPath(import.meta.resolve('#test/support/write-image-process.ts'));
    const argv = [script, server.url, join(folder, String(names)), String(DISK_BYTES), SHA256];
    const start = () => spawn(process.execPath, argv, { stdio: ['ignore', 'ignore', 'inherit'] });

    for (const pieces of [4, 5, 7, 8]) {
      gate = (pieces + 1) * PIECE;
      const agent = start();
      const gone = once(agent, 'close');
      while ((await journalledPieces(machine)) < pieces) await pause(5, AbortSignal.timeout(60_000));
      agent.kill('SIGKILL');
      assert.deepEqual(await gone, [null, 'SIGKILL']);
      assert.equal(readPartitionTable((await content(machine)).subarray(0, MIB), 512), undefined);
    }
    gate = image.length;
    const [code] = await once(start(), 'close');

    assert.equal(code, 0);
    await assertWritten(machine);
    // Each time the first MiB, and what was under way or not yet flushed.
    assert.ok(sentBytes < image.length + 4 * 12 * MIB, `${sentBytes} bytes were sent`);
  });
});

async function journalledPieces(machine: FolderMachine): Promise<number> {
  const disk = await content(machine);
  const copies = [0, 1].map((copy) => DISK_BYTES - MIB + copy * 448 * 1024);
  return Math.max(...copies.map((at) => disk.readUInt32LE(at + 20)));
}
