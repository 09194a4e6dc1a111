/** xz decoded by the program of the boot environment: as strict as our own decoder, and nothing is left running. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { promisify } from 'node:util';
import { gunzipSync, gzipSync } from 'node:zlib';
import { diskImage } from '#test/support/disk-image.ts';
import { type Answer, cutAfter, hostileServer, stallAfter, wholeFile } from '#test/support/hostile-server.ts';
import { TinsmithError } from '../../proto/errors.ts';
import { folderMachine } from '../machine/folder-machine.ts';
import { startFilter } from '../machine/program-filter.ts';
import type { StartFilter } from './program-decoder.ts';
import { type ImageRequest, writeImage } from './write-image.ts';

const MIB = 1 << 20;
const DISK_BYTES = 8 * MIB;
const TIMING = { answerMs: 10_000, stallMs: 1000, firstPauseMs: 1, longestPauseMs: 20 };
const image = diskImage();
let folder: string;
let file: Buffer;
let names = 0;
/** Process ids of programs that were started, and whether they were there. */
const started: string[] = [];
const counted: StartFilter = async (argv) => {
  const filter = await startFilter(argv, join(folder, 'run'));
  started.push(`${argv[0]} ${filter === undefined ? 'missing' : 'there'}`);
  return filter;
};
const has = async (program: string): Promise<boolean> => (await startFilter([program, '--version'])) !== undefined;
const hasXz = await has('xz');
const hasIgzip = await has('igzip');

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tinsmith-program-'));
  file = await readFile('test/fixtures/write/disk-image.raw.xz');
});

after(() => rm(folder, { recursive: true, force: true }));

async function write(body: Buffer, answers: readonly Answer[], request: Partial<ImageRequest> = {}) {
  await using server = await hostileServer(body, answers);
  names += 1;
  const machine = folderMachine({ folder: join(folder, String(names)), disks: { '/dev/sda': DISK_BYTES } });
  const { signal } = new AbortController();
  await using disk = await machine.openDisk('/dev/sda', { signal });
  await disk.write(Buffer.alloc(DISK_BYTES, 0xa5), 0);
  const result = await writeImage(
    disk,
    { url: server.url, proxy: {}, retryForMs: 10_000, timing: TIMING, startFilter: counted, ...request },
    { signal, log: () => undefined, progress: () => undefined },
  ).catch((thrown: unknown) => TinsmithError.from(thrown));
  return { result, disk: await readFile(machine.diskFile('/dev/sda')) };
}

type Run = Awaited<ReturnType<typeof write>>;

function assertWritten({ result, disk }: Run): void {
  if (result instanceof Error) throw result;
  assert.equal(result.imageBytes, image.length);
  assert.ok(disk.subarray(MIB, image.length - 64 * 1024).equals(image.subarray(MIB, image.length - 64 * 1024)));
}

function assertRefused({ result, disk }: Run, code: string): void {
  assert.ok(result instanceof TinsmithError, 'a broken image was reported as written');
  assert.equal(result.code, code, result.message);
  for (const end of [disk.subarray(0, MIB), disk.subarray(-MIB)]) {
    assert.ok(end.equals(Buffer.alloc(MIB)) || end.equals(Buffer.alloc(MIB, 0xa5)));
  }
}

function messageOf(result: Run['result']): string {
  return result instanceof Error ? result.message : '';
}

describe('decoding xz by a program', { skip: hasXz ? false : 'there is no xz here' }, () => {
  it('writes an xz image, also one of several streams with padding', async () => {
    started.length = 0;

    assertWritten(await write(file, [wholeFile]));
    assertWritten(await write(await readFile('test/fixtures/write/disk-image-in-two.raw.xz'), [wholeFile]));
    assertWritten(await write(Buffer.concat([file, Buffer.alloc(16)]), [wholeFile]));
    assertWritten(await write(file, [cutAfter(Math.ceil(file.length / 5))]));
    assert.deepEqual(
      started,
      Array.from({ length: 4 }, () => 'xz there'),
    );
  });

  it('takes nothing for complete that ends early, is damaged or goes on behind its end', async () => {
    for (const bytes of [100, 1000, file.length >> 1, file.length - 1000, file.length - 9, file.length - 1]) {
      assertRefused(await write(file.subarray(0, bytes), [wholeFile]), 'corrupt_image');
    }
    for (const at of [20, file.length >> 1, file.length - 40, file.length - 5]) {
      const damaged = Buffer.from(file);
      damaged.writeUInt8(damaged.readUInt8(at) ^ 0x10, at);
      assertRefused(await write(damaged, [wholeFile]), 'corrupt_image');
    }
    assertRefused(await write(Buffer.concat([file, Buffer.from('<html>')]), [wholeFile]), 'corrupt_image');
  });

  it('says what it is about, when the disk is too small as well', async () => {
    const large = join(folder, 'large');
    await promisify(execFile)('sh', ['-c', `head -c ${DISK_BYTES + MIB} /dev/zero | xz -1 > ${large}.xz`]);

    assertRefused(await write(await readFile(`${large}.xz`), [wholeFile]), 'device_unfit');
    const damaged = await write(Buffer.concat([file.subarray(0, 3000), Buffer.alloc(50)]), [wholeFile]);
    assert.match(messageOf(damaged.result), /its xz data does not decode \(xz: /);
  });

  it('says where data follows behind the end of the image', async () => {
    const { result } = await write(Buffer.concat([file, Buffer.from('<html>')]), [wholeFile]);

    assert.match(messageOf(result), new RegExp(`no xz follows .* at byte ${file.length} of the file`));
  });

  it('leaves no process and no folder behind when the download fails in the middle', async () => {
    assertRefused(await write(file, [stallAfter(file.length >> 1)], { retryForMs: 50 }), 'download_failed');

    const { stdout } = await promisify(execFile)('ps', ['--ppid', String(process.pid), '-o', 'comm=']);
    assert.doesNotMatch(stdout, /^xz/m);
    assert.deepEqual(await readdir(join(folder, 'run')), []);
  });

  it('is done again by our own decoder when the program is killed or cannot run', async () => {
    for (const script of ['kill -9 $$', 'exit 127']) {
      started.length = 0;

      assertWritten(await write(file, [wholeFile], { startFilter: () => counted(['sh', '-c', script]) }));

      assert.deepEqual(started, ['sh there']);
    }
  });

  it('is done by our own decoder where there is no such program', async () => {
    started.length = 0;

    assertWritten(await write(file, [wholeFile], { startFilter: (argv) => counted(['no-such-program', ...argv]) }));

    assert.deepEqual(started, ['no-such-program missing']);
  });
});

describe('decoding gz by a program', { skip: hasIgzip ? false : 'there is no igzip here' }, () => {
  const gz = gzipSync(image, { level: 1 });

  it('writes an image of one member', async () => {
    started.length = 0;

    assertWritten(await write(gz, [wholeFile]));
    assertWritten(await write(gz, [cutAfter(Math.ceil(gz.length / 5))]));
    assert.deepEqual(started, ['igzip there', 'igzip there']);
  });

  it('writes an image of several members, whatever their heads say', async () => {
    started.length = 0;
    const half = 3 * MIB + 12_345;
    const second = withName(gzipSync(image.subarray(half)));
    const many = Array.from({ length: Math.ceil(image.length / 65_280) }, (_, i) =>
      gzipSync(image.subarray(i * 65_280, (i + 1) * 65_280), { level: 1 }),
    );

    assertWritten(await write(Buffer.concat([gzipSync(image.subarray(0, half)), second]), [wholeFile]));
    assertWritten(await write(Buffer.concat([...many, gzipSync(''), gzipSync('')]), [wholeFile]));
    assert.deepEqual(started, ['igzip there', 'igzip there']);
  });

  it('leaves zeros behind the last member to our own decoder', async () => {
    started.length = 0;

    assertWritten(await write(Buffer.concat([gz, Buffer.alloc(512)]), [wholeFile]));
    assert.deepEqual(started, ['igzip there']);
  });

  it('says that data follows behind the last member', async () => {
    const { result } = await write(Buffer.concat([gz, Buffer.from('<html>')]), [wholeFile]);

    assert.match(messageOf(result), /data that is no gz follows behind the end of the compressed image, between byte/);
  });

  // The same twice: the end of the second member says of the first what is true of it.
  it('takes no second member for garbage that is damaged and holds what the first one holds', async () => {
    // Without a partition table: nothing but the decoder tells that there is more than the first member.
    const half = image.subarray(1.5 * MIB, 4.5 * MIB);
    const first = gzipSync(half, { level: 1 });
    const alone = await write(first, [wholeFile]);
    assert.ok(!(alone.result instanceof Error), messageOf(alone.result));
    const later = Buffer.from(first);
    later.writeUInt32LE(1_700_000_000, 4);
    for (const second of [first, later, withName(first), gzipSync(half, { level: 9 }), gzipSync('')]) {
      const bodies: Buffer[] = [0, 1, 2, 3, 10, 14, second.length >> 2, second.length - 6, second.length - 2].map(
        (at) => {
          const damaged = Buffer.from(second);
          damaged.writeUInt8(damaged.readUInt8(at) ^ 0x10, at);
          return damaged;
        },
      );
      bodies.push(
        second.subarray(1),
        second.subarray(2),
        second.subarray(-8),
        second.subarray(0, -1),
        second.subarray(0, -9),
      );
      bodies.push(second.subarray(0, 1), Buffer.concat([Buffer.alloc(1), second]));
      // A flipped bit may mean the same: a copy from 256 bytes back or from 272, in a run of zeros.
      for (const [index, body] of bodies.filter(isDamaged).entries()) {
        const written = await write(Buffer.concat([first, body]), [wholeFile]);
        assert.ok(written.result instanceof TinsmithError, `${index} was taken for whole`);
        assert.equal(written.result.code, 'corrupt_image', written.result.message);
      }
    }
  });

  it('takes nothing for complete that ends early, is damaged or goes on behind its end', async () => {
    const second = Buffer.concat([gz, gzipSync(image.subarray(MIB))]);
    second.writeUInt8(0x20, gz.length);
    const flipped = [20, gz.length >> 1, gz.length - 7, gz.length - 2].map((at) => {
      const damaged = Buffer.from(gz);
      damaged.writeUInt8(damaged.readUInt8(at) ^ 0x10, at);
      return damaged;
    });
    const cuts = [100, gz.length >> 1, gz.length - 9, gz.length - 8, gz.length - 1].map((bytes) =>
      gz.subarray(0, bytes),
    );

    for (const body of [...cuts, ...flipped, second, Buffer.concat([gz, Buffer.from('<html>')])]) {
      assertRefused(await write(body, [wholeFile]), 'corrupt_image');
    }
  });
});

/** Nothing but zeros is padding, as the end of a member without content would be. */
function isDamaged(member: Buffer): boolean {
  if (member.every((byte) => byte === 0)) return false;
  try {
    gunzipSync(member);
    return false;
  } catch {
    return true;
  }
}

/** The same member with a name of a file in its head (RFC 1952 2.3.1). */
function withName(member: Buffer): Buffer {
  const head = Buffer.from(member.subarray(0, 10));
  head.writeUInt8(8, 3);
  return Buffer.concat([head, Buffer.from('disk.raw\0'), member.subarray(10)]);
}
