import assert from 'node:assert/strict';
import { mkdtemp, open, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { FileDisk, type ZeroOut } from './file-disk.ts';

const MIB = 1 << 20;
const signal = new AbortController().signal;

/** Zeros 1 MiB to 6.5 MiB of a disk full of sevens and returns what it holds then. */
async function zeroed(zeroOut?: ZeroOut): Promise<{ readonly disk: FileDisk; readonly content: Buffer }> {
  const folder = await mkdtemp(join(tmpdir(), 'tinsmith-disk-'));
  try {
    const path = join(folder, 'disk');
    const file = await open(path, 'w+');
    await file.write(Buffer.alloc(8 * MIB, 7));
    await using disk = new FileDisk(file, { device: '/dev/sda', sizeBytes: 8 * MIB, logicalBlockBytes: 512 }, zeroOut);
    await disk.zero({ offset: MIB, bytes: 5.5 * MIB }, { signal });
    return { disk, content: await readFile(path) };
  } finally {
    await rm(folder, { recursive: true });
  }
}

function assertOnlyThatRange(content: Buffer): void {
  assert.ok(content.subarray(MIB, 6.5 * MIB).every((byte) => byte === 0));
  assert.ok(content.subarray(0, MIB).every((byte) => byte === 7));
  assert.ok(content.subarray(6.5 * MIB).every((byte) => byte === 7));
}

describe('making zeros on a disk', () => {
  it('writes them where the disk cannot make them', async () => {
    const { disk, content } = await zeroed();

    assertOnlyThatRange(content);
    assert.equal(disk.makesZeros, false);
  });

  it('leaves it to a disk that can', async () => {
    const asked: unknown[] = [];
    const { content } = await zeroed(async (range) => {
      asked.push(range);
      return true;
    });

    assert.deepEqual(asked, [{ offset: MIB, bytes: 5.5 * MIB }]);
    assert.ok(content.every((byte) => byte === 7));
  });

  it('writes them when the disk only said that it could, and does not ask again', async () => {
    const { disk, content } = await zeroed(async () => false);

    assertOnlyThatRange(content);
    assert.equal(disk.makesZeros, false);
  });
});
