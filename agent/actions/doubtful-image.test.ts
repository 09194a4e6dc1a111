import assert from 'node:assert/strict';
import { mkdtempDisposable, readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { gzipSync } from 'node:zlib';
import { actionContext } from '#test/support/action-context.ts';
import { diskImage } from '#test/support/disk-image.ts';
import { imageFixture, rangeServer } from '#test/support/disk-image-fixtures.ts';
import { folderMachine } from '../machine/folder-machine.ts';
import { runActionWithPolicy } from './run-action.ts';

const DISK_BYTES = 16 << 20;
/** As servers send it instead of an image, of a length that a disk could have. A web page is refused. */
const PAGE = Buffer.from('You have to log in to download this file.'.padEnd(1024, '\n'));

/** What the action logs of an image that a server has, and what is on the disk then. */
async function written(builtIn: 'image2disk' | 'qemuimg2disk', image: Buffer) {
  await using server = await rangeServer({ image });
  await using folder = await mkdtempDisposable(join(tmpdir(), 'tinsmith-doubtful-'));
  const machine = folderMachine({ folder: folder.path, disks: { '/dev/sda': DISK_BYTES } });
  const lines: string[] = [];
  const { error } = await runActionWithPolicy(
    {
      builtIn,
      environment: { IMG_URL: `${server.url}/image`, DEST_DISK: '/dev/sda' },
      command: [],
      timeoutMs: 0,
      retries: 0,
    },
    actionContext(machine, { log: (_stream, text) => lines.push(text) }),
  );
  assert.equal(error, undefined);
  return {
    disk: await readFile(machine.diskFile('/dev/sda')),
    warnings: lines.filter((line) => /warning/i.test(line)),
  };
}

describe('an action that writes an image', () => {
  it('warns of one that looks like no disk, and writes it all the same', async () => {
    for (const image of [PAGE, gzipSync(PAGE)]) {
      const { disk, warnings } = await written('image2disk', image);

      assert.deepEqual(warnings, [
        'warning: the image looks like no disk: it has no partition table, boot sector or file system that is known, it begins with the text "You have to log in to do": see what IMG_URL leads to',
      ]);
      assert.ok(disk.subarray(0, PAGE.length).equals(PAGE));
    }
  });

  it('warns of none that has a partition table or a file system', async () => {
    const fileSystem = Buffer.alloc(2 << 20);
    fileSystem.write('XFSB');
    for (const image of [diskImage(), fileSystem]) {
      assert.deepEqual((await written('image2disk', image)).warnings, []);
    }
    assert.deepEqual((await written('qemuimg2disk', imageFixture('v3.qcow2'))).warnings, []);
  });
});
