import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { describe, it } from 'node:test';
import { zstdCompressSync, zstdDecompressSync } from 'node:zlib';
import { FRAME_BYTES, formatLibraryIndex, parseLibraryIndex } from '#proto/library-index.ts';
import type { ImagePiece } from './image-piece.ts';
import { type FrameCompressor, packImage } from './pack-image.ts';

async function pack(image: Buffer, pieceBytes: number) {
  const pieces: Uint8Array[] = [];
  const progress: number[] = [];
  const index = await packImage(
    pieceByPiece(image, pieceBytes),
    async (bytes) => void pieces.push(Buffer.from(bytes)),
    { level: 3, signal: new AbortController().signal, progress: (bytes) => void progress.push(bytes) },
  );
  return { index, file: Buffer.concat(pieces), progress };
}

async function* pieceByPiece(image: Buffer, pieceBytes: number): AsyncGenerator<Buffer> {
  for (let at = 0; at < image.length; at += pieceBytes) yield image.subarray(at, at + pieceBytes);
}

function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

function flipped(bytes: Buffer, at: number): Buffer {
  const wrong = Buffer.from(bytes);
  wrong.writeUInt8(wrong.readUInt8(at) ^ 1, at);
  return wrong;
}

/** Text, zeros, noise, zeros, and an end that fills no frame. */
const IMAGE = Buffer.concat([
  Buffer.alloc(FRAME_BYTES, 'a line of some text\n'),
  Buffer.alloc(2 * FRAME_BYTES),
  randomBytes(FRAME_BYTES),
  Buffer.alloc(FRAME_BYTES),
  Buffer.alloc(512 * 3, 'end'),
]);

describe('packing an image', () => {
  it('makes a zstd file that any decoder turns back into the image', async () => {
    const { file, index } = await pack(IMAGE, 70_001);

    assert.ok(zstdDecompressSync(file).equals(IMAGE));
    assert.equal(index.fileBytes, file.length);
    assert.equal(index.fileSha256, sha256(file));
    assert.equal(index.imageSha256, sha256(IMAGE));
  });

  it('names every frame with its place and both sums, and zeros as zeros', async () => {
    const { file, index } = await pack(IMAGE, 1 << 20);

    assert.deepEqual(
      index.frames.map(({ sums }) => (sums === undefined ? 'zeros' : 'data')),
      ['data', 'zeros', 'zeros', 'data', 'zeros', 'data'],
    );
    for (const { fileOffset, fileBytes, imageOffset, imageBytes, sums } of index.frames) {
      const frame = file.subarray(fileOffset, fileOffset + fileBytes);
      const raw = IMAGE.subarray(imageOffset, imageOffset + imageBytes);
      assert.ok(zstdDecompressSync(frame).equals(raw));
      if (sums !== undefined) assert.deepEqual(sums, { file: sha256(frame), image: sha256(raw) });
    }
  });

  it('ends with the seek table of the seekable format', async () => {
    const { file, index } = await pack(IMAGE, 1 << 20);

    assert.equal(file.readUInt32LE(file.length - 4), 0x8f92_eab1);
    assert.equal(file.readUInt32LE(file.length - 9), index.frames.length);
    const table = file.length - 9 - 8 * index.frames.length - 8;
    assert.equal(file.readUInt32LE(table), 0x184d_2a5e);
    assert.equal(file.readUInt32LE(table + 8), index.frames[0]?.fileBytes);
    assert.equal(file.readUInt32LE(table + 12), FRAME_BYTES);
  });

  it('is the same file whatever pieces the image comes in', async () => {
    const [one, other] = await Promise.all([pack(IMAGE, 513), pack(IMAGE, IMAGE.length)]);

    assert.ok(one.file.equals(other.file));
    assert.deepEqual(one.index, other.index);
  });

  it('refuses what is no disk image', async () => {
    await assert.rejects(pack(Buffer.alloc(0), 1), { code: 'corrupt_image', message: /empty/ });
    await assert.rejects(pack(Buffer.alloc(1000, 1), 100), { code: 'corrupt_image', message: /1000 bytes/ });
  });
});

describe('a frame that does not decode to what was packed', () => {
  const image = Buffer.concat([Buffer.alloc(FRAME_BYTES, 'text'), Buffer.alloc(FRAME_BYTES), Buffer.alloc(512, 1)]);
  const lies: Readonly<Record<string, (raw: Buffer) => Buffer>> = {
    'differs in its first byte': (raw) => zstdCompressSync(flipped(raw, 0)),
    'differs in its last byte': (raw) => zstdCompressSync(flipped(raw, raw.length - 1)),
    'is shorter': (raw) => zstdCompressSync(raw.subarray(0, -1)),
    'is longer': (raw) => zstdCompressSync(Buffer.concat([raw, Buffer.alloc(1)])),
    'is empty': () => zstdCompressSync(Buffer.alloc(0)),
    'is damaged': (raw) => flipped(zstdCompressSync(raw), 0),
    'is cut short': (raw) => zstdCompressSync(raw).subarray(0, -1),
  };
  for (const [what, lie] of Object.entries(lies)) {
    it(`ends the import, where it ${what}`, async () => {
      // One of data, one of zeros (these are kept), and one that is no whole frame.
      for (const liesAt of [0, 1, 2]) {
        let frames = 0;
        let written = 0;
        const liar: FrameCompressor = async (raw) =>
          Buffer.from(frames++ === liesAt ? lie(raw) : zstdCompressSync(raw));
        const options = { level: 3, signal: new AbortController().signal, progress: () => undefined };

        const packing = packImage(pieceByPiece(image, image.length), async () => void (written += 1), options, liar);

        const sentence = /does not decode to what was packed: check the memory of this host/;
        await assert.rejects(packing, { code: 'internal', message: sentence }, `frame ${liesAt}`);
        assert.equal(written, liesAt, 'only the frames before it are written');
      }
    });
  }
});

describe('the index as a document', () => {
  it('is read back as it was written', async () => {
    const { index } = await pack(IMAGE, 1 << 20);

    assert.deepEqual(parseLibraryIndex(formatLibraryIndex(index)), index);
  });

  it('is short for an image that is mostly zeros', async () => {
    const { index } = await pack(
      Buffer.concat([IMAGE.subarray(0, FRAME_BYTES), Buffer.alloc(40 * FRAME_BYTES)]),
      1 << 20,
    );

    assert.equal(index.frames.length, 41);
    assert.ok(formatLibraryIndex(index).length < 700);
  });

  it('is refused wherever one of its numbers or sums is not right', async () => {
    const text = formatLibraryIndex((await pack(IMAGE, 1 << 20)).index);
    const damaged = [
      text.replace('tinsmith-library-1', 'tinsmith-library-2'),
      text.replace(/"imageBytes":\d+/, '"imageBytes":512'),
      text.replace(/"imageBytes":\d+/, '"imageBytes":99999999999999999'),
      text.replace(/"fileBytes":\d+/, '"fileBytes":10'),
      text.replace(/\["z",2,/, '["z",3,'),
      text.replace(/\["z",2,/, '["z",1e12,'),
      text.replace(/\["d",\d+,/, '["d",-1,'),
      text.replace(/\["d",(\d+),"[0-9a-f]/, '["d",$1,"g'),
      text.replace('["d"', '["x"'),
      text.slice(0, -20),
      '[]',
    ];

    for (const [at, wrong] of damaged.entries()) {
      assert.throws(() => parseLibraryIndex(wrong), { code: 'corrupt_image' }, `case ${at}`);
    }
  });
});

describe('zeros as runs', () => {
  it('make the same file as zeros as bytes', async () => {
    const options = { level: 3, signal: new AbortController().signal, progress: () => undefined };
    const pieces: ImagePiece[] = [
      { zeros: 512 },
      Buffer.alloc(1024, 1),
      { zeros: 3 * FRAME_BYTES + 512 },
      Buffer.alloc(512, 2),
      { zeros: FRAME_BYTES },
      { zeros: 0 },
      { zeros: 1024 },
    ];
    const image = Buffer.concat(pieces.map((piece) => ('zeros' in piece ? Buffer.alloc(piece.zeros) : piece)));
    const packed: Uint8Array[] = [];

    const index = await packImage(inTurn(pieces), async (bytes) => void packed.push(bytes), options);

    const plain = await pack(image, image.length);
    assert.deepEqual(index, plain.index);
    assert.ok(Buffer.concat(packed).equals(plain.file));
  });
});

async function* inTurn(pieces: readonly ImagePiece[]): AsyncGenerator<ImagePiece> {
  yield* pieces;
}
