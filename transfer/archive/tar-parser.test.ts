import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { paxRecord, tarFile } from '#test/support/tar-file.ts';
import { type TarEntry, TarParser } from './tar-parser.ts';

const BLOCK = 512;

/** What a parser makes of blocks: the entries, and how many bytes of content at which offset came last. */
async function parse(blocks: Iterable<Buffer>): Promise<{ entries: TarEntry[]; last: string }> {
  const entries: TarEntry[] = [];
  let last = '';
  const parser = new TarParser({
    entry: async (entry) => void entries.push(entry),
    data: async (bytes, offset) => {
      last = `${bytes.length} at ${offset}`;
    },
    entryEnd: async () => undefined,
  });
  for (const block of blocks) await parser.push(block);
  parser.end();
  return { entries, last };
}

/** A file of pieces of one byte, every second byte a hole, as GNU tar stores it in format 1.0. */
function sparseFile(pieces: number): Buffer {
  const lines = Array.from({ length: pieces }, (_, index) => `${index * 2}\n1\n`).join('');
  const map = Buffer.from(`${pieces}\n${lines}`);
  const padded = Buffer.concat([map, Buffer.alloc((BLOCK - (map.length % BLOCK)) % BLOCK), Buffer.alloc(pieces, 'x')]);
  const about = [
    paxRecord('GNU.sparse.major', '1'),
    paxRecord('GNU.sparse.minor', '0'),
    paxRecord('GNU.sparse.name', 'holes'),
    paxRecord('GNU.sparse.realsize', String(pieces * 2)),
  ].join('');
  return tarFile([
    { name: 'about', type: 'x', content: Buffer.from(about) },
    { name: 'stored', content: padded },
  ]);
}

/** So many entries, each behind a global header of 1000 bytes with a key of its own. */
function* globalHeaders(count: number): Generator<Buffer> {
  for (let index = 0; index < count; index++) {
    const content = Buffer.from(paxRecord(`comment.${index}`, 'x'.repeat(1000)));
    yield tarFile([{ name: 'g', type: 'g', content }, { name: 'entry' }], { endMark: false });
  }
  yield Buffer.alloc(2 * BLOCK);
}

describe('a tar archive that comes block by block', () => {
  it('may hold a sparse file of very many pieces, whose map is read once', { timeout: 60_000 }, async () => {
    const pieces = 200_000;

    const { entries, last } = await parse([sparseFile(pieces)]);

    assert.deepEqual(
      entries.map(({ name, sizeBytes }) => `${name} ${sizeBytes}`),
      [`holes ${pieces * 2}`],
    );
    assert.equal(last, `1 at ${(pieces - 1) * 2}`);
  });

  it('is refused when the pieces of an old GNU sparse file do not end', { timeout: 60_000 }, async () => {
    const head = tarFile([{ name: 'a', type: 'S' }], { endMark: false });
    // The flag says that more of the map follows; the sum of the header is mended.
    head[482] = 1;
    head.write('00000000000\0', 483);
    head.fill(0x20, 148, 156);
    head.write(
      `${head
        .reduce((total, byte) => total + byte, 0)
        .toString(8)
        .padStart(6, '0')}\0 `,
      148,
    );
    const more = Buffer.alloc(BLOCK);
    for (let at = 0; at < 21; at += 1) more.write('00000000000\x0000000000000\0', at * 24);
    more[504] = 1;
    let given = 0;

    const endless = function* (): Generator<Buffer> {
      yield head;
      for (; given < 100_000; given += 1) yield more;
    };

    await assert.rejects(parse(endless()), { code: 'corrupt_image', message: /map of a sparse file does not end/ });
    assert.ok(given < 10_000);
  });

  it('is refused when headers follow headers and no entry comes', async () => {
    const blocks = Array.from({ length: 8 }, (_, index) =>
      tarFile([{ name: 'x', type: 'x', content: Buffer.from(paxRecord(`k${index}`, 'v'.repeat(1 << 20))) }], {
        endMark: false,
      }),
    );

    await assert.rejects(parse(blocks), { code: 'corrupt_image', message: /headers before an entry do not end/ });
  });

  it('is refused when its global headers grow without end, also with entries between them', {
    timeout: 60_000,
  }, async () => {
    assert.equal((await parse(globalHeaders(100))).entries.length, 100);
    await assert.rejects(parse(globalHeaders(1000)), { code: 'corrupt_image', message: /global extended headers/ });
  });
});
