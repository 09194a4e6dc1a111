/** A library image from a real HTTP server to a disk: complete and verified, or not bootable. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { zstdCompressSync, zstdDecompressSync } from 'node:zlib';
import { MOST_BUFFER_BYTES } from '#agent/write/write-memory.ts';
import { TinsmithError } from '#proto/errors.ts';
import { FRAME_BYTES } from '#proto/library-index.ts';
import { diskImage } from '#test/support/disk-image.ts';
import {
  libraryServer,
  otherFrame,
  type PackedLibraryImage,
  packedLibraryImage,
  wrongSum,
} from '#test/support/library-server.ts';
import {
  assertUnbootable,
  DISK_BYTES,
  IMAGE_BYTES,
  LibraryWriteWorld,
  MIB,
} from '#test/support/library-write-world.ts';
import { strictDisk } from '#test/support/strict-disk.ts';

const signal = new AbortController().signal;
let world: LibraryWriteWorld;

before(async () => {
  world = await LibraryWriteWorld.start();
});

after(() => world[Symbol.asyncDispose]());

/** To a disk that takes only whole blocks; everything is read back. */
async function writeStrictly(
  from: PackedLibraryImage,
  about: { readonly sizeBytes: number; readonly blockBytes: number; readonly damagedAt: number | undefined },
) {
  await using server = await libraryServer(from);
  const { sizeBytes, blockBytes } = about;
  const machine = await world.machineWith(Buffer.alloc(sizeBytes, 0xa5), sizeBytes, blockBytes);
  await using disk = await machine.openDisk('/dev/sda', { signal });
  let readBack = 0;
  const result = await world
    .writeTo(strictDisk(disk, about.damagedAt === undefined ? {} : { damagedAt: about.damagedAt }), [server.url], {
      publicKey: from.publicKey,
      retryForMs: 400,
      verifyDisk: true,
      readBack: ({ done }) => {
        readBack = done;
      },
    })
    .catch((thrown: unknown) => TinsmithError.from(thrown));
  return { result, readBack, disk: await readFile(machine.diskFile('/dev/sda')) };
}

describe('writing a library image', () => {
  it('writes the whole image, and fetches no frame of zeros', async () => {
    const { result, disk, ranges } = await world.writeFresh();

    assert.ok(!(result instanceof Error), `failed: ${(result as Error).message}`);
    world.assertHolds(disk);
    assert.deepEqual(result.partitions, [1, 2]);
    const data = world.packed.index.frames.filter(({ sums }) => sums !== undefined);
    assert.equal(
      ranges.reduce((sum, [from, end]) => sum + end - from, 0),
      data.reduce((sum, { fileBytes }) => sum + fileBytes, 0),
    );
  });

  it('makes zeros where the image has them, whatever lay there', async () => {
    const { disk } = await world.writeFresh();

    assert.ok(disk.subarray(2 * FRAME_BYTES, 4 * FRAME_BYTES).every((byte) => byte === 0));
  });

  it('writes the one or the other when the name gets another image while its index is fetched', async () => {
    const other = await packedLibraryImage(Buffer.concat([diskImage(), Buffer.alloc(4 * FRAME_BYTES)]));
    let asked = 0;
    const files = Object.defineProperty({ ...other.files }, 'index.json', {
      get: () => (asked++ === 0 ? world.packed.files : other.files)['index.json'],
    });

    const { result } = await world.writeFresh([], { ...other, files });

    if (result instanceof Error) throw result;
    assert.equal(result.imageBytes, other.index.imageBytes);
  });

  it('never writes a frame that holds something else than its own sum says, whoever signed it', async () => {
    const other = otherFrame(world.packed, wrongSum);
    const { result, disk } = await world.writeFresh([], other, { retryForMs: 1000 });

    assert.ok(result instanceof TinsmithError);
    assert.equal(result.code, 'corrupt_image');
    assertUnbootable(disk);
  });

  it('never writes a frame without a sum of its own that the index does not vouch for, whoever signed it', async () => {
    const other = otherFrame(world.packed, (frame) => zstdCompressSync(zstdDecompressSync(frame).fill(1, 0, 1)));
    const { result, disk } = await world.writeFresh([], other);

    assert.ok(result instanceof TinsmithError);
    assert.equal(result.code, 'checksum_mismatch');
    assertUnbootable(disk);
  });

  it('writes frames without sums of their own, as other programs make them', async () => {
    const other = otherFrame(world.packed, (frame) => zstdCompressSync(zstdDecompressSync(frame)));
    const { result, disk } = await world.writeFresh([], other);

    assert.ok(!(result instanceof TinsmithError));
    world.assertHolds(disk);
  });

  it('refuses an index that the server did not sign, before anything is touched', async () => {
    const signature = Buffer.from(Buffer.alloc(64, 7).toString('base64'));
    const { result, disk } = await world.writeFresh([], {
      ...world.packed,
      files: { ...world.packed.files, 'index.sig': signature },
    });

    assert.ok(result instanceof TinsmithError);
    assert.equal(result.code, 'corrupt_image');
    assert.ok(disk.every((byte) => byte === 0xa5));
  });

  it('refuses an image that is larger than the disk, with both numbers, before the first byte', async () => {
    await using server = await libraryServer(world.packed);
    const machine = await world.machineWith(Buffer.alloc(8 * MIB, 0xa5), 8 * MIB);

    await assert.rejects(world.write(machine, [server.url]), { code: 'device_unfit', message: /8388608.*50330112/s });
    assert.ok((await readFile(machine.diskFile('/dev/sda'))).every((byte) => byte === 0xa5));
    assert.deepEqual(server.ranges, []);
  });

  for (const [what, blockBytes, sizeBytes] of [
    ['with blocks of 4096 bytes', 4096, DISK_BYTES],
    ['that is no multiple of 4 MiB', 512, DISK_BYTES + 512],
    ['whose last MiB the image reaches', 512, IMAGE_BYTES + 512 * 1024],
  ] as const) {
    it(`reads everything back from a disk ${what}, and finds one wrong bit`, async () => {
      const whole = diskImage({ sizeBytes: IMAGE_BYTES, blockBytes });
      const odd = await packedLibraryImage(whole);
      for (const damagedAt of [undefined, MIB, 2 * FRAME_BYTES + 5, Math.min(IMAGE_BYTES, sizeBytes - MIB) - 1]) {
        const { result, disk, readBack } = await writeStrictly(odd, { sizeBytes, blockBytes, damagedAt });

        if (damagedAt === undefined) {
          assert.ok(!(result instanceof Error), `failed: ${(result as Error).message}`);
          assert.ok(disk.subarray(MIB, 5 * MIB).equals(whole.subarray(MIB, 5 * MIB)));
          assert.equal(readBack, IMAGE_BYTES);
          continue;
        }
        assert.ok(result instanceof TinsmithError, `byte ${damagedAt} is wrong and nobody noticed`);
        assert.equal(result.code, 'write_failed');
        assertUnbootable(disk);
      }
    });
  }

  it('takes no more than 64 MiB for buffers, what was thrown away included', async () => {
    await using server = await libraryServer(world.packed);
    const keyFile = join(world.folder, 'library.pem');
    await writeFile(keyFile, world.packed.publicKey);
    const script = fileURLToPath(import.meta.resolve('#test/support/write-library-image.ts'));
    const argv = [script, server.url.href, keyFile, join(world.folder, 'memory'), String(DISK_BYTES)];

    const { stdout } = await promisify(execFile)(process.execPath, argv);

    const { bufferBytes, plainBytes } = JSON.parse(stdout) as { bufferBytes: number; plainBytes: number };
    assert.ok(bufferBytes > 5 * FRAME_BYTES && bufferBytes <= MOST_BUFFER_BYTES, String(bufferBytes));
    assert.ok(plainBytes > 5 * FRAME_BYTES && plainBytes <= bufferBytes, `${plainBytes} of ${bufferBytes}`);
  });
});
