import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { mkdtempDisposable, readFile, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { TinsmithError } from '#proto/errors.ts';
import {
  imageFixture,
  type RangeServer,
  type RangeServerOptions,
  rangeServer,
} from '#test/support/disk-image-fixtures.ts';
import { folderMachine } from '../../machine/folder-machine.ts';
import { type DiskImageRequest, type DiskImageWritten, writeDiskImage } from './write-disk-image.ts';

const MIB = 1 << 20;
const IMAGE_BYTES = 12 * MIB;
const DISK_BYTES = 16 * MIB;
const TIMING = { answerMs: 10_000, stallMs: 10_000, firstPauseMs: 5, longestPauseMs: 20 };

interface Outcome {
  readonly written?: DiskImageWritten;
  readonly error?: TinsmithError;
  readonly disk: Buffer;
  readonly requests: readonly string[];
}

interface Attempt extends RangeServerOptions {
  readonly request?: Partial<DiskImageRequest>;
  readonly diskBytes?: number;
  readonly blockBytes?: number;
  /** Beside the image. */
  readonly files?: Readonly<Record<string, Buffer>>;
}

/** Writes an image, given as its bytes, to a disk that was full of other bytes. */
async function write(image: Buffer, attempt: Attempt = {}): Promise<Outcome> {
  await using server = await rangeServer({ image, ...attempt.files }, attempt);
  return await writeFrom(server, attempt);
}

async function writeFrom(
  server: RangeServer,
  { request, diskBytes = DISK_BYTES, blockBytes = 512 }: Attempt,
): Promise<Outcome> {
  await using folder = await mkdtempDisposable(join(tmpdir(), 'tinsmith-image-'));
  const machine = folderMachine({
    folder: folder.path,
    disks: { '/dev/sda': diskBytes },
    logicalBlockBytes: blockBytes,
  });
  const signal = AbortSignal.timeout(60_000);
  await (await machine.openDisk('/dev/sda', { signal }))[Symbol.asyncDispose]();
  await writeFile(machine.diskFile('/dev/sda'), randomBytes(diskBytes));
  const outcome = await (async () => {
    await using disk = await machine.openDisk('/dev/sda', { signal });
    try {
      return {
        written: await writeDiskImage(
          disk,
          { url: `${server.url}/image`, proxy: {}, retryForMs: 10_000, timing: TIMING, ...request },
          { signal, log: () => undefined, progress: () => undefined },
        ),
      };
    } catch (thrown) {
      assert.ok(thrown instanceof TinsmithError, String(thrown));
      return { error: thrown };
    }
  })();
  return { ...outcome, disk: await readFile(machine.diskFile('/dev/sda')), requests: server.requests };
}

/** But for the table's place at the end, which moves with the disk, the disk holds the image. */
function requireImage({ disk, error }: Outcome, raw = imageFixture('raw.img')): void {
  assert.equal(error, undefined);
  assert.equal(withoutHeader(disk).equals(withoutHeader(raw)), true);
  assert.equal(disk.toString('latin1', 512, 520), 'EFI PART');
}

const withoutHeader = (bytes: Buffer): Buffer => bytes.subarray(2 * 512, IMAGE_BYTES - 33 * 512);
const unbootable = (disk: Buffer): boolean => disk.subarray(0, MIB).equals(Buffer.alloc(MIB));

const FORMATS: Readonly<Record<string, string>> = {
  'v2.qcow2': 'qcow2',
  'v3.qcow2': 'qcow2',
  'zlib.qcow2': 'qcow2',
  'zstd.qcow2': 'qcow2',
  'c512.qcow2': 'qcow2',
  'c4k.qcow2': 'qcow2',
  'c2m.qcow2': 'qcow2',
  'sparse.vmdk': 'vmdk',
  'stream.vmdk': 'vmdk',
  'dynamic.vhdx': 'vhdx',
  'fixed.vhdx': 'vhdx',
  'dynamic.vhd': 'vhd',
  'fixed.vhd': 'vhd',
  'dynamic.vdi': 'vdi',
  'static.vdi': 'vdi',
  'raw.img': 'raw',
};

describe('a disk image with tables', () => {
  for (const [name, format] of Object.entries(FORMATS)) {
    it(`${name} becomes the disk that qemu-img makes of it, whatever the disk held before`, async () => {
      const outcome = await write(imageFixture(name));

      requireImage(outcome);
      assert.deepEqual([outcome.written?.format, outcome.written?.partitions], [format, [1]]);
    });
  }

  it('never writes other bytes than those that its sum was checked of, though the server calls them the same', async () => {
    const good = imageFixture('v3.qcow2');
    const sha256 = createHash('sha256').update(good).digest('hex');
    const sure = await write(good, { request: { sha256 } });
    requireImage(sure);
    const bad = Buffer.from(good);
    // Everything behind the first clusters, which hold tables: data.
    for (let at = bad.length >> 1; at < bad.length; at += 512) bad[at] = (bad[at] ?? 0) ^ 1;
    // At whatever request it begins to lie.
    for (let from = 1; from < sure.requests.length; from += 1) {
      let asked = 0;
      const lying = Object.defineProperty({}, 'image', { enumerable: true, get: () => (asked++ < from ? good : bad) });
      await using server = await rangeServer(lying);

      const outcome = await writeFrom(server, { request: { sha256, retryForMs: 100 } });

      if (outcome.error === undefined) requireImage(outcome);
      else assert.match(outcome.error.code, /checksum_mismatch|corrupt_image/);
    }
  });

  it('fills a disk of its own size to the last byte', async () => {
    for (const name of ['zlib.qcow2', 'stream.vmdk', 'dynamic.vhdx', 'static.vdi']) {
      const { disk, error } = await write(imageFixture(name), { diskBytes: IMAGE_BYTES });

      assert.equal(error, undefined);
      assert.equal(disk.equals(imageFixture('raw.img')), true, name);
    }
  });

  it('of which clusters were zeroed or given back reads as zeros there', async () => {
    const raw = imageFixture('zeroed.raw');

    requireImage(await write(imageFixture('zeroed.qcow2')), raw);
    assert.notDeepEqual(
      raw.subarray(5 * MIB, 5 * MIB + 65_536),
      imageFixture('raw.img').subarray(5 * MIB, 5 * MIB + 65_536),
    );
  });

  it('in two files is read from both', async () => {
    requireImage(await write(imageFixture('flat.vmdk'), { files: { 'flat-flat.vmdk': imageFixture('raw.img') } }));
  });

  it('in two files is refused under a sum, which would be of the one without the data', async () => {
    const image = imageFixture('flat.vmdk');
    const sha256 = createHash('sha256').update(image).digest('hex');

    const { error } = await write(image, { request: { sha256 }, files: { 'flat-flat.vmdk': imageFixture('raw.img') } });

    assert.equal(error?.code, 'unsupported');
    assert.match(error?.message ?? '', /its data is in flat-flat\.vmdk, which IMG_SHA256/);
  });

  it('is refused by a disk with blocks of 4096 bytes when its table or its clusters do not fit those', async () => {
    const wrongTable = await write(imageFixture('zlib.qcow2'), { blockBytes: 4096 });
    const small = await write(imageFixture('c512.qcow2'), { blockBytes: 4096 });

    assert.match(wrongTable.error?.message ?? '', /blocks of 512 bytes and the disk has blocks of 4096/);
    assert.match(small.error?.message ?? '', /its clusters have 512 bytes and the blocks of \/dev\/sda have 4096/);
  });

  it('asks for little more than its data, in few requests', async () => {
    const image = imageFixture('stream.vmdk');

    const { requests, written } = await write(image);

    assert.ok(requests.length <= 6, requests.join(' '));
    assert.ok((written?.fetchedBytes ?? 0) <= image.length);
  });

  it('survives cuts of the connection and asks only for the rest', async () => {
    const outcome = await write(imageFixture('zlib.qcow2'), {
      cutAfter: (request) => (request < 12 ? 30_000 : undefined),
    });

    requireImage(outcome);
  });

  it('is given up when the server stays away, and the disk does not boot', async () => {
    const outcome = await write(imageFixture('v3.qcow2'), {
      cutAfter: (request) => (request < 4 ? undefined : 0),
      request: { retryForMs: 500 },
    });

    assert.equal(outcome.error?.code, 'download_failed');
    assert.equal(unbootable(outcome.disk), true);
  });

  it('that changes on the server between two requests is refused', async () => {
    const outcome = await write(imageFixture('v3.qcow2'), { etag: (request) => (request < 3 ? '"v1"' : '"v2"') });

    assert.match(outcome.error?.message ?? '', /the file changed on the server between two requests/);
  });

  it('needs a server with ranges', async () => {
    const outcome = await write(imageFixture('v3.qcow2'), { ranges: false });

    assert.match(outcome.error?.message ?? '', /the server gives only whole files/);
    requireImage(await write(imageFixture('raw.img'), { ranges: false }));
  });

  it('is checked as a whole before anything is written when its sum is given', async () => {
    const image = imageFixture('zstd.qcow2');
    const sha256 = createHash('sha256').update(image).digest('hex');

    const right = await write(image, { request: { sha256 } });
    const wrong = await write(image, { request: { sha256: '0'.repeat(64) } });
    const encoded = await write(image, { request: { sha256: '0'.repeat(64) }, contentEncoding: 'gzip' });
    const unnamed = await write(image, { request: { sha256 }, etag: () => undefined });

    requireImage(right);
    assert.equal(wrong.error?.code, 'checksum_mismatch');
    assert.equal(unbootable(wrong.disk), false);
    assert.match(encoded.error?.message ?? '', /Content-Encoding: gzip, and it was taken as it came/);
    assert.match(unnamed.error?.message ?? '', /the server does not say whether the checked file is the written one/);
  });

  it('is refused before anything is written when the disk is too small', async () => {
    const outcome = await write(imageFixture('v3.qcow2'), { diskBytes: 8 * MIB });

    assert.match(outcome.error?.message ?? '', /it holds 8388608 bytes and the image has 12582912/);
    assert.equal(unbootable(outcome.disk), false);
  });
});

describe('an image that only qemu-img can read', () => {
  const cases: readonly (readonly [string, () => Buffer, RegExp])[] = [
    ['a backing file', () => imageFixture('backing.qcow2'), /cannot use the qcow2 image: it needs a backing file/],
    ['external data', () => imageFixture('external.qcow2'), /its data lies in another file/],
    ['extended L2 entries', () => imageFixture('extended-l2.qcow2'), /it has extended L2 entries/],
    ['encryption', () => changed('v3.qcow2', 35, [1]), /it is encrypted/],
    ['corruption that QEMU noted', () => changed('v3.qcow2', 79, [2]), /it is marked as corrupt/],
    ['a future version', () => changed('v3.qcow2', 7, [4]), /its version is 4/],
    ['several files', () => imageFixture('two.vmdk'), /it is in several files|its type is twoGbMaxExtentSparse/],
    ['a log to replay', () => withLog(imageFixture('dynamic.vhdx')), /was not closed properly and has a log to replay/],
    ['a parent', () => withType(imageFixture('dynamic.vhd'), 4), /it needs a parent image/],
  ];
  for (const [what, image, pattern] of cases) {
    it(`because of ${what} is refused with that reason, and nothing is written`, async () => {
      const outcome = await write(image());

      assert.match(outcome.error?.message ?? '', pattern);
      assert.equal(unbootable(outcome.disk), false);
    });
  }
});

function changed(name: string, offset: number, bytes: readonly number[]): Buffer {
  const image = Buffer.from(imageFixture(name));
  Buffer.from(bytes).copy(image, offset);
  return image;
}

/** Both headers name a log, with the right checksum. */
function withLog(image: Buffer): Buffer {
  const result = Buffer.from(image);
  for (const at of [65_536, 131_072]) {
    result[at + 48] = 1;
    result.writeUInt32LE(0, at + 4);
    result.writeUInt32LE(crc32c(result.subarray(at, at + 4096)), at + 4);
  }
  return result;
}

function crc32c(bytes: Buffer): number {
  let crc = 0xffff_ffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc & 1) === 0 ? crc >>> 1 : (crc >>> 1) ^ 0x82f6_3b78;
  }
  return (crc ^ 0xffff_ffff) >>> 0;
}

function withType(image: Buffer, type: number): Buffer {
  const result = Buffer.from(image);
  const at = result.length - 512;
  const old = result.readUInt32BE(at + 60);
  result.writeUInt32BE(type, at + 60);
  result.writeUInt32BE(result.readUInt32BE(at + 64) + old - type, at + 64);
  return result;
}
