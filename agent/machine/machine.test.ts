import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { describe, it } from 'node:test';
import { TinsmithError } from '#proto/errors.ts';
import { isMountableAs, PROBE_BYTES, recognizeFileSystem } from '#transfer/file-system-probe.ts';
import { partitionDevice } from './block-device.ts';
import { linuxMachine } from './linux-machine.ts';
import { runProgram } from './program.ts';
import { waitUntil } from './wait-until.ts';

const signal = new AbortController().signal;

describe('a program', () => {
  it('gives its exit code, and 128 + N when signal N ended it', async () => {
    assert.equal((await runProgram({ argv: ['sh', '-c', 'exit 42'], signal })).exitCode, 42);
    assert.equal((await runProgram({ argv: ['sh', '-c', 'kill -9 $$'], signal })).exitCode, 137);
  });

  it('gives every line as it was, with carriage returns as line ends and long lines in pieces', async () => {
    const lines: string[] = [];
    const script = `printf 'a\\rb\\nc'; printf '%040000d' 0 >&2`;

    await runProgram({
      argv: ['sh', '-c', script],
      signal,
      onLine: (stream, line) => lines.push(`${stream} ${line.length}`),
    });

    assert.deepEqual(
      lines.filter((line) => line.startsWith('stdout')),
      ['stdout 1', 'stdout 1', 'stdout 1'],
    );
    assert.deepEqual(
      lines.filter((line) => line.startsWith('stderr')).reduce((sum, line) => sum + Number(line.split(' ')[1]), 0),
      40_000,
    );
  });

  it('gets its input and does not have to read it', async () => {
    const lines: string[] = [];

    await runProgram({ argv: ['cat'], input: 'secret\n', signal, onLine: (_stream, line) => lines.push(line) });
    const deaf = await runProgram({ argv: ['true'], input: 'x'.repeat(1 << 20), signal });

    assert.deepEqual(lines, ['secret']);
    assert.equal(deaf.exitCode, 0);
  });

  it('is ended together with what it started when it is aborted', async () => {
    const controller = new AbortController();
    const reason = new TinsmithError('cancelled', 'stop');

    const running = runProgram({
      argv: ['sh', '-c', 'echo up; sleep 600 & wait'],
      signal: controller.signal,
      onLine: () => controller.abort(reason),
    });

    await assert.rejects(running, reason);
  });

  it('is over when it has ended, although what it left behind keeps the output open', async () => {
    const pids: number[] = [];
    const script = 'sleep 600 & echo $!; setsid sleep 600 & echo $!; exit 3';
    try {
      const result = await runProgram({
        argv: ['sh', '-c', script],
        signal: AbortSignal.timeout(20_000),
        onLine: (_stream, line) => pids.push(Number(line)),
      });

      assert.equal(result.exitCode, 3);
      assert.equal(pids.length, 2);
      // Nobody may be there to bury it, so a process without a command line is a dead one. What was killed dies when it gets a processor.
      const isDead = async (): Promise<true | undefined> =>
        (await readFile(`/proc/${pids[0]}/cmdline`, 'utf8').catch(() => '')) === '' ? true : undefined;
      assert.ok(await waitUntil(isDead, { timeoutMs: 10_000, signal }), 'a process of the same group goes on');
    } finally {
      for (const pid of pids) await runProgram({ argv: ['kill', '-9', String(pid)], signal });
    }
  });

  it('that does not exist is an error that names it', async () => {
    await assert.rejects(runProgram({ argv: ['/no/such/program'], signal }), { code: 'command_failed' });
  });
});

const sample = (offset: number, bytes: string): Buffer => {
  const start = Buffer.alloc(PROBE_BYTES);
  start.write(bytes, offset, 'latin1');
  return start;
};

const ext = (compatible: number, incompatible: number): Buffer => {
  const start = sample(1024 + 56, '\x53\xef');
  start.writeUInt32LE(compatible, 1024 + 92);
  start.writeUInt32LE(incompatible, 1024 + 96);
  return start;
};

describe('recognizing a file system', () => {
  it('tells ext2, ext3 and ext4 apart by their features', () => {
    assert.equal(recognizeFileSystem(ext(0x38, 0x02)), 'ext2');
    assert.equal(recognizeFileSystem(ext(0x3c, 0x02)), 'ext3');
    assert.equal(recognizeFileSystem(ext(0x3c, 0x2c2)), 'ext4');
  });

  it('knows the others by their marks, and containers before what they contain', () => {
    assert.equal(recognizeFileSystem(sample(0, 'XFSB')), 'xfs');
    assert.equal(recognizeFileSystem(sample(65_600, '_BHRfS_M')), 'btrfs');
    assert.equal(recognizeFileSystem(sample(4086, 'SWAPSPACE2')), 'swap');
    for (const sector of [0, 1, 2, 3]) {
      assert.equal(recognizeFileSystem(sample(512 * sector + 24, 'LVM2 001')), 'LVM2_member');
    }
    const luks = sample(0, 'LUKS\xba\xbe');
    luks.write('\x53\xef', 1024 + 56, 'latin1');
    assert.equal(recognizeFileSystem(luks), 'crypto_LUKS');
    const fat = sample(82, 'FAT32   ');
    fat.writeUInt16LE(0xaa55, 510);
    assert.equal(recognizeFileSystem(fat), 'vfat');
    assert.equal(recognizeFileSystem(Buffer.alloc(PROBE_BYTES)), undefined);
    assert.equal(recognizeFileSystem(Buffer.alloc(100)), undefined);
  });

  it('lets ext4 stand for the older two, and nothing else for anything', () => {
    assert.ok(isMountableAs('ext3', 'ext4'));
    assert.ok(!isMountableAs('ext4', 'ext3'));
    assert.ok(!isMountableAs('xfs', 'ext4'));
    assert.ok(isMountableAs('vfat', 'msdos'));
  });
});

describe('devices', () => {
  it('names partitions as the kernel does', () => {
    assert.equal(partitionDevice('/dev/sda', 2), '/dev/sda2');
    assert.equal(partitionDevice('/dev/nvme0n1', 12), '/dev/nvme0n1p12');
    assert.equal(partitionDevice('/dev/mmcblk0', 1), '/dev/mmcblk0p1');
  });

  it('stops waiting for a disk that does not exist when it is cancelled', async () => {
    const controller = new AbortController();
    const opening = linuxMachine('/nonexistent').openDisk('/dev/tinsmith-no-such-disk', controller);

    controller.abort(new TinsmithError('cancelled', 'stop'));

    await assert.rejects(opening, { code: 'cancelled' });
  });
});
