import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { describe, it } from 'node:test';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import { diskImage } from '#test/support/disk-image.ts';
import { decodeStream } from './decode-stream.ts';

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
  it('gives back what was compressed, and names the format', async () => {
    for (const [format, bytes] of [
      ['raw', IMAGE],
      ['gz', gzipSync(IMAGE, { level: 1 })],
      ['zst', zstdCompressSync(IMAGE)],
    ] as const) {
      let named = '';
      const decoded = await collect(
        decodeStream(inPieces(bytes), (found) => {
          named = found;
        }),
      );
      assert.equal(named, format);
      assert.ok(decoded.equals(IMAGE), format);
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
});
