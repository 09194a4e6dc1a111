/** A library image for a disk that holds some of it: only the rest is fetched. */
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { after, before, describe, it } from 'node:test';
import { TinsmithError } from '#proto/errors.ts';
import { FRAME_BYTES } from '#proto/library-index.ts';
import { libraryServer } from '#test/support/library-server.ts';
import { assertUnbootable, DISK_BYTES, FRAMES, LibraryWriteWorld } from '#test/support/library-write-world.ts';

const signal = new AbortController().signal;
let world: LibraryWriteWorld;

before(async () => {
  world = await LibraryWriteWorld.start();
});

after(() => world[Symbol.asyncDispose]());

describe('a library image of which the disk holds something', () => {
  it('fetches next to nothing when the disk holds the image already', async () => {
    await using server = await libraryServer(world.packed);
    const machine = await world.machineWith(Buffer.alloc(DISK_BYTES, 0xa5));
    await world.write(machine, [server.url]);

    const again = await world.write(machine, [server.url]);

    world.assertHolds(await readFile(machine.diskFile('/dev/sda')));
    // The first frame touches the disk's end, the last one is no whole frame.
    assert.ok(again.keptBytes >= (FRAMES - 2) * FRAME_BYTES, String(again.keptBytes));
    assert.ok(again.receivedBytes < world.packed.index.fileBytes / 4);
  });

  it('fetches only the frames that changed since the last installation', async () => {
    await using server = await libraryServer(world.packed);
    const machine = await world.machineWith(Buffer.alloc(DISK_BYTES, 0xa5));
    await world.write(machine, [server.url]);
    {
      await using disk = await machine.openDisk('/dev/sda', { signal });
      await disk.write(Buffer.alloc(512, 'other'), 6 * FRAME_BYTES + 1024);
    }

    const again = await world.write(machine, [server.url]);

    world.assertHolds(await readFile(machine.diskFile('/dev/sda')));
    // All but the first frame, which touches the end of the disk, and the changed one.
    assert.equal(again.keptBytes, world.image.length - 2 * FRAME_BYTES);
  });

  it('finds what a cut write left scattered behind frames that are missing', async () => {
    const found = Buffer.from(world.image);
    for (const missing of [2, 3, 4, 5, 6, 7]) found.write('something else', missing * FRAME_BYTES);
    const machine = await world.machineWith(found);
    await using server = await libraryServer(world.packed);
    const { keptBytes } = await world.write(machine, [server.url]);

    assert.equal(keptBytes, world.image.length - 7 * FRAME_BYTES);
    world.assertHolds(await readFile(machine.diskFile('/dev/sda')));
  });

  it('goes on where it was ended: another run finds what is on the disk', async () => {
    await using server = await libraryServer(world.packed);
    const machine = await world.machineWith(Buffer.alloc(DISK_BYTES, 0xa5));
    const stop = new AbortController();
    let frames = 0;
    {
      await using disk = await machine.openDisk('/dev/sda', { signal });
      const progress = (): void => {
        frames += 1;
        if (frames === 8) stop.abort(new TinsmithError('cancelled', 'power cut'));
      };
      const writing = world.writeTo(disk, [server.url], { signal: stop.signal, progress });
      await assert.rejects(writing, { code: 'cancelled' });
    }
    assertUnbootable(await readFile(machine.diskFile('/dev/sda')));

    const again = await world.write(machine, [server.url]);

    world.assertHolds(await readFile(machine.diskFile('/dev/sda')));
    assert.ok(again.keptBytes >= 5 * FRAME_BYTES, String(again.keptBytes));
  });
});
