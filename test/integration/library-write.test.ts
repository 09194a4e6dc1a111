/** A library image from a real HTTP server to a disk: complete and verified, or not bootable. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { zstdCompressSync, zstdDecompressSync } from 'node:zlib';
import { type FolderMachine, folderMachine } from '#agent/machine/folder-machine.ts';
import { type LibraryWritten, writeLibraryImage } from '#agent/write/library/write-library-image.ts';
import { MOST_BUFFER_BYTES } from '#agent/write/library/write-memory.ts';
import { readPartitionTable } from '#agent/write/partition-table.ts';
import { TinsmithError } from '#proto/errors.ts';
import { FRAME_BYTES } from '#proto/library-index.ts';
import { diskImage } from '#test/support/disk-image.ts';
import {
  type FrameAnswer,
  libraryServer,
  otherFrame,
  type PackedLibraryImage,
  packedLibraryImage,
  rangeHead,
  wholeRange,
  wrongSum,
} from '#test/support/library-server.ts';
import { strictDisk } from '#test/support/strict-disk.ts';
import { pause } from '#transfer/pause.ts';

const MIB = 1 << 20;
const FRAMES = 12;
const DISK_BYTES = FRAMES * FRAME_BYTES + 5 * MIB;
const TIMING = { answerMs: 500, stallMs: 300, firstPauseMs: 1, longestPauseMs: 20 };
const signal = new AbortController().signal;
/** Data in frames 0, 1, 4 to 8 and 11, zeros in the others; no multiple of a frame long. */
const image = makeImage();
let packed: PackedLibraryImage;
let folder: string;
let names = 0;

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tinsmith-library-'));
  packed = await packedLibraryImage(image);
});

after(() => rm(folder, { recursive: true, force: true }));

function makeImage(): Buffer {
  const whole = Buffer.alloc(FRAMES * FRAME_BYTES - 3 * 512);
  diskImage().copy(whole);
  for (const frame of [4, 5, 6, 7, 8]) randomBytes(FRAME_BYTES / 2).copy(whole, frame * FRAME_BYTES);
  whole.write('the last bytes', whole.length - 100);
  return whole;
}

function machineWith(content: Buffer, sizeBytes = DISK_BYTES): Promise<FolderMachine> {
  names += 1;
  const machine = folderMachine({ folder: join(folder, String(names)), disks: { '/dev/sda': sizeBytes } });
  return fill(machine, content);
}

async function fill(machine: FolderMachine, content: Buffer): Promise<FolderMachine> {
  await using disk = await machine.openDisk('/dev/sda', { signal });
  await disk.write(content, 0);
  return machine;
}

async function write(
  machine: FolderMachine,
  mirrors: readonly URL[],
  changes: { readonly publicKey?: string; readonly retryForMs?: number; readonly signal?: AbortSignal } = {},
): Promise<LibraryWritten> {
  await using disk = await machine.openDisk('/dev/sda', { signal });
  return await writeLibraryImage(
    disk,
    { image: 'test', mirrors, publicKey: packed.publicKey, proxy: {}, retryForMs: 2000, timing: TIMING, ...changes },
    { signal, log: () => undefined, progress: () => undefined, ...changes },
  );
}

const dead: FrameAnswer = (_range, response) => void response.destroy();

/** Serves the image, writes it to a disk full of old data. */
async function writeFresh(answers: readonly FrameAnswer[] = [], from = packed) {
  await using server = await libraryServer(from, answers);
  const machine = await machineWith(Buffer.alloc(DISK_BYTES, 0xa5));
  const result = await write(machine, [server.url]).catch((thrown: unknown) => TinsmithError.from(thrown));
  return { result, disk: await readFile(machine.diskFile('/dev/sda')), ranges: server.ranges, machine };
}

/** To a disk that takes only whole blocks; everything is read back. */
async function writeStrictly(
  from: PackedLibraryImage,
  about: { readonly sizeBytes: number; readonly blockBytes: number; readonly damagedAt: number | undefined },
) {
  await using server = await libraryServer(from);
  names += 1;
  const disks = { '/dev/sda': about.sizeBytes };
  const machine = folderMachine({ folder: join(folder, String(names)), disks, logicalBlockBytes: about.blockBytes });
  await fill(machine, Buffer.alloc(about.sizeBytes, 0xa5));
  await using disk = await machine.openDisk('/dev/sda', { signal });
  let readBack = 0;
  const result = await writeLibraryImage(
    strictDisk(disk, about.damagedAt === undefined ? {} : { damagedAt: about.damagedAt }),
    {
      image: 'test',
      mirrors: [server.url],
      publicKey: from.publicKey,
      proxy: {},
      retryForMs: 400,
      timing: TIMING,
      verifyDisk: true,
    },
    {
      signal,
      log: () => undefined,
      progress: () => undefined,
      readBack: ({ done }) => {
        readBack = done;
      },
    },
  ).catch((thrown: unknown) => TinsmithError.from(thrown));
  return { result, readBack, disk: await readFile(machine.diskFile('/dev/sda')) };
}

function assertHolds(disk: Buffer): void {
  // The GPT is stretched to the disk's end, so its own blocks differ.
  assert.ok(disk.subarray(MIB, image.length).equals(image.subarray(MIB)), 'the disk holds the image');
  assert.equal(readPartitionTable(disk.subarray(0, MIB), 512)?.partitions.length, 2);
}

function assertUnbootable(disk: Buffer): void {
  assert.ok(
    disk.subarray(0, MIB).every((byte) => byte === 0),
    'the first MiB is zeros',
  );
  assert.ok(
    disk.subarray(disk.length - MIB).every((byte) => byte === 0),
    'the last MiB is zeros',
  );
}

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

describe('writing a library image', () => {
  it('writes the whole image, and fetches no frame of zeros', async () => {
    const { result, disk, ranges } = await writeFresh();

    assert.ok(!(result instanceof Error), `failed: ${(result as Error).message}`);
    assertHolds(disk);
    assert.deepEqual(result.partitions, [1, 2]);
    const data = packed.index.frames.filter(({ sums }) => sums !== undefined);
    assert.equal(
      ranges.reduce((sum, [from, end]) => sum + end - from, 0),
      data.reduce((sum, { fileBytes }) => sum + fileBytes, 0),
    );
  });

  it('makes zeros where the image has them, whatever lay there', async () => {
    const { disk } = await writeFresh();

    assert.ok(disk.subarray(2 * FRAME_BYTES, 4 * FRAME_BYTES).every((byte) => byte === 0));
  });

  it('goes on after every kind of failure that may pass, and asks only for the frames that it lacks', async () => {
    for (const answers of [
      [damaged],
      [cutInTheMiddle, cutInTheMiddle],
      [unavailable, unavailable],
      [otherRange],
      [wholeFile],
      [silent],
    ]) {
      const { result, disk } = await writeFresh(answers);

      assert.ok(!(result instanceof Error), `${answers[0]?.name}: ${(result as Error).message}`);
      assertHolds(disk);
    }
    const { result } = await writeFresh([(range, response) => unavailable(range, response), cutInTheMiddle]);
    assert.ok(!(result instanceof Error));
    // At most the frames that were under way come twice.
    assert.ok(result.receivedBytes <= packed.index.fileBytes + 2 * FRAME_BYTES);
  });

  it('gives up on a frame that comes damaged again and again, and leaves nothing that boots', async () => {
    const { result, disk } = await writeFresh(Array.from({ length: 200 }, () => damaged));

    assert.ok(result instanceof TinsmithError);
    assert.equal(result.code, 'checksum_mismatch');
    assert.ok(
      disk.subarray(0, MIB).every((byte) => byte === 0xa5),
      'nothing was touched for the first frame',
    );
  });

  it('gives up when no server answers for too long, and leaves nothing that boots', async () => {
    const { result, disk } = await writeFresh([
      (range, response) => void response.writeHead(206, rangeHead(range)).end(range.bytes),
      ...Array.from({ length: 5000 }, () => unavailable),
    ]);

    assert.ok(result instanceof TinsmithError);
    assert.equal(result.code, 'download_failed');
    assertUnbootable(disk);
  });

  it('does not count the time that it read the disk when a server does not answer at once', async () => {
    const machine = await machineWith(Buffer.concat([image.subarray(0, 11 * FRAME_BYTES)]));
    await using server = await libraryServer(packed, [wholeRange, dead]);
    await using disk = await machine.openDisk('/dev/sda', { signal });
    const slow = Object.assign(strictDisk(disk), {
      read: async (buffer: Uint8Array, offset: number) => {
        await pause(500, signal);
        await disk.read(buffer, offset);
      },
    });

    const { keptBytes } = await writeLibraryImage(
      slow,
      {
        image: 'test',
        mirrors: [server.url],
        publicKey: packed.publicKey,
        proxy: {},
        retryForMs: 300,
        timing: TIMING,
      },
      { signal, log: () => undefined, progress: () => undefined },
    );

    assert.equal(keptBytes, 10 * FRAME_BYTES);
    assert.equal(server.ranges.length, 3);
  });

  it('fails at once when the disk fails, though the server does not answer any more', { timeout: 20_000 }, async () => {
    const machine = await machineWith(Buffer.alloc(DISK_BYTES, 0xa5));
    await using server = await libraryServer(packed, [
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

    const writing = writeLibraryImage(
      failing,
      { image: 'test', mirrors: [server.url], publicKey: packed.publicKey, proxy: {}, retryForMs: 0, timing: TIMING },
      { signal: AbortSignal.timeout(10_000), log: () => undefined, progress: () => undefined },
    );

    await assert.rejects(writing, /EIO/);
  });

  it('writes the one or the other when the name gets another image while its index is fetched', async () => {
    const other = await packedLibraryImage(Buffer.concat([diskImage(), Buffer.alloc(4 * FRAME_BYTES)]));
    let asked = 0;
    const files = Object.defineProperty({ ...other.files }, 'index.json', {
      get: () => (asked++ === 0 ? packed.files : other.files)['index.json'],
    });

    const { result } = await writeFresh([], { ...other, files });

    if (result instanceof Error) throw result;
    assert.equal(result.imageBytes, other.index.imageBytes);
  });

  it('never writes a frame that holds something else than its own sum says, whoever signed it', async () => {
    const other = otherFrame(packed, wrongSum);
    const { result, disk } = await writeFresh([], other);

    assert.ok(result instanceof TinsmithError);
    assert.equal(result.code, 'corrupt_image');
    assertUnbootable(disk);
  });

  it('never writes a frame without a sum of its own that the index does not vouch for, whoever signed it', async () => {
    const other = otherFrame(packed, (frame) => zstdCompressSync(zstdDecompressSync(frame).fill(1, 0, 1)));
    const { result, disk } = await writeFresh([], other);

    assert.ok(result instanceof TinsmithError);
    assert.equal(result.code, 'checksum_mismatch');
    assertUnbootable(disk);
  });

  it('writes frames without sums of their own, as other programs make them', async () => {
    const other = otherFrame(packed, (frame) => zstdCompressSync(zstdDecompressSync(frame)));
    const { result, disk } = await writeFresh([], other);

    assert.ok(!(result instanceof TinsmithError));
    assertHolds(disk);
  });

  it('refuses an index that the server did not sign, before anything is touched', async () => {
    const signature = Buffer.from(Buffer.alloc(64, 7).toString('base64'));
    const { result, disk } = await writeFresh([], { ...packed, files: { ...packed.files, 'index.sig': signature } });

    assert.ok(result instanceof TinsmithError);
    assert.equal(result.code, 'corrupt_image');
    assert.ok(disk.every((byte) => byte === 0xa5));
  });

  it('refuses an image that is larger than the disk, with both numbers, before the first byte', async () => {
    await using server = await libraryServer(packed);
    const machine = await machineWith(Buffer.alloc(8 * MIB, 0xa5), 8 * MIB);

    await assert.rejects(write(machine, [server.url]), { code: 'device_unfit', message: /8388608.*50330112/s });
    assert.ok((await readFile(machine.diskFile('/dev/sda'))).every((byte) => byte === 0xa5));
    assert.deepEqual(server.ranges, []);
  });

  it('moves to the next mirror when one fails', async () => {
    await using broken = await libraryServer(
      packed,
      Array.from({ length: 500 }, () => unavailable),
    );
    await using good = await libraryServer(packed);
    const machine = await machineWith(Buffer.alloc(DISK_BYTES, 0xa5));

    await write(machine, [broken.url, good.url]);

    assertHolds(await readFile(machine.diskFile('/dev/sda')));
    assert.ok(broken.ranges.length < 10 && good.ranges.length > 0);
  });

  it('fetches next to nothing when the disk holds the image already', async () => {
    await using server = await libraryServer(packed);
    const machine = await machineWith(Buffer.alloc(DISK_BYTES, 0xa5));
    await write(machine, [server.url]);

    const again = await write(machine, [server.url]);

    assertHolds(await readFile(machine.diskFile('/dev/sda')));
    // The first frame touches the disk's end, the last one is no whole frame.
    assert.ok(again.keptBytes >= (FRAMES - 2) * FRAME_BYTES, String(again.keptBytes));
    assert.ok(again.receivedBytes < packed.index.fileBytes / 4);
  });

  it('fetches only the frames that changed since the last installation', async () => {
    await using server = await libraryServer(packed);
    const machine = await machineWith(Buffer.alloc(DISK_BYTES, 0xa5));
    await write(machine, [server.url]);
    {
      await using disk = await machine.openDisk('/dev/sda', { signal });
      await disk.write(Buffer.alloc(512, 'other'), 6 * FRAME_BYTES + 1024);
    }

    const again = await write(machine, [server.url]);

    assertHolds(await readFile(machine.diskFile('/dev/sda')));
    // All but the first frame, which touches the end of the disk, and the changed one.
    assert.equal(again.keptBytes, image.length - 2 * FRAME_BYTES);
  });

  it('finds what a cut write left scattered behind frames that are missing', async () => {
    const found = Buffer.from(image);
    for (const missing of [2, 3, 4, 5, 6, 7]) found.write('something else', missing * FRAME_BYTES);
    const machine = await machineWith(found);
    await using server = await libraryServer(packed);
    const { keptBytes } = await write(machine, [server.url]);

    assert.equal(keptBytes, image.length - 7 * FRAME_BYTES);
    assertHolds(await readFile(machine.diskFile('/dev/sda')));
  });

  for (const [what, blockBytes, sizeBytes] of [
    ['with blocks of 4096 bytes', 4096, DISK_BYTES],
    ['that is no multiple of 4 MiB', 512, DISK_BYTES + 512],
    ['whose last MiB the image reaches', 512, image.length + 512 * 1024],
  ] as const) {
    it(`reads everything back from a disk ${what}, and finds one wrong bit`, async () => {
      const whole = diskImage({ sizeBytes: image.length, blockBytes });
      const odd = await packedLibraryImage(whole);
      for (const damagedAt of [undefined, MIB, 2 * FRAME_BYTES + 5, Math.min(image.length, sizeBytes - MIB) - 1]) {
        const { result, disk, readBack } = await writeStrictly(odd, { sizeBytes, blockBytes, damagedAt });

        if (damagedAt === undefined) {
          assert.ok(!(result instanceof Error), `failed: ${(result as Error).message}`);
          assert.ok(disk.subarray(MIB, 5 * MIB).equals(whole.subarray(MIB, 5 * MIB)));
          assert.equal(readBack, image.length);
          continue;
        }
        assert.ok(result instanceof TinsmithError, `byte ${damagedAt} is wrong and nobody noticed`);
        assert.equal(result.code, 'write_failed');
        assertUnbootable(disk);
      }
    });
  }

  it('goes on where it was ended: another run finds what is on the disk', async () => {
    await using server = await libraryServer(packed);
    const machine = await machineWith(Buffer.alloc(DISK_BYTES, 0xa5));
    const stop = new AbortController();
    let frames = 0;
    {
      await using disk = await machine.openDisk('/dev/sda', { signal });
      const events = {
        signal: stop.signal,
        log: () => undefined,
        progress: () => {
          frames += 1;
          if (frames === 8) stop.abort(new TinsmithError('cancelled', 'power cut'));
        },
      };
      const request = {
        image: 'test',
        mirrors: [server.url],
        publicKey: packed.publicKey,
        proxy: {},
        retryForMs: 2000,
        timing: TIMING,
      };
      await assert.rejects(writeLibraryImage(disk, request, events), { code: 'cancelled' });
    }
    assertUnbootable(await readFile(machine.diskFile('/dev/sda')));

    const again = await write(machine, [server.url]);

    assertHolds(await readFile(machine.diskFile('/dev/sda')));
    assert.ok(again.keptBytes >= 5 * FRAME_BYTES, String(again.keptBytes));
  });

  it('takes no more than 64 MiB for buffers, what hashing copies and what was thrown away included', async () => {
    await using server = await libraryServer(packed);
    const keyFile = join(folder, 'library.pem');
    await writeFile(keyFile, packed.publicKey);
    const script = fileURLToPath(import.meta.resolve('#test/support/write-library-image.ts'));
    const argv = [script, server.url.href, keyFile, join(folder, 'memory'), String(DISK_BYTES)];

    const { stdout } = await promisify(execFile)(process.execPath, argv);

    const { bufferBytes, plainBytes } = JSON.parse(stdout) as { bufferBytes: number; plainBytes: number };
    assert.ok(bufferBytes > 5 * FRAME_BYTES && bufferBytes <= MOST_BUFFER_BYTES, String(bufferBytes));
    assert.ok(plainBytes > 5 * FRAME_BYTES && plainBytes <= bufferBytes, `${plainBytes} of ${bufferBytes}`);
  });
});
