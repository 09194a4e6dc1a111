import assert from 'node:assert/strict';
import { mkdtemp, open, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { tryProgram } from '../packages/run-program.ts';
import { MIB, placePartitions, writeDiskImage } from './disk-image.ts';

let directory = '';
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'tinsmith-disk-'));
});
afterEach(async () => {
  await rm(directory, { recursive: true, force: true });
});

describe('placePartitions', () => {
  it('puts partitions one after the other on whole MiB', () => {
    const placed = placePartitions([
      { name: 'a', type: 'ef02', sizeMiB: 1 },
      { name: 'b', type: '8300', sizeMiB: 7 },
      { name: 'c', type: '8300', sizeMiB: 2 },
    ]);

    assert.deepEqual(
      placed.map(({ number, firstSector }) => [number, firstSector]),
      [
        [1, 2048],
        [2, 4096],
        [3, 18432],
      ],
    );
  });
});

describe('writeDiskImage', () => {
  it('writes a table that holds together, contents at their places, and zeros as holes', async (t) => {
    if ((await tryProgram(['sh', '-c', 'PATH=$PATH:/usr/sbin command -v sgdisk'])).exitCode !== 0) {
      t.diagnostic('sgdisk is not installed (scripts/setup.sh): not tried');
      return;
    }
    const [content, image] = [join(directory, 'content'), join(directory, 'disk.img')];
    await writeFile(content, Buffer.concat([Buffer.alloc(3 * MIB), Buffer.from('at three MiB')]));
    const partitions = placePartitions([
      { name: 'EMPTY', type: '8300', sizeMiB: 2 },
      { name: 'FULL', type: '8300', sizeMiB: 4, content },
    ]);

    await writeDiskImage(image, 16, partitions);

    const bytes = Buffer.alloc(512);
    await using handle = await open(image);
    await handle.read(bytes, 0, 512, (3 + 3) * MIB);
    assert.equal(bytes.toString('latin1', 0, 12), 'at three MiB');
    await handle.read(bytes, 0, 512, 512);
    assert.equal(bytes.toString('latin1', 0, 8), 'EFI PART');
    const facts = await stat(image);
    assert.equal(facts.size, 16 * MIB);
    assert.ok(facts.blocks * 512 < 2 * MIB, `${facts.blocks * 512} bytes are stored`);
  });

  it('refuses content that is larger than its partition', async (t) => {
    if ((await tryProgram(['sh', '-c', 'PATH=$PATH:/usr/sbin command -v sgdisk'])).exitCode !== 0) {
      t.diagnostic('sgdisk is not installed (scripts/setup.sh): not tried');
      return;
    }
    const content = join(directory, 'content');
    await writeFile(content, Buffer.alloc(MIB + 1));
    const partitions = placePartitions([{ name: 'SMALL', type: '8300', sizeMiB: 1, content }]);

    await assert.rejects(
      writeDiskImage(join(directory, 'disk.img'), 8, partitions),
      /partition SMALL of 1 MiB: its content has 1048577/,
    );
  });
});
