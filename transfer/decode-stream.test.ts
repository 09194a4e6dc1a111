import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { describe, it } from 'node:test';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import { diskImage } from '#test/support/disk-image.ts';
import { decodeStream } from './decode-stream.ts';
import { recognizeFormat } from './image-format.ts';

const IMAGE = Buffer.concat([diskImage(), randomBytes((1 << 20) + 17)]);

async function* inPieces(bytes: Buffer, pieceBytes = 100_000, failure?: Error): AsyncGenerator<Buffer> {
  for (let at = 0; at < bytes.length; at += pieceBytes)
    yield await Promise.resolve(bytes.subarray(at, at + pieceBytes));
  if (failure !== undefined) throw failure;
}

async function collect(stream: AsyncIterable<Buffer>): Promise<Buffer> {
  const pieces: Buffer[] = [];
  for await (const piece of stream) pieces.push(Buffer.from(piece));
  return Buffer.concat(pieces);
}

describe('decoding a stream', () => {
  it('gives back what was compressed, in whatever format its first bytes show', async () => {
    for (const [format, bytes] of [
      ['raw', IMAGE],
      ['gz', gzipSync(IMAGE, { level: 1 })],
      ['zst', zstdCompressSync(IMAGE)],
    ] as const) {
      assert.equal(recognizeFormat(bytes), format);
      assert.ok((await collect(decodeStream(inPieces(bytes)))).equals(IMAGE), format);
    }
    for (const format of ['xz', 'bz2']) {
      const bytes = await readFile(`test/fixtures/write/disk-image.raw.${format}`);
      assert.ok((await collect(decodeStream(inPieces(bytes)))).equals(diskImage()), format);
    }
  });

  it('fails when the stream is cut, however much of it came', async () => {
    const bytes = gzipSync(IMAGE, { level: 1 });

    await assert.rejects(collect(decodeStream(inPieces(bytes.subarray(0, -9)))), { code: 'corrupt_image' });
    await assert.rejects(collect(decodeStream(inPieces(bytes.subarray(0, 5000), 1000, new Error('gone')))), /gone/);
  });

  it('says of data behind the end of the image where it is', async () => {
    const xz = await readFile('test/fixtures/write/disk-image.raw.xz');
    const bz2 = await readFile('test/fixtures/write/disk-image.raw.bz2');
    const gz = gzipSync(IMAGE, { level: 1 });
    for (const [format, bytes] of [
      ['xz', xz],
      ['xz', Buffer.concat([xz, Buffer.alloc(8)])],
      ['xz', Buffer.concat([xz, xz])],
      ['bz2', bz2],
      ['bz2', Buffer.concat([bz2, bz2])],
    ] as const) {
      for (const tail of ['<', '<html>', '<html>'.repeat(100)]) {
        const stream = decodeStream(inPieces(Buffer.concat([bytes, Buffer.from(tail)]), 65_536));
        const at = `no ${format} follows .* at byte ${bytes.length} of the file: .*truncate --size=${bytes.length}`;
        await assert.rejects(collect(stream), { code: 'corrupt_image', message: new RegExp(at) });
      }
    }
    const padded = Buffer.concat([gz, Buffer.alloc(300), Buffer.from('<html>')]);
    await assert.rejects(collect(decodeStream(inPieces(padded))), {
      message: new RegExp(`no gz follows .* at byte ${gz.length + 300} of the file`),
    });
  });

  it('says of other data behind gz and zst between which bytes it begins', async () => {
    for (const [format, bytes] of [
      ['gz', gzipSync(IMAGE, { level: 1 })],
      ['zst', zstdCompressSync(IMAGE)],
    ] as const) {
      const stream = decodeStream(inPieces(Buffer.concat([bytes, Buffer.from('<html>')])));
      const thrown: unknown = await collect(stream).catch((error: unknown) => error);
      const [, from, upTo] = /no (?:gz|zst) follows .* between byte (\d+) and byte (\d+) of/.exec(String(thrown)) ?? [];
      assert.ok(Number(from) <= bytes.length && bytes.length < Number(upTo), `${format}: ${String(thrown)}`);
    }
  });

  it('says of a window or dictionary that is too large what to do, and not that the image is damaged', async () => {
    // `zstd --long=31`: a window of 2 GiB, and one raw block.
    const zst = Buffer.concat([Buffer.from('28b52ffd00a8290000', 'hex'), Buffer.from('five!')]);
    // `xz --lzma2=dict=128MiB`
    const xz = '/Td6WFoAAATm1rRGAgAhAR4AAACbB1FmAQAEZml2ZSEAAAAAq5WvbAJH8pYAAR0FuC2Arx+2830BAAAAAARZWg==';

    for (const [bytes, message] of [
      [zst, /window is larger than 128 MiB: compress it again, with zstd --long=27/],
      [Buffer.from(xz, 'base64'), /dictionary is larger than 64 MiB: compress it again, with xz -9/],
    ] as const) {
      await assert.rejects(collect(decodeStream(inPieces(bytes))), { code: 'unsupported', message });
    }
  });

  it('ends the source when nobody reads on', async () => {
    let isEnded = false;
    async function* source(): AsyncGenerator<Buffer> {
      try {
        for (;;) yield await Promise.resolve(Buffer.alloc(1 << 20, 7));
      } finally {
        isEnded = true;
      }
    }

    for await (const _ of decodeStream(source())) break;

    assert.ok(isEnded);
  });

  for (const [format, program, ...options] of [
    ['xz', 'xz', '-0'],
    ['bz2', 'bzip2', '-9'],
  ] as const)
    it(`lets others have the thread in the middle of a piece of ${format} that becomes a thousand times as much`, async (t) => {
      const zeros = execFileSync(program, [...options, '-c'], { input: Buffer.alloc(128 << 20), maxBuffer: 1 << 20 });
      let turns = 0;
      const other = setInterval(() => (turns += 1), 1);
      t.after(() => clearInterval(other));

      let bytes = 0;
      for await (const piece of decodeStream(inPieces(zeros, zeros.length))) bytes += piece.length;

      assert.equal(bytes, 128 << 20);
      assert.ok(turns >= 2, `${turns} turns`);
    });
});
