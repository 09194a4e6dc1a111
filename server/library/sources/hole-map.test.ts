import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { access, mkdtempDisposable, open } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { fileHoles, type Hole } from './hole-map.ts';
import { type HoleMap, openLocalFile } from './local-file.ts';

const MIB = 1 << 20;
const SIZE_BYTES = 24 * MIB + 512;
const hasTar = await access('/usr/bin/tar').then(
  () => true,
  () => false,
);

/** Data at 3 MiB, at 10 MiB, and in many small pieces from 12 MiB on. */
async function sparseFile(path: string): Promise<Buffer> {
  const image = Buffer.alloc(SIZE_BYTES);
  await using handle = await open(path, 'w');
  await handle.truncate(SIZE_BYTES);
  const places = [3 * MIB, 10 * MIB, ...Array.from({ length: 300 }, (_, i) => 12 * MIB + i * 16_384)];
  for (const at of places) {
    const bytes = randomBytes(4096);
    bytes.copy(image, at);
    await handle.write(bytes, 0, bytes.length, at);
  }
  return image;
}

async function contentOf(path: string, holesOf?: HoleMap): Promise<Buffer> {
  await using file = await openLocalFile(path, holesOf);
  const pieces: Buffer[] = [];
  for await (const piece of file.stream()) pieces.push(Buffer.from(piece));
  await file.requireUnchanged();
  return Buffer.concat(pieces);
}

describe('holes of a file', { skip: hasTar ? false : 'there is no tar here' }, () => {
  for (const parent of [tmpdir(), '/dev/shm']) {
    it(`are found in ${parent}, and the file reads the same`, async () => {
      await using folder = await mkdtempDisposable(join(parent, 'tinsmith-holes-'));
      const path = join(folder.path, 'sparse.raw');
      const image = await sparseFile(path);

      await using handle = await open(path);
      const holes = (await fileHoles(handle.fd, SIZE_BYTES)) ?? [];

      assert.deepEqual(holes.slice(0, 2), [
        { start: 0, end: 3 * MIB },
        { start: 3 * MIB + 4096, end: 10 * MIB },
      ]);
      assert.equal(holes.at(-1)?.end, SIZE_BYTES);
      assert.ok(holes.length > 300, String(holes.length));
      assert.ok(holes.every(({ start, end }) => image.subarray(start, end).equals(Buffer.alloc(end - start))));
      assert.ok((await contentOf(path)).equals(image));
    });
  }

  it('are all of a file without data, and none of a full one', async () => {
    await using folder = await mkdtempDisposable(join(tmpdir(), 'tinsmith-holes-'));
    const [empty, full] = [join(folder.path, 'empty'), join(folder.path, 'full')];
    const bytes = randomBytes(3 * MIB);
    await using emptyHandle = await open(empty, 'w+');
    await emptyHandle.truncate(SIZE_BYTES);
    await using fullHandle = await open(full, 'w+');
    await fullHandle.write(bytes);

    assert.deepEqual(await fileHoles(emptyHandle.fd, SIZE_BYTES), [{ start: 0, end: SIZE_BYTES }]);
    assert.equal(await fileHoles(fullHandle.fd, bytes.length), undefined);
    assert.ok((await contentOf(empty)).equals(Buffer.alloc(SIZE_BYTES)));
    assert.ok((await contentOf(full)).equals(bytes));
  });

  it('are not told without a tar, or for a file of another size', async () => {
    await using folder = await mkdtempDisposable(join(tmpdir(), 'tinsmith-holes-'));
    const path = join(folder.path, 'sparse.raw');
    await sparseFile(path);
    await using handle = await open(path);

    assert.equal(await fileHoles(handle.fd, SIZE_BYTES, 'no-such-tar'), undefined);
    assert.equal(await fileHoles(handle.fd, MIB), undefined);
  });
});

function hole(start: number, end: number): Hole {
  return { start, end };
}

// Of a file with data at 3 MiB and at 10 MiB, and zeros elsewhere.
describe('a map of holes that is wrong', () => {
  const wrong: Readonly<Record<string, readonly Hole[]>> = {
    'has data at the start of a hole': [hole(0, 3 * MIB), hole(3 * MIB, 10 * MIB)],
    'has data at the end of a hole': [hole(0, 3 * MIB + 4096)],
    // Which cannot be seen from its ends: the first hole tells that the map is not true.
    'has data in the middle of a later hole': [hole(3 * MIB, 5 * MIB), hole(9 * MIB, 12 * MIB)],
    'is right about the first hole only': [hole(0, 3 * MIB), hole(3 * MIB + 4096, 10 * MIB + 4096)],
    'goes on behind the end of the file': [hole(11 * MIB, SIZE_BYTES + MIB)],
  };
  for (const [what, holes] of Object.entries(wrong)) {
    it(`is not believed: it ${what}`, async () => {
      await using folder = await mkdtempDisposable(join(tmpdir(), 'tinsmith-holes-'));
      const path = join(folder.path, 'sparse.raw');
      const image = Buffer.alloc(SIZE_BYTES);
      await using handle = await open(path, 'w');
      await handle.truncate(SIZE_BYTES);
      for (const at of [3 * MIB, 10 * MIB]) {
        image.fill('data', at, at + 4096);
        await handle.write(image, at, 4096, at);
      }

      const content = await contentOf(path, async () => holes);

      assert.equal(content.length, image.length);
      assert.ok(content.equals(image));
    });
  }
});
