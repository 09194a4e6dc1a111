import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Disk } from '../machine/machine.ts';
import { writeBootCode } from './boot-code.ts';
import { stretchGpt, writeGpt } from './partition-table.ts';

const SIZE = 8 << 20;
const GUID = '7e571057-0000-4000-8000-000000000001';

/** A disk in memory with one partition that forgets what is written behind `from`. */
function forgetfulDisk(from: number): Disk {
  const bytes = Buffer.alloc(SIZE);
  const partition = { type: GUID, guid: GUID, name: '', firstBlock: 2048, lastBlock: 4095 };
  writeGpt(bytes, [partition], { guid: GUID, blockBytes: 512 });
  stretchGpt(bytes, bytes.subarray(-(1 << 20)), { sizeBytes: SIZE, blockBytes: 512 });
  return {
    device: '/dev/sda',
    sizeBytes: SIZE,
    logicalBlockBytes: 512,
    makesZeros: false,
    read: async (buffer, offset) => void bytes.copy(buffer, 0, offset),
    write: async (buffer, offset) => {
      if (offset < from) bytes.set(buffer, offset);
    },
    zero: async () => undefined,
    flush: async () => undefined,
    [Symbol.asyncDispose]: async () => undefined,
  };
}

const write = (from: number): Promise<void> =>
  writeBootCode(forgetfulDisk(from), 1, async () => Buffer.alloc(440, 'c'));

describe('boot code', () => {
  it('is read back, at both ends of a GPT', async () => {
    await write(SIZE);
    await assert.rejects(write(SIZE - (1 << 20)), { code: 'write_failed', message: /the last MiB of \/dev\/sda/ });
    await assert.rejects(write(0), {
      code: 'write_failed',
      message: /MiB of \/dev\/sda does not hold what was written/,
    });
  });
});
