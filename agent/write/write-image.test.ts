import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { crc32, gzipSync, zstdCompressSync } from 'node:zlib';
import { diskImage } from '#test/support/disk-image.ts';
import {
  type Answer,
  chunked,
  cutAfter,
  hostileServer,
  stallAfter,
  status,
  untilClose,
  wholeFile,
} from '#test/support/hostile-server.ts';
import { readPartitionTable } from '#transfer/partition-table.ts';
import { pause } from '#transfer/pause.ts';
import { TinsmithError } from '../../proto/errors.ts';
import { type FolderMachine, folderMachine } from '../machine/folder-machine.ts';
import { writeGpt } from './partition-table.ts';
import { type ImageRequest, type ImageWritten, writeImage } from './write-image.ts';

const MIB = 1 << 20;
const DISK_BYTES = 8 * MIB;
const TIMING = { answerMs: 10_000, stallMs: 1000, firstPauseMs: 1, longestPauseMs: 20 };
/** For downloads that fail in the end, whatever the computer has to do beside them. */
const SOON = { retryForMs: 100 };
const LINUX = '0fc63daf-8483-4772-8e79-3d69d8477de4';
const image = diskImage();
const files: Record<string, Buffer> = {};
let folder: string;
let names = 0;

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tinsmith-write-'));
  files['raw'] = image;
  files['gz'] = gzipSync(image, { level: 1 });
  files['zst'] = zstdCompressSync(image);
  files['xz'] = await readFile('test/fixtures/write/disk-image.raw.xz');
  files['bz2'] = await readFile('test/fixtures/write/disk-image.raw.bz2');
});

after(() => rm(folder, { recursive: true, force: true }));

interface Run {
  readonly machine: FolderMachine;
  readonly result: ImageWritten | TinsmithError;
  readonly disk: Buffer;
  readonly requests: readonly string[];
}

/** Writes `body` as a server with `answers` gives it to a fresh disk full of old data. */
async function write(body: Buffer, answers: readonly Answer[], request: Partial<ImageRequest> = {}): Promise<Run> {
  await using server = await hostileServer(body, answers);
  names += 1;
  const machine = folderMachine({ folder: join(folder, String(names)), disks: { '/dev/sda': DISK_BYTES } });
  const signal = new AbortController().signal;
  const old = Buffer.alloc(DISK_BYTES, 0xa5);
  {
    await using disk = await machine.openDisk('/dev/sda', { signal });
    await disk.write(old, 0);
  }
  await using disk = await machine.openDisk('/dev/sda', { signal });
  const result = await writeImage(
    disk,
    { url: server.url, proxy: {}, retryForMs: 10_000, timing: TIMING, ...request },
    { signal, log: () => undefined, progress: () => undefined },
  ).catch((thrown: unknown) => {
    if (thrown instanceof TinsmithError) return thrown;
    throw thrown;
  });
  return { machine, result, disk: await readFile(machine.diskFile('/dev/sda')), requests: server.requests };
}

function assertWritten({ result, disk }: Run): void {
  if (result instanceof Error) throw result;
  assert.equal(result.imageBytes, image.length);
  assert.deepEqual(result.partitions, [1, 2]);
  assert.ok(disk.subarray(MIB, image.length - 64 * 1024).equals(image.subarray(MIB, image.length - 64 * 1024)));
  assert.deepEqual(readPartitionTable(disk.subarray(0, MIB), 512), readPartitionTable(image.subarray(0, MIB), 512));
}

/** Nothing was reported as done, and the disk has no partition table at either end. */
function assertRefused({ result, disk }: Run, code: string): void {
  assert.ok(result instanceof TinsmithError, 'a broken image was reported as written');
  assert.equal(result.code, code, result.message);
  const zeros = Buffer.alloc(MIB);
  const old = Buffer.alloc(MIB, 0xa5);
  for (const end of [disk.subarray(0, MIB), disk.subarray(-MIB)]) assert.ok(end.equals(zeros) || end.equals(old));
}

/** A server without ranges. */
function wholeAgain(etag: string): Answer {
  return (_request, response, body) => {
    response.writeHead(200, { etag, 'content-length': body.length });
    response.end(body);
  };
}

const dead: Answer = (_request, response) => {
  response.destroy();
};

const foreignCoding: Answer = (_request, response, body) => {
  const head = `HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\nTransfer-Encoding: gzip, chunked\r\n\r\n`;
  response.socket?.end(Buffer.concat([Buffer.from(head), body]));
};

const FORMATS = ['raw', 'gz', 'zst', 'xz', 'bz2'];

describe('writing an image', () => {
  for (const format of FORMATS) {
    const file = (): Buffer => files[format] ?? Buffer.alloc(0);

    it(`writes a ${format} image whatever its URL is called`, async () => {
      const run = await write(file(), [wholeFile]);

      assertWritten(run);
      assert.equal(run.result instanceof Error ? '' : run.result.format, format);
    });

    it(`resumes a ${format} download where it was cut, again and again`, async () => {
      const step = Math.ceil(file().length / 5);

      const run = await write(file(), [cutAfter(step)]);

      assertWritten(run);
      assert.ok(run.requests.length >= 5);
      assert.equal(run.requests[1], `GET bytes=${step}-`);
    });

    it(`skips what it has when the server of a ${format} image knows no ranges`, async () => {
      assertWritten(await write(file(), [cutAfter(file().length >> 1), wholeAgain('"v1"')]));
    });

    it(`never takes a ${format} image for complete that ends early, wherever it ends`, async () => {
      const whole = file().length;
      for (const bytes of [1, 5, 1000, whole >> 1, whole - 1000, whole - 9, whole - 1]) {
        // A server that has only a part of the file and announces just that much is the hardest case.
        const run = await write(file().subarray(0, bytes), [wholeFile]);

        if (format === 'raw' && bytes > 4.5 * MIB) continue;
        assert.ok(run.result instanceof TinsmithError, `${bytes} of ${whole} bytes were taken for the whole image`);
        assertRefused(run, 'corrupt_image');
      }
    });

    it(`gives up on a ${format} download that is cut and never continues`, async () => {
      assertRefused(await write(file(), [cutAfter(file().length - 10), dead], SOON), 'download_failed');
    });

    it(`takes a ${format} image in chunks, and not without the last chunk`, async () => {
      assertWritten(await write(file(), [chunked()]));
      assertRefused(await write(file(), [chunked({ cutAt: file().length })], SOON), 'download_failed');
    });

    it(`takes a ${format} image of unknown length only with a checksum`, async () => {
      const sha256 = createHash('sha256').update(file()).digest('hex');

      assertRefused(await write(file(), [untilClose()], SOON), 'download_failed');
      assertWritten(await write(file(), [untilClose()], { sha256 }));
      const cut = await write(file(), [untilClose(file().length - 600)], { ...SOON, sha256 });
      assert.ok(cut.result instanceof TinsmithError);
    });

    it(`refuses a ${format} image with something behind its end`, async () => {
      assertRefused(await write(Buffer.concat([file(), Buffer.from('<html>')]), [wholeFile]), 'corrupt_image');
    });

    it(`notices one changed bit in a ${format} image`, async () => {
      const sha256 = createHash('sha256').update(file()).digest('hex');
      for (const at of [file().length >> 1, file().length - 40]) {
        const damaged = Buffer.from(file());
        damaged.writeUInt8(damaged.readUInt8(at) ^ 0x10, at);

        assert.ok((await write(damaged, [wholeFile], { sha256 })).result instanceof TinsmithError);
        // zst without a frame checksum, and raw, cannot know by themselves.
        if (format !== 'raw' && format !== 'zst') assertRefused(await write(damaged, [wholeFile]), 'corrupt_image');
      }
    });
  }

  it('decodes gz members, zst frames, xz streams and bz2 streams one after the other', async () => {
    const half = 3 * MIB + 12_345;
    const parts = [image.subarray(0, half), image.subarray(half)] as const;

    assertWritten(await write(Buffer.concat(parts.map((part) => gzipSync(part))), [wholeFile]));
    assertWritten(await write(Buffer.concat(parts.map((part) => zstdCompressSync(part))), [wholeFile]));
    for (const name of ['xz', 'bz2']) {
      assertWritten(
        await write(await readFile(join('test/fixtures/write', `disk-image-in-two.raw.${name}`)), [wholeFile]),
      );
    }
  });

  it('refuses a multi-member image whose second half is cut', async () => {
    const both = Buffer.concat([gzipSync(image.subarray(0, MIB)), gzipSync(image.subarray(MIB))]);
    const frames = Buffer.concat([zstdCompressSync(image.subarray(0, MIB)), zstdCompressSync(image.subarray(MIB))]);

    assertRefused(await write(both.subarray(0, -5), [wholeFile]), 'corrupt_image');
    assertRefused(await write(frames.subarray(0, -5), [wholeFile]), 'corrupt_image');
  });

  it('touches nothing before it knows that there is an image', async () => {
    for (const answer of [status(404), status(403), status(410)]) {
      const { result, disk, requests } = await write(image, [answer]);

      assert.ok(result instanceof TinsmithError && result.code === 'download_failed');
      assert.equal(requests.length, 1);
      assert.ok(disk.equals(Buffer.alloc(DISK_BYTES, 0xa5)));
    }
    const page = await write(Buffer.from('<!DOCTYPE html><title>Sign in</title>'), [wholeFile]);
    assert.match(page.result instanceof Error ? page.result.message : '', /web page/);
    assert.ok(page.disk.equals(Buffer.alloc(DISK_BYTES, 0xa5)));
  });

  it('asks again after server errors and stalls', async () => {
    const file = files['zst'] ?? Buffer.alloc(0);

    assertWritten(await write(file, [status(503), status(500), status(429), stallAfter(1000), wholeFile]));
  });

  it('ends at once when it is cancelled in a stall', async () => {
    await using server = await hostileServer(image, [stallAfter(3 * MIB)]);
    const machine = folderMachine({ folder: join(folder, 'cancelled'), disks: { '/dev/sda': DISK_BYTES } });
    const controller = new AbortController();
    await using disk = await machine.openDisk('/dev/sda', { signal: controller.signal });
    const timing = { ...TIMING, stallMs: 60_000 };

    const writing = writeImage(
      disk,
      { url: server.url, proxy: {}, retryForMs: 0, timing },
      {
        signal: controller.signal,
        log: () => undefined,
        progress: () => controller.abort(new TinsmithError('cancelled', 'stop')),
      },
    );

    await assert.rejects(writing, { code: 'cancelled' });
  });

  it('does not mix two versions of a file', async () => {
    assertRefused(await write(image, [cutAfter(3 * MIB), wholeAgain('"v2"')]), 'download_failed');
  });

  it('starts over when a cut download cannot be resumed safely', async () => {
    const run = await write(image, [cutAfter(2 * MIB, {}), cutAfter(3 * MIB, {}), wholeFile]);

    assertWritten(run);
    assert.deepEqual(run.requests, ['GET all', 'GET all', 'GET all']);
  });

  it('refuses an image that is longer than the disk, before anything is written if it can know', async () => {
    const large = Buffer.alloc(DISK_BYTES + 1);

    const raw = await write(large, [wholeFile]);
    const gz = await write(gzipSync(large), [wholeFile]);

    assertRefused(raw, 'device_unfit');
    assert.ok(raw.disk.equals(Buffer.alloc(DISK_BYTES, 0xa5)));
    assertRefused(gz, 'device_unfit');
  });

  it('checks the sum of the file and the sum of the image', async () => {
    const gz = files['gz'] ?? Buffer.alloc(0);
    const rawSha256 = createHash('sha256').update(image).digest('hex');

    assertWritten(await write(gz, [wholeFile], { rawSha256 }));
    assertRefused(await write(gz, [wholeFile], { rawSha256: '0'.repeat(64) }), 'checksum_mismatch');
    assertRefused(await write(gz, [wholeFile], { sha256: rawSha256 }), 'checksum_mismatch');
  });

  it('takes the file as it comes when its server calls it encoded, and says so where its sum is another one', async () => {
    const gz = files['gz'] ?? Buffer.alloc(0);
    const asked: unknown[] = [];
    const encoded: Answer = (request, response, body) => {
      asked.push(request.headers['accept-encoding']);
      wholeFile(request, response.setHeader('content-encoding', 'gzip'), body);
    };

    assertWritten(await write(gz, [encoded], { sha256: createHash('sha256').update(gz).digest('hex') }));
    const wrong = await write(gz, [encoded], { sha256: createHash('sha256').update(image).digest('hex') });
    assertRefused(wrong, 'checksum_mismatch');
    const { message } = TinsmithError.from(wrong.result);
    assert.match(message, /right sum; its server calls it Content-Encoding: gzip, and it was taken as it/);
    assert.deepEqual(asked, ['identity', 'identity']);
  });

  it('moves the backup GPT to the end of the disk', async () => {
    const { disk } = await write(image, [wholeFile]);

    assert.equal(disk.toString('latin1', DISK_BYTES - 512, DISK_BYTES - 504), 'EFI PART');
    assert.equal(disk.readBigUInt64LE(512 + 32), BigInt(DISK_BYTES / 512 - 1));
  });

  it('refuses an image for disks with other blocks, a doubly compressed one and a qcow2 file', async () => {
    const other = await write(diskImage({ blockBytes: 4096 }), [wholeFile]);
    const twice = await write(gzipSync(files['gz'] ?? Buffer.alloc(0)), [wholeFile]);
    const qcow2 = await write(Buffer.concat([Buffer.from('QFI\xfb', 'latin1'), image]), [wholeFile]);

    assert.match(other.result instanceof Error ? other.result.message : '', /blocks of 4096/);
    assert.match(twice.result instanceof Error ? twice.result.message : '', /gz again/);
    assert.match(qcow2.result instanceof Error ? qcow2.result.message : '', /qcow2/);
  });

  it('refuses a partition table with one wrong bit, and one that leaves no room for its copy', async () => {
    for (const at of [512 + 20, 1024 + 33]) {
      const damaged = Buffer.from(image);
      damaged.writeUInt8(damaged.readUInt8(at) ^ 1, at);

      assertRefused(await write(damaged, [wholeFile]), 'corrupt_image');
    }
    // Cut behind its last partition when it was published, and just as long as the disk.
    const tight = Buffer.alloc(DISK_BYTES);
    const partition = { type: LINUX, guid: LINUX, name: 'root', firstBlock: 2048, lastBlock: DISK_BYTES / 512 - 1 };
    writeGpt(tight, [partition], { guid: LINUX, blockBytes: 512 });
    assertRefused(await write(tight, [wholeFile]), 'device_unfit');
  });

  it('refuses a larger partition table than usual that leaves no room for its copy', async () => {
    const blocks = DISK_BYTES / 512;
    const larger = Buffer.alloc(DISK_BYTES);
    const data = { type: LINUX, guid: 'aaaaaaaa-bbbb-4ccc-8ddd-000000000001', name: 'data', firstBlock: 2048 };
    writeGpt(larger, [{ ...data, lastBlock: blocks - 40 }], {
      guid: '11111111-2222-4333-8444-555555555555',
      blockBytes: 512,
    });
    // 256 entries instead of 128: 64 blocks, as `sgdisk --resize-table` makes them.
    larger.writeUInt32LE(256, 512 + 80);
    larger.writeUInt32LE(crc32(larger.subarray(1024, 1024 + 256 * 128)), 512 + 88);
    larger.writeUInt32LE(0, 512 + 16);
    larger.writeUInt32LE(crc32(larger.subarray(512, 512 + 92)), 512 + 16);

    assertRefused(await write(larger, [wholeFile]), 'device_unfit');
  });

  it('leaves no connection behind when the disk is too small for any image', async () => {
    const closed = Promise.withResolvers<void>();
    const answer: Answer = (_request, response, body) => {
      response.on('close', closed.resolve);
      response.writeHead(200, { 'content-length': body.length }).write(body.subarray(0, 1000));
    };
    await using server = await hostileServer(image, [answer]);
    const machine = folderMachine({ folder: join(folder, 'tiny'), disks: { '/dev/sda': 2 * MIB } });
    const signal = new AbortController().signal;
    await using disk = await machine.openDisk('/dev/sda', { signal });

    const writing = writeImage(
      disk,
      { url: server.url, proxy: {}, retryForMs: 400, timing: TIMING },
      { signal, log: () => undefined, progress: () => undefined },
    );

    await assert.rejects(writing, { code: 'device_unfit' });
    const late = pause(10_000, signal).then(() => 'open');
    if (server.requests.length > 0) assert.notEqual(await Promise.race([closed.promise, late]), 'open');
  });

  it('does not take the end of a part for the end of a file whose length nobody knows', async () => {
    const part: Answer = (request, response, body) => {
      const start = Number(/\d+/.exec(request.headers.range ?? '')?.[0]);
      const end = Math.min(start + MIB, body.length);
      response.writeHead(206, {
        etag: '"v1"',
        'content-length': end - start,
        'content-range': `bytes ${start}-${end - 1}/*`,
      });
      response.end(body.subarray(start, end));
    };
    // Without a table only the length tells that something is missing.
    const bare = Buffer.alloc(5 * MIB, 0x20);

    assertRefused(await write(bare, [chunked({ cutAt: 3 * MIB }), part], SOON), 'download_failed');
  });

  it('refuses a transfer coding that nobody asked for', async () => {
    assertRefused(await write(image, [foreignCoding], SOON), 'download_failed');
  });

  it('follows redirects, and not for ever', async () => {
    await using target = await hostileServer(image, [wholeFile]);

    assertWritten(await write(image, [status(302, { location: target.url })]));
    assertRefused(await write(image, [status(302, { location: '/again' })]), 'download_failed');
  });
});
