/** A library image whose servers or disk fail: complete all the same, or not bootable. */
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { after, before, describe, it } from 'node:test';
import { TinsmithError } from '#proto/errors.ts';
import { FRAME_BYTES } from '#proto/library-index.ts';
import { type FrameAnswer, libraryServer, rangeHead, wholeRange } from '#test/support/library-server.ts';
import { assertUnbootable, DISK_BYTES, LibraryWriteWorld, MIB } from '#test/support/library-write-world.ts';
import { strictDisk } from '#test/support/strict-disk.ts';
import { pause } from '#transfer/pause.ts';

const signal = new AbortController().signal;
let world: LibraryWriteWorld;

before(async () => {
  world = await LibraryWriteWorld.start();
});

after(() => world[Symbol.asyncDispose]());

const dead: FrameAnswer = (_range, response) => void response.destroy();
const damaged: FrameAnswer = (range, response) => {
  const bytes = Buffer.from(range.bytes);
  bytes[bytes.length >> 1] = ((bytes[bytes.length >> 1] ?? 0) + 1) & 0xff;
  response.writeHead(206, rangeHead(range)).end(bytes);
};
const cutInTheMiddle: FrameAnswer = (range, response) => {
  response.writeHead(206, rangeHead(range));
  response.write(range.bytes.subarray(0, range.bytes.length >> 1), () => response.destroy());
};
const unavailable: FrameAnswer = (_range, response) => void response.writeHead(503).end();
const otherRange: FrameAnswer = (range, response) => {
  response.writeHead(206, rangeHead({ ...range, from: range.from + 1, end: range.end + 1 })).end(range.bytes);
};
const wholeFile: FrameAnswer = (range, response) => void response.writeHead(200).end(range.bytes);
const silent: FrameAnswer = (range, response) => {
  response.writeHead(206, rangeHead(range));
  response.write(range.bytes.subarray(0, 100));
};

describe('a library image whose servers or disk fail', () => {
  it('goes on after every kind of failure that may pass, and asks only for the frames that it lacks', async () => {
    for (const answers of [
      [damaged],
      [cutInTheMiddle, cutInTheMiddle],
      [unavailable, unavailable],
      [otherRange],
      [wholeFile],
      [silent],
    ]) {
      const { result, disk } = await world.writeFresh(answers);

      assert.ok(!(result instanceof Error), `${answers[0]?.name}: ${(result as Error).message}`);
      world.assertHolds(disk);
    }
    const { result } = await world.writeFresh([(range, response) => unavailable(range, response), cutInTheMiddle]);
    assert.ok(!(result instanceof Error));
    // At most the frames that were under way come twice.
    assert.ok(result.receivedBytes <= world.packed.index.fileBytes + 2 * FRAME_BYTES);
  });

  it('gives up on a frame that comes damaged again and again, and leaves nothing that boots', async () => {
    const { result, disk } = await world.writeFresh(Array.from({ length: 200 }, () => damaged));

    assert.ok(result instanceof TinsmithError);
    assert.equal(result.code, 'checksum_mismatch');
    assert.ok(
      disk.subarray(0, MIB).every((byte) => byte === 0xa5),
      'nothing was touched for the first frame',
    );
  });

  it('gives up when no server answers for too long, and leaves nothing that boots', async () => {
    const answers = [wholeRange, ...Array.from({ length: 5000 }, () => unavailable)];
    const { result, disk } = await world.writeFresh(answers, world.packed, { retryForMs: 1000 });

    assert.ok(result instanceof TinsmithError);
    assert.equal(result.code, 'download_failed');
    assertUnbootable(disk);
  });

  it('does not count the time that it read the disk when a server does not answer at once', async () => {
    const machine = await world.machineWith(Buffer.concat([world.image.subarray(0, 11 * FRAME_BYTES)]));
    await using server = await libraryServer(world.packed, [wholeRange, dead]);
    await using disk = await machine.openDisk('/dev/sda', { signal });
    const slow = Object.assign(strictDisk(disk), {
      read: async (buffer: Uint8Array, offset: number) => {
        await pause(1200, signal);
        await disk.read(buffer, offset);
      },
    });

    const { keptBytes } = await world.writeTo(slow, [server.url], { retryForMs: 1000 });

    assert.equal(keptBytes, 10 * FRAME_BYTES);
    assert.equal(server.ranges.length, 3);
  });

  it('fails at once when the disk fails, though the server does not answer any more', { timeout: 60_000 }, async () => {
    const machine = await world.machineWith(Buffer.alloc(DISK_BYTES, 0xa5));
    await using server = await libraryServer(world.packed, [
      wholeRange,
      wholeRange,
      ...Array.from({ length: 9999 }, () => dead),
    ]);
    await using disk = await machine.openDisk('/dev/sda', { signal });
    const failing = Object.assign(strictDisk(disk), {
      write: async (buffer: Uint8Array, offset: number) => {
        if (offset < FRAME_BYTES || offset > DISK_BYTES - 2 * MIB) return disk.write(buffer, offset);
        await pause(200, signal);
        throw new TinsmithError('write_failed', 'EIO');
      },
    });

    const writing = world.writeTo(failing, [server.url], { retryForMs: 0, signal: AbortSignal.timeout(50_000) });

    await assert.rejects(writing, /EIO/);
  });

  it('moves to the next mirror when one fails', async () => {
    await using broken = await libraryServer(
      world.packed,
      Array.from({ length: 500 }, () => unavailable),
    );
    await using good = await libraryServer(world.packed);
    const machine = await world.machineWith(Buffer.alloc(DISK_BYTES, 0xa5));

    await world.write(machine, [broken.url, good.url]);

    world.assertHolds(await readFile(machine.diskFile('/dev/sda')));
    assert.ok(broken.ranges.length < 10 && good.ranges.length > 0);
  });
});
